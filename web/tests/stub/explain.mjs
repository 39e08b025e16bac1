// The stub's explanations: validates options as the server does and makes up maps.

import { MODELS, predictions, scoresOf } from "./models.mjs";

const MAX_LIST = 10;

export class ProblemError extends Error {
  constructor(status, slug, title, detail, option) {
    super(detail);
    this.problem = { type: `/docs#problem-${slug}`, title, status, detail, option };
  }
}

function invalid(option, detail) {
  return new ProblemError(400, "invalid-option", "An option is not valid", detail, option);
}

export function canonicalMethod(method) {
  const known = { gradcampp: "gradcam++", smoothgradcampp: "smoothgradcam++" };
  return known[method] ?? method;
}

/** Validates the options of a request and completes them with defaults. */
export function validate({ options, size }) {
  const model = modelOf(options);
  const method = methodOf(options, model);
  const layer = layerOf(options, model);
  const targets = list("target", options.target ?? "285").map((text) => (
    classOf(model, "target", text)
  ));
  const contrast = options.contrast === undefined
    ? undefined
    : classOf(model, "contrast", options.contrast);
  const negate = options.negate === "true" || undefined;
  const signed = options.signed === "true";
  if (signed && method === "gradcam++") {
    throw invalid("signed", "option 'signed' does not apply to gradcam++");
  }
  if (negate && method === "scorecam") {
    throw new ProblemError(
      422, "impossible", "The model does not allow this explanation",
      "Score-CAM needs probabilities, which have no negative", "negate",
    );
  }
  return {
    model, method, layer, target: targets[0], targets, contrast, negate, signed,
    predictions: predictions(model).slice(0, Number(options.top_k ?? 5)),
    image: size, convention: options.convention ?? "paper",
    maxChannels: Number(options.max_channels ?? layer.shape[0]),
    budget: Number(options.budget ?? Infinity),
  };
}

function modelOf({ model: id = "vgg16" }) {
  if (MODELS[id]) return MODELS[id];
  const detail = `there is no model \`${id}\`; there are vgg16 and cropped`;
  throw new ProblemError(404, "unknown-model", "There is no such model", detail, "model");
}

function methodOf({ method: name = "gradcam++" }, model) {
  const method = canonicalMethod(name);
  if (method in model.methods) return method;
  throw invalid("method", `\`method\` is \`${name}\`; it can be gradcam and others`);
}

/** One layer, or several as one with the size of the model's input. */
function layerOf({ layer: text }, model) {
  const layers = list("layer", text ?? model.default_layer).map((name) => {
    const layer = model.layers.find((one) => [one.name, one.alias, one.tensor].includes(name));
    if (layer) return layer;
    const detail = `there is no layer \`${name}\``;
    throw new ProblemError(422, "unknown-layer", "The model has no such layer", detail, "layer");
  });
  const [{ shape: [channels, rows] }] = layers;
  const side = layers.length > 1 ? model.input.size[0] : rows;
  return { shape: [channels, side, side], alias: layers.map(({ alias }) => alias).join(",") };
}

function classOf(model, option, text) {
  if (Number(text) < 1000) return scoresOf(model, Number(text));
  const detail = `there is no class \`${text}\``;
  throw new ProblemError(422, "unknown-class", "The model has no such class", detail, option);
}

function list(option, text) {
  const items = text.split(",");
  const duplicates = new Set(items).size < items.length;
  if (items.length > MAX_LIST) throw invalid(option, `'${option}' takes at most ${MAX_LIST}`);
  if (duplicates) throw invalid(option, `'${option}' has a duplicate`);
  return items;
}

/**
 * A map with a large and a small blob; class 904 has an empty map. In a signed map the small blob
 * is negative.
 */
function heatmap(method, target, side, signed) {
  const spread = { "gradcam++": 0.22, "scorecam": 0.19, "eigencam": 0.25, "layercam": 0.12 }[method]
    ?? 0.16;
  const [centerX, centerY] = { 281: [0.7, 0.3], 287: [0.25, 0.7] }[target] ?? [0.5, 0.4];
  const cells = Array.from({ length: side }, (_, cell) => (cell + 0.5) / side);
  const blob = (x, y, [blobX, blobY], size) => (
    Math.exp(-((x - blobX) ** 2 + (y - blobY) ** 2) / (2 * size * size))
  );
  const value = (x, y) => (
    blob(x, y, [centerX, centerY], spread)
      + (signed ? -0.6 : 0.35) * blob(x, y, [0.8, 0.75], 0.1)
  );
  const raw = cells.map((y) => cells.map((x) => value(x, y)));
  const max = Math.max(...raw.flat());
  const empty = target === 904;
  const data = raw.map((row) => row.map((one) => (empty ? 0 : one / max)));
  return {
    shape: [side, side], data, max: empty ? 0 : 3.71, empty, ...(signed ? { signed } : {}),
  };
}

/**
 * The JSON response to a request. Takes as long as a small machine would, and calls
 * `onEvent(event, data)` on the way.
 */
export async function explain(request, signal, onEvent = () => {}) {
  const valid = validate(request);
  const { model, method, layer, target, targets, contrast, negate, signed } = valid;
  const mapOf = (one) => (
    { target: one, heatmap: heatmap(method, one.index, layer.shape[1], signed) }
  );
  const final = (one) => {
    const map = mapOf(one);
    if (masked < needed) map.heatmap.estimate = { correlation: 0.981, at_least: 0.962 };
    return map;
  };
  const channels = Math.min(layer.shape[0], valid.maxChannels);
  const needed = method === "scorecam" ? Math.ceil(channels * 0.9) : 0;
  const masked = Math.min(needed, valid.budget);
  const ms = masked * Number(process.env.STUB_PASS_MS ?? 25) + 120;
  onEvent("started", {});
  for (let part = 0; masked && part < 8 && !signal.aborted; part++) {
    const done = Math.round((masked * part) / 8);
    const remaining = done ? ((ms / 1000) * (masked - done)) / masked : null;
    onEvent("progress", { method, done, total: masked, remaining_s: remaining });
    if (done) onEvent("partial", { partial: true, method, done, total: masked, ...mapOf(target) });
    await sleep(ms / 8, signal);
  }
  await sleep(masked ? 0 : ms, signal);
  return {
    model: model.id, method, convention: valid.convention, layer: layer.alias, contrast, negate,
    predictions: valid.predictions, image: valid.image,
    ...(targets.length > 1 ? { maps: targets.map(final) } : final(target)),
    warnings: target.index === 904
      ? [{ code: "empty-map", detail: "no channel speaks for the class" }] : [],
    passes: { forward: 1, masked, skipped: masked ? channels - masked : 0 },
    timing_ms: { decode: 4.2, forward: 110, explain: ms - 114, render: 0 },
  };
}

function sleep(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
