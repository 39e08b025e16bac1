// What the page says about each method. Facts that follow from the server's code are generated
// (`method-specs.js`); the sentences are the page's own.

import { SPECS } from "./method-specs.js";

/** The groups in which the page lists the methods; the first needs no click. */
export const GROUPS = [
  ["", ["gradcam++", "gradcam", "scorecam"]],
  ["By gradient", [
    "layercam", "hirescam", "xgradcam", "gradcam-elementwise", "eigengradcam", "smoothgradcam++",
  ]],
  ["By passes", ["ablationcam", "groupcam", "reciprocam"]],
  ["Without the class, and a baseline", ["eigencam", "random"]],
];

/** One line on what each method does. */
const LINES = {
  "gradcam++": "Weights channels by their positive gradients; finds several objects of one class.",
  "gradcam": "Weights each channel by its mean gradient. The classic.",
  "scorecam": "Shows the model one channel’s region at a time and weights it by the score.",
  "layercam": "Weights every position by its own positive gradient; sharp in early layers.",
  "hirescam": "Multiplies gradient and activation at each position, without averaging.",
  "xgradcam": "Weights gradients by activation, so that the weights add up to the score.",
  "gradcam-elementwise": "Keeps only the positive products of gradient and activation.",
  "eigengradcam": "The main component of gradient times activation.",
  "smoothgradcam++": "Averages Grad-CAM++’s gradients over noisy copies of the picture.",
  "ablationcam": "Switches off one channel at a time and weights it by the drop of the score.",
  "groupcam": "Masks with 32 groups of channels instead of every single one.",
  "reciprocam": "Keeps one position of the layer at a time and reads the score.",
  "eigencam": "The main component of the activation. It is the same for every class.",
  "random": "Random weights. A map that looks no better explains nothing.",
};

/** The methods that a comparison starts with: those of `POST /v1/compare`, the quickest first. */
export const COMPARED_METHODS = ["gradcam", "gradcam++", "scorecam"];

/** Methods that a query writes without a `+`, which would need escaping there. */
export const queryName = (method) => method.replaceAll("+", "p");

export const methodName = (method) => SPECS[method]?.title ?? method;
export const methodLine = (method) => LINES[method] ?? "";
/** The section on a method in the guide. */
export const guideLink = (method) => `/docs/guide/methods.html#${queryName(method)}`;

/** How many passes a method runs besides the forward pass, and of which kind. */
export function passesOf(method, [channels, rows, columns], { maxChannels, budget, convention }) {
  const limited = Math.min(channels, Number(maxChannels) || channels);
  switch (method) {
    case "scorecam": return { count: Math.min(limited, budget ?? limited), kind: "masked" };
    case "ablationcam": return { count: channels + 1, kind: "tail" };
    case "reciprocam": return { count: rows * columns, kind: "tail" };
    case "groupcam": return { count: 33, kind: "masked" };
    case "smoothgradcam++": {
      return { count: convention === "torch-cam" ? 4 : 20, kind: "gradient" };
    }
    default: return { count: SPECS[method]?.needs === "gradient" ? 1 : 0, kind: "backward" };
  }
}

/** The cost of a method in passes, as a few words. */
export function costText(method, shape, settings) {
  const { count, kind } = passesOf(method, shape, settings);
  if (count === 0) return "1 forward pass";
  if (kind === "backward") return "1 forward, 1 backward pass";
  const name = { masked: "masked", tail: "tail", gradient: "noisy" }[kind];
  return `${count.toLocaleString("en")} ${name} passes`;
}
