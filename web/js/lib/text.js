// Formats names, numbers and durations for the page.

/** Capitalises a text, unless it starts with a name such as `model.onnx`, and ends it with a full
 * stop. */
export function sentence(text) {
  if (!text) return text;
  const isWord = /^\p{Ll}+(?![\w./-])/u.test(text);
  const start = isWord ? text[0].toUpperCase() + text.slice(1) : text;
  return start + (/[.!?]$/.test(text) ? "" : ".");
}

export function duration(ms) {
  if (ms < 1000) return `${Math.max(1, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

/**
 * A probability. A tiny one may have been rounded to 0, and "0.0 %" would claim that the class is
 * impossible: one text stands for both.
 */
export function percent(share) {
  const value = share * 100;
  if (value < 0.1) return "< 0.1 %";
  return `${value.toFixed(1)} %`;
}

export function className({ index, label: text }) {
  return text ?? `class ${index}`;
}

/** A class's probability, or the value of a quantity, which has none. */
export function amountText({ probability, value }) {
  return value == null ? percent(probability) : String(Number(value.toPrecision(6)));
}

/** A class's probability and, where the model has one, its logit. */
export function scoreText({ probability, value, logit }) {
  const share = amountText({ probability, value });
  return logit == null ? share : `${share}, logit ${logit.toFixed(2)}`;
}

/** The value of a map at one position. */
export function valueText({ value, signed }) {
  const number = value.toFixed(2).replace("-", "−");
  if (!signed || Math.abs(value) < 0.005) return number;
  return `${number}, ${value > 0 ? "for" : "against"}`;
}

const PASS_KINDS = ["forward", "backward", "masked", "noisy", "tail"];

/**
 * Passes by kind, such as "1 forward, 1 backward pass": the same words for what a method will cost
 * and for what a response did cost. `isLimit` says that the last kind may be fewer.
 */
export function passText({ skipped, isLimit, ...counts }) {
  const kinds = PASS_KINDS.filter((kind) => counts[kind] > 0);
  const last = kinds.at(-1);
  const parts = kinds.map((kind) => {
    const limit = isLimit && kind === last ? "up to " : "";
    return `${limit}${counts[kind].toLocaleString("en")} ${kind}`;
  });
  const ran = parts.length === 0
    ? "no passes, all results were cached"
    : `${parts.join(", ")} ${counts[last] === 1 ? "pass" : "passes"}`;
  return skipped ? `${ran} (${skipped.toLocaleString("en")} skipped)` : ran;
}

/** A number of passes of a total, such as "120 of 1,280 passes". */
export function progressText({ done, total }) {
  return `${done.toLocaleString("en")} of ${total.toLocaleString("en")} passes`;
}

/** Says why the map of one class is empty. */
export function emptyMapText({ layer, target, heatmap, negate }) {
  const [evidence, values] = heatmap.signed
    ? ["for or against", "every value is zero"]
    : [negate ? "against" : "for", "no value is above zero"];
  const name = layer.replaceAll(",", ", ");
  return `The map is empty: ${values}, so ${name} holds no evidence ${evidence} `
    + `“${className(target)}”. Another layer, class or method may show more.`;
}
