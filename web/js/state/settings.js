// Fits settings, which may come from an address, to a model.

import { exactClass } from "../lib/class-search.js";
import { className } from "./plan.js";
import { conventionReason, layerName, selectedLayers } from "./support.js";

/** Settings without what the model does not have. */
export function settingsFor(model, settings) {
  if (!model) return settings;
  const names = model.layers.map(layerName);
  const isClass = (index) => Number.isInteger(index) && index >= 0 && index < model.output.classes;
  const layers = settings.layers.filter((name) => names.includes(name));
  const usable = (method) => model.methods[method]?.available;
  const [layer] = selectedLayers({ model, settings: { layers } });
  const fallback = Object.keys(model.methods).find(usable) ?? settings.method;
  const isUsable = settings.method in model.methods
    && (usable(settings.method) || layer?.methods.includes(settings.method));
  const method = isUsable ? settings.method : fallback;
  const isKnown = ["none", "methods", "layers"].includes(settings.compare);
  return {
    ...settings,
    compare: isKnown ? settings.compare : "none",
    method,
    layers,
    comparedLayers: settings.comparedLayers.filter((name) => names.includes(name)),
    methods: settings.methods.filter((one) => one in model.methods),
    targets: [...new Set(settings.targets.filter(isClass))],
    contrast: contrastFor(model, settings.contrast),
    convention: conventionReason(method, settings.convention) ? "paper" : settings.convention,
    budget: Number.isInteger(settings.budget) ? settings.budget : null,
  };
}

/** The index of a contrast class that is given by index or name; empty where there is none. */
function contrastFor(model, text) {
  const index = exactClass(text, model.output.classes, (at) => className(model, at));
  return index === null ? "" : String(index);
}
