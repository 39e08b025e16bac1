// Shows a response that a form received: status, headers and content.

import { make, save } from "../lib/dom.js";
import { code, pretty } from "./markup.js";

const MAX_TEXT_LENGTH = 20_000;
const EXTENSIONS = {
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "image/svg+xml": "svg",
  "application/x-npy": "npy",
  "application/json": "json",
};

const count = (number) => number.toLocaleString("en");

/** The elements for a response, whose body is `blob` and which took `ms` milliseconds. */
export async function receivedResponse(response, blob, ms) {
  const type = response.headers.get("content-type") ?? "";
  const className = `status${response.ok ? "" : " bad"}`;
  const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`);
  const parts = [
    make(
      "p", {},
      make("span", { className }, String(response.status)),
      ` in ${Math.round(ms)} ms, ${count(blob.size)} bytes`,
    ),
    code(headers.join("\n"), "wrap"),
  ];
  if (type.startsWith("image/")) {
    const alt = "The picture in the response";
    parts.push(make("img", { src: URL.createObjectURL(blob), alt }));
  } else if (type.includes("json")) {
    parts.push(code(clip(pretty(JSON.parse(await blob.text())))));
  } else if (/^text\/|yaml/.test(type)) {
    parts.push(code(clip(await blob.text())));
  }
  if (response.ok) {
    const extension = EXTENSIONS[type.split(";")[0]] ?? "txt";
    const onclick = () => save(blob, `response.${extension}`);
    const button = make("button", { type: "button", className: "quiet", onclick }, "Save response");
    parts.push(make("p", {}, button));
  }
  return parts;
}

function clip(text) {
  if (text.length <= MAX_TEXT_LENGTH) return text;
  const rest = count(text.length - MAX_TEXT_LENGTH);
  return `${text.slice(0, MAX_TEXT_LENGTH)}\n… (${rest} more characters)`;
}
