// A server with the routes and responses of the real one, for work on the page without a model.
// `npm run stub` prints its address.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { parse } from "yaml";
import { png } from "../png.mjs";
import { ProblemError, canonicalMethod, explain, validate } from "./explain.mjs";
import { pageFile, sampleFile } from "./files.mjs";
import { MODELS, SUMMARIES } from "./models.mjs";

const root = new URL("../../../", import.meta.url);
const readFile = (path) => readFileSync(new URL(path, root));
const GET = {
  "/openapi.yaml": () => ({ type: "application/yaml", body: readFile("openapi.yaml") }),
  "/openapi.json": () => ({ json: parse(String(readFile("openapi.yaml"))) }),
  "/v1/models": () => (
    { json: { models: SUMMARIES.map(({ id }) => id), default: "vgg16", details: SUMMARIES } }
  ),
  "/health/live": () => ({ json: { status: "ok" } }),
  "/health/ready": () => ({ json: { status: "ready", models: SUMMARIES } }),
  "/metrics": () => (
    { type: "text/plain; version=0.0.4", body: "# TYPE camlens_up gauge\ncamlens_up 1\n" }
  ),
};
const POST = {
  "/v1/explain": postExplain,
  "/v1/compare": postCompare,
  "/v1/predict": postPredict,
};

async function respond(request, url, signal) {
  const path = url.pathname;
  const { method } = request;
  if (method === "POST" && POST[path]) return POST[path](await read(request, url), request, signal);
  if (method === "GET" && GET[path]) return GET[path]();
  if (method === "GET") {
    const file = pageFile(path) ?? sampleFile(path);
    if (file) return file;
    const [, id] = path.match(/^\/v1\/models\/([^/]+)$/) ?? [];
    if (MODELS[id]) return { json: MODELS[id] };
  }
  const detail = `there is nothing at ${path}`;
  throw new ProblemError(404, "not-found", "There is nothing at this path", detail);
}

/** Reads the image and the options from a form, JSON or a raw body. */
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

/** The size of a PNG, or an invented one for any other image type. */
function sizeOf(image) {
  if (image.subarray(1, 4).toString() === "PNG") {
    return { width: image.readUInt32BE(16), height: image.readUInt32BE(20) };
  }
  const start = image.toString("latin1", 0, 4);
  const isImage = ["II*\0", "MM\0*", "\xff\xd8\xff", "RIFF", "GIF8", "BM"]
    .some((magic) => start.startsWith(magic));
  if (isImage) return { width: 640, height: 427 };
  throw new ProblemError(
    415, "unsupported-image", "The image type is not accepted",
    "this is not a PNG, JPEG, WebP, GIF, BMP or TIFF image",
  );
}

function outputOf({ options }, { headers }, fallback) {
  const byType = { "application/json": "json", "application/x-npy": "npy" };
  return options.output ?? byType[headers.accept] ?? fallback;
}

async function postExplain(input, request, signal) {
  // Invalid options are an ordinary problem response, also to a request for a stream.
  validate(input);
  if (request.headers.accept?.startsWith("text/event-stream")) {
    return { stream: (onEvent) => explain(input, signal, onEvent) };
  }
  const response = await explain(input, signal);
  const output = outputOf(input, request, "overlay");
  if (output === "json") return { json: response };
  const headers = {
    "camlens-model": response.model,
    "camlens-method": response.method,
    "camlens-layer": response.layer,
    "camlens-target": (response.maps ?? [response]).map(({ target }) => target.index).join(","),
    "server-timing": "forward;dur=110.0",
  };
  if (output === "npy") {
    return { type: "application/x-npy", body: Buffer.from("\x93NUMPY", "latin1"), headers };
  }
  const { width, height } = response.image;
  const body = png(width, height, (x, y) => [x * 255, y * 255, 120]);
  return { type: "image/png", body, headers };
}

async function postCompare(input, request, signal) {
  const { model, layer, convention, target, predictions, image } = validate(input);
  if (outputOf(input, request, "figure") !== "json") {
    return { type: "image/png", body: png(900, 420, (x, y) => [x * 255, 140, y * 255]) };
  }
  const maps = {};
  const methods = (input.options.methods ?? "gradcam,gradcam++,scorecam").split(",");
  for (const method of methods.map(canonicalMethod)) {
    const one = { ...input, options: { ...input.options, method } };
    const { convention, heatmap, passes } = await explain(one, signal);
    maps[method] = { convention, heatmap, passes };
  }
  const timing = { decode: 4, forward: 110, explain: 900, render: 0 };
  return {
    json: {
      model: model.id, layer: layer.alias, convention, target, predictions, image, maps,
      timing_ms: timing,
    },
  };
}

function postPredict(input) {
  const { model, predictions, image } = validate(input);
  return {
    json: { model: model.id, predictions, image, timing_ms: { decode: 4, forward: 110 } },
  };
}

function problemOf(error, id) {
  if (!error.problem) console.error(error);
  const internal = {
    type: "/docs#problem-internal", title: "Internal error", status: 500,
  };
  return { ...(error.problem ?? internal), request_id: id };
}

async function sendEvents(response, stream, id) {
  const send = (event, data) => (
    response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  );
  try {
    send("result", await stream(send));
  } catch (error) {
    send("problem", problemOf(error, id));
  }
  response.end();
}

/** Starts the stub. Without a port it takes a free one. */
export function start(port = 0) {
  const server = createServer(async (request, response) => {
    const closed = new AbortController();
    response.on("close", () => closed.abort());
    const id = crypto.randomUUID();
    const common = {
      "x-request-id": id,
      "content-security-policy": "default-src 'self'; img-src 'self' blob: data:",
      "x-content-type-options": "nosniff",
    };
    try {
      const url = new URL(request.url, "http://stub");
      const { stream, json, type, body, headers } = await respond(request, url, closed.signal);
      if (stream) {
        const streamHeaders = { "content-type": "text/event-stream", "cache-control": "no-store" };
        response.writeHead(200, { ...common, ...streamHeaders });
        await sendEvents(response, stream, id);
        return;
      }
      const contentType = json ? "application/json" : type;
      response.writeHead(200, { ...common, "content-type": contentType, ...headers });
      response.end(json ? JSON.stringify(json) : body);
    } catch (error) {
      const problem = problemOf(error, id);
      const headers = { ...common, "content-type": "application/problem+json" };
      response.writeHead(problem.status, headers).end(JSON.stringify(problem));
    }
  });
  return new Promise((resolve) => server.listen(port, "127.0.0.1", () => resolve(server)));
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const server = await start(Number(process.env.PORT ?? 8099));
  console.log(`http://127.0.0.1:${server.address().port}`);
}
