// Talks to the server. Every failure comes out as a `Problem` with a title and, mostly, a detail.

export class Problem extends Error {
  constructor({ title, detail = "", status = 0, type = "", option = "", request_id = "" }) {
    super(detail ? `${title}: ${detail}` : title);
    Object.assign(this, { title, detail, status, type, option, requestId: request_id });
  }
}

async function send(path, init) {
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Problem({
      title: "The server did not answer",
      detail: "It may be down, or it closed the connection because the file is too large.",
    });
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // Something between us and the server answered, in its own words.
  }
  throw new Problem({ title: `The server answered ${response.status}`, status: response.status, ...problem });
}

export async function getJson(path, signal) {
  return (await send(path, { signal, headers: { accept: "application/json" } })).json();
}

/** Options as a multipart form with the image; what is undefined, null or empty is left to the server. */
function form(image, options) {
  const body = new FormData();
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined && value !== null && value !== "") body.append(name, value);
  }
  body.append("image", image, image.name || "image");
  return body;
}

/**
 * The JSON answer. The server is asked to tell how it goes, and what it tells is passed to
 * `hear(event, data)`; where something on the way knows no streams, the answer just comes.
 */
export async function askJson(path, image, options, signal, hear) {
  const headers = { accept: "text/event-stream, application/json;q=0.9" };
  const body = form(image, { ...options, output: "json" });
  const response = await send(path, { method: "POST", body, headers, signal });
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  return isStream ? lastOf(response, signal, hear) : response.json();
}

/** Reads a stream of events to its end, which is the answer or a problem. */
async function lastOf(response, signal, hear) {
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
      if (event) hear(event, JSON.parse(data));
    }
  }
  throw new Problem({ title: "The answer broke off", detail: "The connection to the server was lost before the end." });
}

export async function askPicture(path, image, options, signal) {
  return (await send(path, { method: "POST", body: form(image, options), signal })).blob();
}

/** A word as a POSIX shell reads it back unchanged. */
export function shellWord(text) {
  return /^[\w.,:=@%/+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The `-F` argument that uploads a file of this name. */
export function curlFile(name) {
  const plain = /^[\w.-]+$/.test(name);
  return shellWord(`image=@${plain ? name : `"${name.replace(/[\\"]/g, "\\$&")}"`}`);
}
