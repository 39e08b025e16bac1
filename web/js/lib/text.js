// Formats names, numbers and durations for the page.

/** Capitalises a text and ends it with a full stop. */
export function sentence(text) {
  return text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

export function duration(ms) {
  if (ms < 1000) return `${Math.max(1, Math.round(ms))} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

export function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 0.1) return "< 0.1 %";
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

/** How many passes of each kind a response took. */
export function passText({ forward, masked, tail, skipped }) {
  const parts = [`${forward} forward`];
  if (masked) parts.push(`${masked} masked`);
  if (tail) parts.push(`${tail} tail-only`);
  if (skipped) parts.push(`${skipped} skipped`);
  return parts.join(", ");
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
