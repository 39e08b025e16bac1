// Text, code and tables of the documentation.

import { make } from "../lib/dom.js";

/** Paragraphs, from the subset of Markdown that the contract uses: `code` and **bold**. */
export function prose(text = "") {
  return text.trim().split(/\n\s*\n/).map((paragraph) => make("p", {}, spans(paragraph)));
}

/** Like `prose`, for text inside a paragraph. */
export function spans(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter(Boolean).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    return part;
  });
}

/** Indented JSON, with arrays of numbers or words on one line. */
export function pretty(value) {
  return JSON.stringify(value, null, 2)
    .replace(/\[[^[\]{}]*\]/g, (list) => list.replace(/\s+/g, " "));
}

export function code(text, className = "") {
  return make("pre", { className, tabIndex: 0 }, make("code", {}, text));
}

export function table(head, rows) {
  const cell = (content) => make("td", {}, content);
  return make("div", { className: "scroll" }, make(
    "table", {},
    make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map(cell)))),
  ));
}
