// A server with the real one's routes and shapes and invented answers, to work on the page
// without a model: `npm run stub`, then open the address it prints.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { crc32, deflateSync } from "node:zlib";
import { parse } from "yaml";

const root = new URL("../../", import.meta.url);
const asset = (name) => readFileSync(new URL(`web/${name}`, root));
const types = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml" };
const sleep = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

const labels = Array.from({ length: 1000 }, (_, index) => `thing number ${index}`);
Object.assign(labels, { 281: "tabby", 282: "tiger cat", 283: "Persian cat", 285: "Egyptian cat", 287: "lynx", 904: "window screen" });
const SCORES = [[285, 0.712, 15.2], [281, 0.161, 13.71], [282, 0.094, 13.17], [287, 0.011, 11.02], [904, 0.0006, 8.1], [283, 0.0004, 7.7]];

const layers = [["block3_conv3", 256, 56], ["block4_conv3", 512, 28], ["block5_conv3", 512, 14]].map(([alias, channels, side]) => ({
  name: `functional_1/${alias}_1/Relu`, alias, tensor: `functional_1/${alias}_1/Relu:0`, shape: [channels, side, side], layout: "nchw", gradients: true, gradient: "exact", methods: ["gradcam++", "gradcam", "scorecam"],
}));
const available = { available: true };
const MODELS = {
  vgg16: {
    id: "vgg16", status: "ready", file: "model.onnx",
    input: { name: "input_1", shape: [null, 3, 224, 224], size: [224, 224], layout: "nchw", color: "bgr", resize: "nearest", fit: "stretch", scale: 1, mean: [103.939, 116.779, 123.68], std: [1, 1, 1] },
    output: { name: "predictions", others: [], kind: "logits", classes: 1000 },
    labels, layers, default_layer: "block5_conv3",
    methods: { "gradcam": available, "gradcam++": available, "scorecam": available },
  },
};
MODELS.cropped = {
  ...MODELS.vgg16, id: "cropped", labels: [],
  input: { ...MODELS.vgg16.input, fit: "crop", crop_ratio: 0.875 },
  methods: {
    "gradcam": { available: false, reason: "the operator LRN after block5_conv3 has no gradient here" },
    "gradcam++": { available: false, reason: "the operator LRN after block5_conv3 has no gradient here" },
    "scorecam": available,
  },
};
const SUMMARIES = [
  { id: "vgg16", ready: true, status: "ready" },
  { id: "cropped", ready: true, status: "ready" },
  { id: "broken", ready: false, status: "failed", error: "the file does not have the sha256 that model.toml names" },
];

class Refusal extends Error {
  constructor(status, slug, title, detail, option) {
    super(detail);
    this.problem = { type: `/docs#problem-${slug}`, title, status, detail, option };
  }
}

/** A blob or two where a cat's face might be; class 904 gets nothing. A signed map has the smaller one below 0. */
function heatmap(method, target, side, signed) {
  const spread = { "gradcam": 0.16, "gradcam++": 0.22, "scorecam": 0.19 }[method];
  const [cx, cy] = { 281: [0.7, 0.3], 287: [0.25, 0.7] }[target] ?? [0.5, 0.4];
  const raw = Array.from({ length: side }, (_, y) => Array.from({ length: side }, (_, x) => {
    const near = (px, py, s) => Math.exp(-(((x + 0.5) / side - px) ** 2 + ((y + 0.5) / side - py) ** 2) / (2 * s * s));
    return near(cx, cy, spread) + (signed ? -0.6 : 0.35) * near(0.8, 0.75, 0.1);
  }));
  const max = Math.max(...raw.flat());
  const empty = target === 904;
  return { shape: [side, side], data: raw.map((row) => row.map((v) => (empty ? 0 : v / max))), max: empty ? 0 : 3.71, empty, ...(signed ? { signed } : {}) };
}

export function png(width, height, color) {
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2], 8);
  const rows = Buffer.alloc(height * (width * 3 + 1));
  for (let y = 0, at = 0; y < height; y++) {
    at++;
    for (let x = 0; x < width; x++, at += 3) rows.set(color(x / width, y / height), at);
  }
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

function sizeOf(image) {
  if (image.subarray(1, 4).toString() === "PNG") return { width: image.readUInt32BE(16), height: image.readUInt32BE(20) };
  if (["II*\0", "MM\0*", "\xff\xd8\xff", "RIFF", "GIF8", "BM"].some((magic) => image.toString("latin1", 0, 4).startsWith(magic))) return { width: 640, height: 427 };
  throw new Refusal(415, "unsupported-image", "The image type is not accepted", "this is not a PNG, JPEG, WebP, GIF, BMP or TIFF image");
}

