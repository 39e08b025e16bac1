// HTTP client for the API. Every failure is a `Problem` with a title and usually a detail.

let apiKey = "";
let onUnauthorized = () => {};

/** Sends this key with every request from now on; an empty one sends none. */
export function setApiKey(key) {
  apiKey = key;
}

/** Calls `listener(hadKey)` after each response that asks for an API key. */
export function whenUnauthorized(listener) {
  onUnauthorized = listener;
}

/** The headers that a request needs besides its own. */
export function keyHeaders() {
  return apiKey ? { authorization: `Bearer ${apiKey}` } : {};
}

/** A problem document (RFC 9457), or a failure on this side described in the same terms. */
export class Problem extends Error {
  constructor({ title, detail = "", status = 0, type = "", option = "", request_id = "" }) {
    super(detail ? `${title}: ${detail}` : title);
    Object.assign(this, { title, detail, status, type, option, requestId: request_id });
  }
}

async function send(path, init) {
  let response;
  try {
    response = await fetch(path, { ...init, headers: { ...init.headers, ...keyHeaders() } });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem({
      title: "The server did not respond",
      detail: "It may be down, or it closed the connection because the file is too large.",
    });
  }
  if (response.ok) return response;
  if (response.status === 401) onUnauthorized(apiKey !== "");
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // A proxy may respond in the server's place, without a problem document.
  }
  const { status } = response;
  throw new Problem({ title: `The server responded with status ${status}`, status, ...problem });
}

export async function getJson(path, signal) {
  return (await send(path, { signal, headers: { accept: "application/json" } })).json();
}

/** A file of this service, such as a sample. */
export async function getFile(path, name) {
  const blob = await (await send(path, {})).blob();
  return new File([blob], name, { type: blob.type });
}

/** A multipart form with the image and its options. Empty options keep the server's default. */
function form(image, options) {
  const body = new FormData();
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && value !== null && value !== "") body.append(name, value);
  }
  body.append("image", image, image.name || "image");
  return body;
}

/**
 * Posts an image and returns the JSON response. Requests a stream of server-sent events and calls
 * `onEvent(event, data)` for each. A proxy may drop the `Accept` header's first choice, so a plain
 * JSON response is read, too.
 */
export async function postForJson(path, image, options, signal, onEvent) {
  const headers = { accept: "text/event-stream, application/json;q=0.9" };
  const body = form(image, { ...options, output: "json" });
  const response = await send(path, { method: "POST", body, headers, signal });
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  return isStream ? readEvents(response, signal, onEvent) : response.json();
}

/** Reads server-sent events up to the `result` event, which it returns, or a `problem` event. */
async function readEvents(response, signal, onEvent) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const next = () => reader.read().catch((error) => {
    if (signal.aborted) throw error;
    return { done: true };
  });
  let text = "";
  for (let { done, value } = await next(); !done; { done, value } = await next()) {
    const frames = (text + decoder.decode(value, { stream: true })).split("\n\n");
    text = frames.pop();
    for (const frame of frames) {
      const [, event, data] = frame.match(/^event: (.*)\ndata: (.*)$/) ?? [];
      if (event === "result") return JSON.parse(data);
      if (event === "problem") throw new Problem(JSON.parse(data));
      if (event) onEvent(event, JSON.parse(data));
    }
  }
  throw new Problem({
    title: "The response was cut off",
    detail: "The connection to the server was lost before the response was complete.",
  });
}

/** Posts an image and returns its classes, without a map. */
export async function postForPredictions(image, options, signal) {
  const headers = { accept: "application/json" };
  const body = form(image, options);
  return (await send("/v1/predict", { method: "POST", body, headers, signal })).json();
}

/** Posts an image and returns the response as a blob, such as a PNG. */
export async function postForBlob(path, image, options, signal) {
  return (await send(path, { method: "POST", body: form(image, options), signal })).blob();
}
