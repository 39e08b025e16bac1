// The page's files and the samples, from the disk.

import { existsSync, readFileSync } from "node:fs";

const root = new URL("../../../", import.meta.url);
const TYPES = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};
const PAGES = { "/": "index.html", "/docs": "docs.html", "/favicon.ico": "icon.svg" };

/** What is at a path of the page, as `{ type, body }`, or null. */
export function pageFile(path) {
  const name = PAGES[path] ?? path.match(/^\/assets\/([a-z/-]+\.(js|css|svg))$/)?.[1];
  const url = name && new URL(`web/${name}`, root);
  if (!url || !existsSync(url)) return null;
  return { type: TYPES[name.split(".").pop()], body: readFileSync(url) };
}

/** The list of samples, or one of them, as `{ type, body }`, or null. */
export function sampleFile(path) {
  const folder = new URL("web/samples/", root);
  if (path === "/samples") {
    const samples = JSON.parse(readFileSync(new URL("samples.json", folder)));
    const models = { "efficientnet-lite0": "vgg16", "vgg16-mri": "cropped" };
    const body = JSON.stringify(samples.map((sample) => (
      { ...sample, model: models[sample.model] }
    )));
    return { type: "application/json", body };
  }
  const [, name] = path.match(/^\/samples\/([a-z_]+\.jpg)$/) ?? [];
  const url = name && new URL(name, folder);
  if (!url || !existsSync(url)) return null;
  return { type: "image/jpeg", body: readFileSync(url) };
}