async function read(request, url) {
  const options = Object.fromEntries(url.searchParams);
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks);
  const type = request.headers["content-type"] ?? "";
  let image = body;
  if (type.startsWith("multipart/form-data")) {
    const form = await new Response(body, { headers: { "content-type": type } }).formData();
    for (const [name, value] of form) {
      if (name === "image") image = Buffer.from(await value.arrayBuffer());
      else options[name] = value;
    }
  } else if (type === "application/json") {
    const { image: text, ...rest } = JSON.parse(body);
    Object.assign(options, rest);
    image = Buffer.from(String(text).replace(/^data:[^,]*,/, ""), "base64");
  }
  return { options, image, size: sizeOf(image) };
}

const canonical = (method) => ({ gradcampp: "gradcam++", "Grad-CAM++": "gradcam++" })[method] ?? method;

function settle({ options, size }) {
  const model = MODELS[options.model ?? "vgg16"];
  if (!model) throw new Refusal(404, "unknown-model", "There is no such model", `there is no model \`${options.model}\`; there are vgg16 and cropped`, "model");
  const method = canonical(options.method ?? "gradcam++");
  if (!(method in model.methods)) throw new Refusal(400, "invalid-option", "An option is not valid", `\`method\` is \`${options.method}\`; it can be gradcam, gradcam++ or scorecam`, "method");
  const wrong = (option, detail) => new Refusal(400, "invalid-option", "An option is not valid", detail, option);
  const names = (option, text) => {
    const list = text.split(",");
    if (list.length > 10) throw wrong(option, `option '${option}' takes 10 at most`);
    if (new Set(list).size < list.length) throw wrong(option, `option '${option}' names one twice`);
    return list;
  };
  const chosen = names("layer", options.layer ?? model.default_layer).map((name) => {
    const layer = model.layers.find((one) => [one.name, one.alias, one.tensor].includes(name));
    if (!layer) throw new Refusal(422, "unknown-layer", "The model has no such layer", `there is no layer \`${name}\``, "layer");
    return layer;
  });
  const named = ([index, probability, logit]) => ({ index, label: model.labels[index] ?? null, probability, logit });
  const predictions = SCORES.map(named).slice(0, Number(options.top_k ?? 5));
  const classOf = (option, text) => {
    if (!(Number(text) < 1000)) throw new Refusal(422, "unknown-class", "The model has no such class", `there is no class \`${text}\``, option);
    return SCORES.map(named).find((one) => one.index === Number(text)) ?? named([Number(text), 0.00002, 1.5]);
  };
  const targets = names("target", options.target ?? "285").map((name) => classOf("target", name));
  const contrast = options.contrast === undefined ? undefined : classOf("contrast", options.contrast);
  const negate = options.negate === "true" || undefined;
  const signed = options.signed === "true";
  if (signed && method === "gradcam++") throw wrong("signed", "Grad-CAM++ does not tell for from against; option 'signed' is for gradcam, scorecam");
  if (negate && method === "scorecam") {
    throw new Refusal(422, "impossible", "The model does not allow this explanation", "Score-CAM weighs by probabilities, and the negative of a probability speaks for nothing", "negate");
  }
  // Several layers meet at the size of the model's input.
  const side = chosen.length > 1 ? model.input.size[0] : chosen[0].shape[1];
  const layer = { shape: [chosen[0].shape[0], side, side], alias: chosen.map(({ alias }) => alias).join(",") };
  return { model, method, layer, target: targets[0], targets, contrast, negate, signed, predictions, image: size, convention: options.convention ?? "paper" };
}

async function explain(asked, signal, tell = () => {}) {
  const { model, method, layer, target, targets, contrast, negate, signed, predictions, image, convention } = settle(asked);
  const mapOf = (one) => ({ target: one, heatmap: heatmap(method, one.index, layer.shape[1], signed) });
  const channels = Math.min(layer.shape[0], Number(asked.options.max_channels ?? layer.shape[0]));
  const masked = method === "scorecam" ? Math.ceil(channels * 0.9) : 0;
  const ms = masked * Number(process.env.STUB_PASS_MS ?? 6) + 120;
  tell("started", {});
  for (let part = 0; masked && part < 8 && !signal.aborted; part++) {
    const done = Math.round((masked * part) / 8);
    tell("progress", { method, done, total: masked, remaining_s: done ? ((ms / 1000) * (masked - done)) / masked : null });
    if (done) tell("partial", { partial: true, method, done, total: masked, ...mapOf(target) });
    await sleep(ms / 8, signal);
  }
  await sleep(masked ? 0 : ms, signal);
  return {
    model: model.id, method, convention, layer: layer.alias, contrast, negate, predictions, image,
    ...(targets.length > 1 ? { maps: targets.map(mapOf) } : mapOf(target)),
    passes: { forward: 1, masked, skipped: masked ? channels - masked : 0 },
    timing_ms: { decode: 4.2, forward: 110, explain: ms - 114, render: 0 },
  };
}

const wants = (asked, request, otherwise) => asked.options.output ?? ({ "application/json": "json", "application/x-npy": "npy" })[request.headers.accept] ?? otherwise;

