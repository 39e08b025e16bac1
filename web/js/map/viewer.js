// One canvas with a picture and a map over it. Changing how the map looks only repaints.

import { UNSEEN, enlarge, lay, seenRegion, valueOf } from "./overlay.js";

/** Long enough that a tiny picture still shows a smooth map, short enough to repaint while a slider moves. */
const LONGEST_PX = { least: 1000, most: 1400 };
/** One of many is seen small, and all are painted at once. */
export const ONE_OF_MANY_PX = { least: 700, most: 800 };

export class Viewer {
  #canvas;
  #longest;
  #context;
  #image = null;
  #output = null;
  #map = null;
  #heatmap = null;
  #style = null;
  #frame = 0;

  constructor(canvas, longest = LONGEST_PX) {
    this.#canvas = canvas;
    this.#longest = longest;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
  }

  /** Shows a picture (anything that can be drawn) and forgets the map. */
  setPicture(picture, style) {
    const longest = Math.max(picture.width, picture.height);
    const scale = Math.min(this.#longest.most, Math.max(this.#longest.least, longest)) / longest;
    const width = Math.max(1, Math.round(picture.width * scale));
    const height = Math.max(1, Math.round(picture.height * scale));
    Object.assign(this.#canvas, { width, height });
    this.#canvas.style.setProperty("--ratio", width / height);
    this.#context.fillStyle = "white";
    this.#context.fillRect(0, 0, width, height);
    this.#context.imageSmoothingQuality = "high";
    this.#context.drawImage(picture, 0, 0, width, height);
    this.#image = this.#context.getImageData(0, 0, width, height);
    this.#output = this.#context.createImageData(width, height);
    this.#map = this.#heatmap = null;
    this.#style = style;
  }

  /** Lays a heatmap over it, or none. `input` says which part of the picture the model saw. */
  setMap(heatmap, input, style = this.#style) {
    if (!this.#image) return;
    const { width, height } = this.#image;
    this.#heatmap = heatmap;
    this.#map = heatmap ? enlarge(heatmap, width, height, seenRegion(width, height, input)) : null;
    this.paint(style);
  }

  paint(style) {
    this.#style = style;
    if (!this.#image) return;
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      lay(this.#output.data, this.#image.data, this.#map, style, this.#heatmap?.signed);
      this.#context.putImageData(this.#output, 0, 0);
    });
  }

  /** What lies under a pointer: the map's value there, or that the model did not see it. */
  read(event) {
    if (!this.#map) return null;
    const box = this.#canvas.getBoundingClientRect();
    const { width, height } = this.#image;
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return null;
    const step = this.#map[y * width + x];
    return step === UNSEEN ? { seen: false } : { seen: true, value: valueOf(step, this.#heatmap.signed), signed: this.#heatmap.signed };
  }
}
