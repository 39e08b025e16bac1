// The request for a picture that looks like what the page shows, without the server's defaults.

import { queryName } from "../lib/methods.js";
import { isCropped } from "../map/resize.js";
import { DEFAULT_DISPLAY } from "./initial.js";
import { comparedMethods, isSigned, modeOf, planOf } from "./plan.js";
import { defaultLayer, effective, layerName, methodReason, selectedLayers } from "./support.js";

const DEFAULT_WEIGHTS = { unsigned: { mix: 0.5, add: 0.8 }, signed: { mix: 0.8, add: 0.8 } };

/** Method → the blend that a convention's own pictures have. */
const defaultBlend = (kind, convention) => (
  kind === "unsigned" && convention === "article" ? "add" : "mix"
);

/** The weight that the server uses with a blend where a request names none. */
export function defaultWeight(kind, blend) {
  return DEFAULT_WEIGHTS[kind][blend];
}

function withoutDefaults(state, options) {
  const { model, models } = state;
  const own = { ...options };
  if (own.model === models?.default) delete own.model;
  if (own.layer === layerName(defaultLayer(model))) delete own.layer;
  if (own.convention === "paper") delete own.convention;
  const isSet = ([, value]) => value !== "" && value !== null && value !== undefined;
  return Object.fromEntries(Object.entries(own).filter(isSet));
}

/** The options for the colours. `hasImage` says whether the picture shows through. */
function colorOptions({ display, settings }, kind, hasImage) {
  const { colormap, blend, weight } = display[kind];
  const usual = defaultBlend(kind, settings.convention);
  return {
    colormap: colormap === DEFAULT_DISPLAY[kind].colormap ? null : colormap,
    blend: !hasImage || blend === usual ? null : blend,
    weight: !hasImage || weight === defaultWeight(kind, blend) ? null : weight,
  };
}

/** Says where the picture of a request differs from what the page shows. */
function noteOf({ display, model, image }, mode) {
  const { view } = display;
  const isCentreAlone = image ? isCropped(image, model.input) : model.input.fit === "crop";
  const notes = [];
  if (mode === "layers") {
    notes.push("One request gives the map of one layer; these are for the first.");
  }
  if (view === "original") notes.push("The download is the overlay, not the picture alone.");
  if (view === "map" && mode === "methods") {
    notes.push("The figure of several methods shows overlays, not the maps alone.");
  } else if (view === "map" && isCentreAlone) {
    notes.push("The download does not mark what the model does not receive: there it has the "
      + "colour of 0.");
  }
  return notes.join(" ");
}

/**
 * The request as `{ path, options, name }`. A comparison of layers has no picture of its own, so it
 * gives that of its first layer; `note` says so, and what else differs from the page.
 */
export function pictureRequest(state) {
  const kind = isSigned(state) ? "signed" : "unsigned";
  const mode = modeOf(state.settings);
  if (mode === "methods") return comparison(state, kind);
  const [request] = planOf(state);
  const { view, emphasize } = state.display;
  const options = { ...request.options, method: queryName(request.options.method) };
  if (view === "map") options.output = "heatmap";
  if (emphasize) options.emphasize = true;
  Object.assign(options, colorOptions(state, kind, view !== "map"));
  return {
    path: "/v1/explain",
    options: withoutDefaults(state, options),
    name: queryName(request.options.method),
    note: noteOf(state, mode),
  };
}

function comparison(state, kind) {
  const { model, settings } = state;
  const layers = selectedLayers(state);
  const methods = comparedMethods(state)
    .filter((method) => !methodReason(model, method, layers));
  const usable = methods.map((method) => effective(model, method, settings));
  const any = (name) => usable.map((own) => own[name]).find(Boolean) ?? "";
  const options = {
    model: model.id,
    methods: methods.map(queryName).join(","),
    layer: layers.map(layerName).join(","),
    target: settings.targets.join(","),
    convention: settings.convention,
    score: any("score"),
    contrast: any("contrast"),
    negate: any("negate"),
    signed: any("signed"),
    max_channels: any("maxChannels"),
    budget: any("budget"),
    ...colorOptions(state, kind, true),
  };
  return {
    path: "/v1/compare",
    options: withoutDefaults(state, options),
    name: "compare",
    note: noteOf(state, "methods"),
  };
}
