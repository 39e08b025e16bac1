// Which maps the settings describe, and the requests that give them.
//
// A plan is a list of requests. Each has the options of `POST /v1/explain` and the cells that its
// response fills: one, or one per class.

import { COMPARED_METHODS, methodName } from "../lib/methods.js";
import {
  effective, layerName, methodReason, selectedLayers,
} from "./support.js";

/** `single`, `classes`, `methods` or `layers`. */
export function modeOf({ compare, targets }) {
  if (compare !== "none") return compare;
  return targets.length > 1 ? "classes" : "single";
}

/** The methods of a comparison. */
export function comparedMethods({ model, settings }) {
  const known = settings.methods.filter((method) => method in model.methods);
  return known.length > 0 ? known : COMPARED_METHODS.filter((method) => method in model.methods);
}

/** The layers of a comparison: by default the last ones of each size, coarse to fine. */
export function comparedLayers({ model, settings }) {
  const names = model.layers.map(layerName);
  const known = settings.comparedLayers.filter((name) => names.includes(name));
  if (known.length > 0) return known;
  const [first] = selectedLayers({ model, settings });
  const chosen = [first];
  const earlier = model.layers.slice(0, model.layers.indexOf(first)).reverse();
  for (const layer of earlier) {
    if (chosen.length < 3 && layer.shape[1] > chosen.at(-1).shape[1]) chosen.push(layer);
  }
  for (const layer of earlier) {
    if (chosen.length < 3 && !chosen.includes(layer)) chosen.push(layer);
  }
  return chosen.map(layerName);
}

export function className(model, index) {
  return model.labels[index] || `class ${index}`;
}

/** The options of a request, complete. An empty value keeps the server's default. */
function optionsFor(model, settings, method, layer, target) {
  const own = effective(model, method, settings);
  return {
    model: model.id, method, layer, target,
    convention: own.convention,
    score: own.score,
    contrast: own.contrast,
    negate: own.negate || "",
    signed: own.signed || "",
    max_channels: own.maxChannels,
    budget: own.budget ?? "",
  };
}

/** The requests for the current settings. */
export function planOf(state) {
  const { model, settings } = state;
  const { targets, method } = settings;
  const layers = selectedLayers(state);
  const layer = layers.map(layerName).join(",");
  const target = targets.join(",");
  const request = (options, cells, reason = "") => ({ options, cells, reason });
  switch (modeOf(settings)) {
    case "methods": return comparedMethods(state).map((one) => request(
      optionsFor(model, settings, one, layer, target),
      [{ key: one, title: methodName(one) }],
      methodReason(model, one, layers),
    ));
    case "layers": return comparedLayers(state).map((name) => request(
      optionsFor(model, settings, method, name, target),
      [{ key: name, title: name }],
      methodReason(model, method, model.layers.filter((one) => layerName(one) === name)),
    ));
    case "classes": return [request(
      optionsFor(model, settings, method, layer, target),
      targets.map((index) => ({ key: String(index), title: className(model, index), index })),
    )];
    default: return [request(
      optionsFor(model, settings, method, layer, target),
      [{ key: "single", title: methodName(method) }],
    )];
  }
}

/** Whether the maps of the current settings are signed. */
export function isSigned(state) {
  if (!state.model) return state.settings.signed;
  return planOf(state).some(({ options }) => options.signed);
}
