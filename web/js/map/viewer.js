// One canvas that shows an image with a map over it. A change of style only repaints.

import { paintFrame, paintUnseen, seenRect } from "./frame.js";
import { paintOverlay } from "./overlay.js";
import { OUTSIDE, levelValue, resizeMap, visibleRect } from "./resize.js";

/**
 * Bounds for the longer side of the canvas: large enough that the map is smooth over a tiny image,
 * small enough to repaint while a slider moves.
 */
const LONGER_SIDE_PX = { min: 1000, max: 1400 };
/** Bounds for one pane of several: it appears small, and all panes repaint together. */
export const PANE_LONGER_SIDE_PX = { min: 700, max: 800 };

export class Viewer {
  #canvas;
  #bounds;
  #context;
  #image = null;
  #output = null;
  #map = null;
  /** The map for a style that is `smooth`; made when one is painted. */
  #smoothMap = null;
  #heatmap = null;
  #input = null;
  #style = null;
  #frame = 0;

  constructor(canvas, bounds = LONGER_SIDE_PX) {
    this.#canvas = canvas;
    this.#bounds = bounds;
    this.#context = canvas.getContext("2d", { willReadFrequently: true });
  }

  /** Shows an image (anything that a canvas can draw) and removes the map. */
  setImage(image, style) {
    const longer = Math.max(image.width, image.height);
    const scale = Math.min(this.#bounds.max, Math.max(this.#bounds.min, longer)) / longer;
    const width = Math.max(1, Math.round(image.width * scale));
    const height = Math.max(1, Math.round(image.height * scale));
    Object.assign(this.#canvas, { width, height });
    this.#canvas.style.setProperty("--ratio", width / height);
    this.#context.fillStyle = "white";
    this.#context.fillRect(0, 0, width, height);
    this.#context.imageSmoothingQuality = "high";
    this.#context.drawImage(image, 0, 0, width, height);
    this.#image = this.#context.getImageData(0, 0, width, height);
    this.#output = this.#context.createImageData(width, height);
    this.#map = this.#smoothMap = this.#heatmap = null;
    this.#style = style;
  }

  /** Overlays a heatmap, or removes it (null). `input` is the model's input, which may crop. */
  setMap(heatmap, input, style = this.#style) {
    if (!this.#image) return;
    this.#heatmap = heatmap;
    this.#input = input;
    this.#smoothMap = null;
    this.#map = heatmap ? this.#resized(false) : null;
    this.paint(style);
  }

  #resized(isSmooth) {
    const { width, height } = this.#image;
    return resizeMap(this.#heatmap, width, height, visibleRect(width, height, this.#input), isSmooth);
  }

  /** The map that a style shows. */
  #mapFor(style) {
    if (!this.#heatmap || !style.smooth) return this.#map;
    this.#smoothMap ??= this.#resized(true);
    return this.#smoothMap;
  }

  paint(style) {
    this.#style = style;
    if (!this.#image) return;
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      const signed = this.#heatmap?.signed;
      const map = this.#mapFor(style);
      paintOverlay(this.#output.data, this.#image.data, map, style, signed);
      if (this.#map && style.view !== "original") {
        const { width, height } = this.#image;
        if (style.view === "map") paintUnseen(this.#output.data, this.#map, width, height);
        paintFrame(this.#output.data, width, height, seenRect(this.#map, width));
      }
      this.#context.putImageData(this.#output, 0, 0);
      if (style.view === "wipe" && this.#map) this.#uncover(style.split);
    });
  }

  /** Shows the picture alone left of a boundary, 0..1. */
  #uncover(split) {
    const width = Math.round(split * this.#image.width);
    if (width > 0) {
      this.#context.putImageData(this.#image, 0, 0, 0, 0, width, this.#image.height);
    }
  }

  /** The map's value under a pointer; null outside the map. */
  read(event) {
    if (!this.#map) return null;
    const box = this.#canvas.getBoundingClientRect();
    const { width, height } = this.#image;
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return null;
    const level = this.#map[y * width + x];
    if (level === OUTSIDE) return { inside: false };
    const { signed } = this.#heatmap;
    return { inside: true, value: levelValue(level, signed), signed };
  }
}
