// What cannot work with the current model, method and layer, and why. Each function gives a reason
// in words, or an empty text where nothing is in the way.

import { methodName } from "../lib/methods.js";
import { SPECS } from "../lib/method-specs.js";
import { sentence } from "../lib/text.js";

/** The name by which the page and its requests call a layer. */
export const layerName = (layer) => layer.alias || layer.name;

/** The model's default layer. */
export function defaultLayer({ layers, default_layer: wanted }) {
  // Another layer's node or tensor may have this layer's alias as its name.
  const named = (name) => layers.find((layer) => name(layer) === wanted);
  return named(layerName) ?? named((layer) => layer.name) ?? named((layer) => layer.tensor)
    ?? layers.at(-1);
}

/** The selected layers, as the API describes them. */
export function selectedLayers({ model, settings }) {
  const found = settings.layers.map((name) => (
    model.layers.find((layer) => layerName(layer) === name)
  ));
  const known = found.filter(Boolean);
  return known.length > 0 ? known : [defaultLayer(model)];
}

/**
 * Groups of methods that have the same map on all of these layers, as the API says, with only the
 * methods that are shown: those of a comparison, or all where one of them is selected.
 */
export function sameMaps(layers, methods) {
  const [first, ...others] = layers.map((layer) => layer.same_maps ?? []);
  const isShared = (group) => (
    others.every((groups) => groups.some((one) => String(one) === String(group)))
  );
  return first.filter(isShared)
    .filter((group) => group.some((method) => methods.includes(method)))
    .map((group) => (
      methods.length > 1 ? group.filter((method) => methods.includes(method)) : group
    ))
    .filter((group) => group.length > 1);
}

/** Why a method does not work on these layers. */
export function methodReason(model, method, layers) {
  const missing = { available: false, reason: "this server does not have this method" };
  const { available, reason } = model.methods[method] ?? missing;
  const without = layers.find((layer) => !layer.methods.includes(method));
  if (!without && available) return "";
  if (!without && layers.some((layer) => layer !== defaultLayer(model))) return "";
  const text = (without && without.reason) || reason || "this model does not support it";
  return sentence(`${methodName(method)} does not work on ${layerName(without ?? layers[0])}: `
    + text);
}

/** Why a convention does not work with a method. */
export function conventionReason(method, convention) {
  if (SPECS[method]?.conventions.includes(convention) ?? true) return "";
  return `It does not define ${methodName(method)}.`;
}

/** The score that a method explains. */
function scoreOf(method, { score, convention }) {
  if (score) return score;
  if (convention === "paper") return SPECS[method].score;
  return convention === "article" ? "probability" : "logit";
}

/** Whether a method weights passes by values that are never negative. */
function hasPositiveWeights(method, settings) {
  const isProbability = scoreOf(method, settings) === "probability";
  return SPECS[method].weightsAreScores && (isProbability || settings.convention === "article");
}

/** Why a map cannot be signed. */
export function signedReason(method, settings) {
  const spec = SPECS[method];
  if (!spec) return "";
  if (!spec.signed) {
    return `${spec.title} does not separate evidence for the class from evidence against it.`;
  }
  if (spec.weightsAreScores && settings.convention === "pytorch-grad-cam") {
    return `${spec.title} by pytorch-grad-cam has no negative weights.`;
  }
  if (hasPositiveWeights(method, settings) && !settings.contrast) {
    return `${spec.title} weights by probabilities, which are never negative. `
      + "The score “logit” or a contrast class gives them a sign.";
  }
  return "";
}

/** Why there is no contrast with another class. */
export function contrastReason(method) {
  if (SPECS[method]?.classDiscriminative ?? true) return "";
  return `${methodName(method)} does not depend on the class.`;
}

/** Why a map cannot show the evidence against a class. */
export function negateReason(method, settings) {
  if (contrastReason(method)) return contrastReason(method);
  const isRelative = settings.convention === "pytorch-grad-cam";
  if (SPECS[method] && hasPositiveWeights(method, settings) && !isRelative && !settings.contrast) {
    return `${methodName(method)} weights by probabilities, which are never negative. `
      + "The score “logit” or a contrast class works.";
  }
  return "";
}

/** Why a score cannot be explained by this model. */
export function scoreReason({ output }, score) {
  if (score === "logit" && output.kind === "probabilities") {
    return "This model does not show its logits.";
  }
  if (score === "probability" && output.kind === "regression") {
    return "This model outputs quantities, which have no probability.";
  }
  return "";
}

/** Why Score-CAM cannot estimate its weights. */
export function budgetReason({ convention }) {
  if (convention !== "pytorch-grad-cam") return "";
  return "pytorch-grad-cam applies a softmax over all channels, so no weight can be estimated.";
}

/** Why a kind of comparison is not possible. */
export function compareReason(kind, { model, settings }) {
  if (kind === "layers" && model.layers.length < 2) return "This model has only one layer.";
  if (kind === "classes" && model.output.classes < 2) return "This model has only one output.";
  if (kind === "classes" && !SPECS[settings.method]?.classDiscriminative) {
    return `${methodName(settings.method)} has the same map for every class.`;
  }
  return "";
}

/** Why a view is not possible for the maps that are shown. */
export function viewReason(view, cellCount) {
  if (cellCount < 2 || !["wipe", "side"].includes(view)) return "";
  return "Only for a single map.";
}

/** The settings as a method can use them: what does not apply to it is left out. */
export function effective(model, method, settings) {
  const convention = conventionReason(method, settings.convention) ? "paper" : settings.convention;
  const own = { ...settings, convention };
  if (scoreReason(model, own.score)) own.score = "";
  if (contrastReason(method)) own.contrast = "";
  if (negateReason(method, own)) own.negate = false;
  if (signedReason(method, own)) own.signed = false;
  if (!SPECS[method]?.parameters.includes("max_channels")) own.maxChannels = "";
  if (!SPECS[method]?.parameters.includes("budget") || budgetReason(own)) own.budget = null;
  return own;
}
