// The page's files from the disk, and samples like the service's.

import { existsSync, readFileSync } from "node:fs";
import { png } from "../png.mjs";

const root = new URL("../../../", import.meta.url);
const TYPES = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};
const PAGES = { "/": "index.html", "/docs": "docs.html", "/favicon.ico": "icon.svg" };

/** File → title, credit, licence, and the picture of `make setup` that stands for it. */
const SAMPLES = [
  ["chelsea.jpg", "Cat", "Stéfan van der Walt", "CC0", "chelsea.png"],
  ["coffee.jpg", "Coffee", "Rachel Michetti", "CC0", "coffee.png"],
  ["rocket.jpg", "Rocket", "SpaceX", "CC0", "rocket.jpg"],
  ["astronaut.jpg", "Astronaut", "NASA", "public domain", "astronaut.png"],
  ["motorcycle.jpg", "Motorcycle", "Middlebury Stereo", "CC0", "motorcycle_left.png"],
  ["camera.jpg", "Photographer", "Lav Varshney", "CC0", "camera.png"],
];

/** What is at a path of the page, as `{ type, body }`, or null. */
export function pageFile(path) {
  const name = PAGES[path] ?? path.match(/^\/assets\/([a-z/-]+\.(js|css|svg))$/)?.[1];
  const url = name && new URL(`web/${name}`, root);
  if (!url || !existsSync(url)) return null;
  return { type: TYPES[name.split(".").pop()], body: readFileSync(url) };
}

function disc(x, y) {
  return Math.hypot(x - 0.5, y - 0.5) < 0.3 ? [200, 110, 60] : [70 + 80 * y, 120, 150];
}

/** The list of samples, or one of them, as `{ type, body }`, or null. */
export function sampleFile(path) {
  if (path === "/samples") {
    const list = SAMPLES.map(([file, title, credit, license]) => (
      { file, title, credit, license, model: null }
    ));
    return { type: "application/json", body: JSON.stringify(list) };
  }
  const source = SAMPLES.find(([file]) => path === `/samples/${file}`)?.[4];
  if (!source) return null;
  const url = new URL(`downloads/images/${source}`, root);
  const type = source.endsWith("png") ? "image/png" : "image/jpeg";
  if (!existsSync(url)) return { type: "image/png", body: png(320, 240, disc) };
  return { type, body: readFileSync(url) };
}
