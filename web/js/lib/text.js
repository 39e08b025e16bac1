// How numbers and names read on the page.

/** The methods, the best known first. */
export const METHODS = {
  "gradcam": "Grad-CAM",
  "gradcam++": "Grad-CAM++",
  "scorecam": "Score-CAM",
  "layercam": "LayerCAM",
  "hirescam": "HiResCAM",
  "xgradcam": "XGrad-CAM",
  "gradcam-elementwise": "Element-wise Grad-CAM",
  "eigencam": "Eigen-CAM",
  "eigengradcam": "Eigen-Grad-CAM",
  "ablationcam": "Ablation-CAM",
  "reciprocam": "Recipro-CAM",
  "smoothgradcam++": "Smooth Grad-CAM++",
  "groupcam": "Group-CAM",
  "random": "Random weights",
};

export const methodName = (method) => METHODS[method] ?? method;

export const sentence = (text) => text && text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

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

/** How sure the model is of a class. */
export function scoreText({ probability, logit }) {
  return logit == null ? percent(probability) : `${percent(probability)}, logit ${logit.toFixed(2)}`;
}

/** A map's value at one place. */
export function valueText({ value, signed }) {
  const number = value.toFixed(2).replace("-", "−");
  if (!signed || Math.abs(value) < 0.005) return number;
  return `${number}, ${value > 0 ? "for" : "against"}`;
}

export function passText({ forward, masked, tail, skipped }) {
  const parts = [`${forward} forward`];
  if (masked) parts.push(`${masked} masked`);
  if (tail) parts.push(`${tail} behind the layer`);
  if (skipped) parts.push(`${skipped} skipped`);
  return parts.join(", ");
}

/** Why there is nothing to draw, of one class's map. */
export function emptySentence({ layer, target, heatmap, negate }) {
  const [speaks, value] = heatmap.signed ? ["speaks for or against", "every value is zero"]
    : [negate ? "speaks against" : "speaks for", "no value is above zero"];
  return `Nothing in ${layer.replaceAll(",", ", ")} ${speaks} “${className(target)}”: ${value}, so there is no map to draw. Another layer, class or method may show more.`;
}
