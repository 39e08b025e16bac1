// What a tab keeps over a reload and forgets when it is closed: the picture, the API key, and how
// long methods took.
//
// Session storage holds text, about five million characters. A picture is packed 15 bits to a
// character, so that one of nine megabytes fits; such characters are never surrogates.

const PICTURE = "camlens-picture";
const KEY = "camlens-key";
const TIMES = "camlens-times";
const BITS = 15;

/** Packs bytes into a text of their length and 15 bits a character. */
export function pack(bytes) {
  const units = new Uint16Array(Math.ceil((bytes.length * 8) / BITS));
  let held = 0;
  let count = 0;
  let at = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    count += 8;
    if (count < BITS) continue;
    count -= BITS;
    units[at++] = held >> count;
    held &= (1 << count) - 1;
  }
  if (count > 0) units[at] = held << (BITS - count);
  let text = "";
  for (let start = 0; start < units.length; start += 8192) {
    text += String.fromCharCode(...units.subarray(start, start + 8192));
  }
  return text;
}

/** The `length` bytes in a text of `pack`. */
export function unpack(text, length) {
  const bytes = new Uint8Array(length);
  let held = 0;
  let count = 0;
  let unit = 0;
  for (let at = 0; at < length; at++) {
    if (count < 8) {
      held = (held << BITS) | text.charCodeAt(unit++);
      count += BITS;
    }
    count -= 8;
    bytes[at] = held >> count;
    held &= (1 << count) - 1;
  }
  return bytes;
}

/** Keeps a picture. Returns false where it does not fit; then none is kept. */
export async function savePicture(file) {
  forgetPicture();
  try {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const about = { name: file.name, type: file.type, length: bytes.length };
    sessionStorage.setItem(PICTURE, `${JSON.stringify(about)}\n${pack(bytes)}`);
    return true;
  } catch {
    forgetPicture();
    return false;
  }
}

/** The picture that was kept, or null. */
export function savedPicture() {
  try {
    const text = sessionStorage.getItem(PICTURE);
    const end = text.indexOf("\n");
    const { name, type, length } = JSON.parse(text.slice(0, end));
    return new File([unpack(text.slice(end + 1), length)], name, { type });
  } catch {
    return null;
  }
}

export function forgetPicture() {
  try {
    sessionStorage.removeItem(PICTURE);
  } catch {
    // A browser may forbid storage; then nothing was kept.
  }
}

export function apiKey() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

export function saveApiKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The entries of `Estimate` that were kept. */
export function savedTimes() {
  try {
    return JSON.parse(sessionStorage.getItem(TIMES)) ?? [];
  } catch {
    return [];
  }
}

export function saveTimes(entries) {
  try {
    sessionStorage.setItem(TIMES, JSON.stringify(entries));
  } catch {
    // Full or forbidden: then the page learns the times again.
  }
}
