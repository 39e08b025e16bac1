// What the page says about each method. Facts that follow from the server's code are generated
// (`method-specs.js`); the sentences are the page's own.

import { SPECS } from "./method-specs.js";
import { mapsOf } from "./response.js";

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

const hasBackward = (method) => SPECS[method]?.needs === "gradient";
/** Methods whose passes leave out channels, or groups of them, that are 0 everywhere. */
const SKIPPING = ["scorecam", "ablationcam", "groupcam"];

/** The passes of a method on one layer, besides those of the picture itself, by kind. */
function extraPasses(method, [channels, rows, columns], settings, classes) {
  const { maxChannels, budget, convention } = settings;
  const limited = Math.min(channels, Number(maxChannels) || channels);
  switch (method) {
    case "scorecam": return { masked: Math.min(limited, budget ?? limited) };
    case "ablationcam": return { tail: channels + 1 };
    case "reciprocam": return { tail: rows * columns };
    case "groupcam": return { masked: 33 * classes };
    case "smoothgradcam++": return { noisy: convention === "torch-cam" ? 4 : 20 };
    default: return {};
  }
}

/**
 * The passes that a method will run, by kind; `isLimit` says that they may be fewer. The kinds are
 * the guide's (docs/guide/methods.md, "Notation and cost").
 */
export function plannedPasses(method, layers, settings, classes = 1) {
  const counts = { forward: 1, backward: hasBackward(method) ? classes : 0 };
  for (const { shape } of layers) {
    for (const [kind, count] of Object.entries(extraPasses(method, shape, settings, classes))) {
      counts[kind] = (counts[kind] ?? 0) + count;
    }
  }
  return { ...counts, isLimit: SKIPPING.includes(method) };
}

/** Whether a method runs more passes than those of the picture itself. */
export function hasManyPasses(method, layers, settings) {
  return layers.some(({ shape }) => (
    Object.keys(extraPasses(method, shape, settings, 1)).length > 0
  ));
}

/**
 * The passes of a response, by kind. `passes` there counts a noisy pass as masked, and does not
 * count backward passes: a forward pass that needs gradients has one for each class.
 */
export function passesOf(response) {
  const { method, passes: { forward, masked, tail, skipped } } = response;
  const isNoisy = method === "smoothgradcam++";
  return {
    forward,
    backward: hasBackward(method) && forward > 0 ? mapsOf(response).length : 0,
    masked: isNoisy ? 0 : masked,
    noisy: isNoisy ? masked : 0,
    tail,
    skipped,
  };
}