async function answer(request, url, signal) {
  const path = url.pathname;
  if (request.method === "POST" && path === "/v1/explain") {
    const asked = await read(request, url);
    // What is wrong from the start is an ordinary problem.
    settle(asked);
    if (request.headers.accept?.startsWith("text/event-stream")) return { stream: (tell) => explain(asked, signal, tell) };
    const made = await explain(asked, signal);
    const output = wants(asked, request, "overlay");
    if (output === "json") return { json: made };
    const headers = { "camlens-model": made.model, "camlens-method": made.method, "camlens-layer": made.layer, "camlens-target": (made.maps ?? [made]).map(({ target }) => target.index).join(","), "server-timing": "forward;dur=110.0" };
    if (output === "npy") return { type: "application/x-npy", body: Buffer.from("\x93NUMPY", "latin1"), headers };
    return { type: "image/png", body: png(made.image.width, made.image.height, (x, y) => [x * 255, y * 255, 120]), headers };
  }
  if (request.method === "POST" && path === "/v1/compare") {
    const asked = await read(request, url);
    const made = settle(asked);
    const methods = (asked.options.methods ?? "gradcam,gradcam++,scorecam").split(",").map(canonical);
    if (wants(asked, request, "figure") !== "json") return { type: "image/png", body: png(900, 420, (x, y) => [x * 255, 140, y * 255]) };
    const maps = {};
    for (const method of methods) {
      const { convention, heatmap: map, passes } = await explain({ ...asked, options: { ...asked.options, method } }, signal);
      maps[method] = { convention, heatmap: map, passes };
    }
    return { json: { model: made.model.id, layer: made.layer.alias, convention: made.convention, target: made.target, predictions: made.predictions, image: made.image, maps, timing_ms: { decode: 4, forward: 110, explain: 900, render: 0 } } };
  }
  if (request.method === "POST" && path === "/v1/predict") {
    const { model, predictions, image } = settle(await read(request, url));
    return { json: { model: model.id, predictions, image, timing_ms: { decode: 4, forward: 110 } } };
  }
  if (request.method === "GET") {
    if (path === "/") return { type: types.html, body: asset("index.html") };
    if (path === "/docs") return { type: types.html, body: asset("docs.html") };
    if (path.startsWith("/assets/")) {
      const name = path.slice(8);
      if (/^[a-z/-]+\.(js|css|svg)$/.test(name)) return { type: types[name.split(".")[1]], body: asset(name) };
    }
    if (path === "/openapi.yaml") return { type: "application/yaml", body: readFileSync(new URL("openapi.yaml", root)) };
    if (path === "/openapi.json") return { json: parse(readFileSync(new URL("openapi.yaml", root), "utf8")) };
    if (path === "/v1/models") return { json: { default: "vgg16", models: SUMMARIES } };
    if (path.startsWith("/v1/models/")) {
      const model = MODELS[path.slice(11)];
      if (model) return { json: model };
      throw new Refusal(404, "unknown-model", "There is no such model", `there is no model \`${path.slice(11)}\``, "model");
    }
    if (path === "/health/live") return { json: { status: "ok" } };
    if (path === "/health/ready") return { json: { status: "ready", models: SUMMARIES } };
    if (path === "/metrics") return { type: "text/plain; version=0.0.4", body: "# TYPE camlens_up gauge\ncamlens_up 1\n" };
  }
  throw new Refusal(404, "not-found", "There is nothing at this path", `there is nothing at ${path}`);
}

export function start(port = 0) {
  const server = createServer(async (request, response) => {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const id = crypto.randomUUID();
    const common = { "x-request-id": id, "content-security-policy": "default-src 'self'; img-src 'self' blob: data:", "x-content-type-options": "nosniff" };
    try {
      const made = await answer(request, new URL(request.url, "http://stub"), gone.signal);
      if (made.stream) {
        response.writeHead(200, { ...common, "content-type": "text/event-stream", "cache-control": "no-store" });
        const tell = (event, data) => response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
        const problem = ({ problem }) => ["problem", { ...problem, request_id: id }];
        tell(...(await made.stream(tell).then((result) => ["result", result], problem)));
        response.end();
        return;
      }
      const body = made.json ? JSON.stringify(made.json) : made.body;
      response.writeHead(200, { ...common, "content-type": made.json ? "application/json" : made.type, ...made.headers }).end(body);
    } catch (error) {
      const problem = error.problem ?? { type: "/docs#problem-internal", title: "Something went wrong on our side", status: 500 };
      if (!error.problem) console.error(error);
      response.writeHead(problem.status, { ...common, "content-type": "application/problem+json" }).end(JSON.stringify({ ...problem, request_id: id }));
    }
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const server = await start(Number(process.env.PORT ?? 8099));
  console.log(`http://127.0.0.1:${server.address().port}`);
}
