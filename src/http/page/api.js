// Talks to the server. Every failure comes out as a `Problem` with a title and, mostly, a detail.

export class Problem extends Error {
  constructor({ title, detail = "", status = 0, type = "", request_id = "" }) {
    super(detail ? `${title}: ${detail}` : title);
    Object.assign(this, { title, detail, status, type, requestId: request_id });
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

export async function askJson(path, image, options, signal) {
  const body = form(image, { ...options, output: "json" });
  return (await send(path, { method: "POST", body, signal })).json();
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
