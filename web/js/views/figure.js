// One figure: a canvas with its map, its caption, and the slider that uncovers the picture.

import { make } from "../lib/dom.js";
import { valueText } from "../lib/text.js";
import { PANE_LONGER_SIDE_PX, Viewer } from "../map/viewer.js";

export class Figure {
  element;
  #canvas;
  #viewer;
  #slider;
  #handle;
  #title;
  #note;
  #image = null;
  #heatmap = null;
  #style = "";

  /**
   * `onSelect` shows this figure alone, or is null; `onSplit` receives where the slider was moved,
   * 0..1; `readout` is the element for the value under the pointer.
   */
  constructor({ key, name, isPane, onSelect, onSplit, readout }) {
    const id = isPane || key !== "single" && key !== "overlay" ? null : "canvas";
    this.#canvas = make("canvas", { role: "img", "aria-label": "The picture", id });
    this.#viewer = new Viewer(this.#canvas, isPane ? PANE_LONGER_SIDE_PX : undefined);
    this.#slider = make("input", {
      type: "range", min: 0, max: 1, step: 0.01, className: "split", hidden: true,
      "aria-label": "Boundary between picture and overlay",
      oninput: () => onSplit(Number(this.#slider.value)),
    });
    this.#handle = make("span", { className: "split-handle", "aria-hidden": "true", hidden: true });
    const frame = make(
      "div", { className: "frame" }, this.#canvas, this.#handle, this.#slider,
    );
    this.#title = onSelect
      ? make("button", {
        type: "button", className: "quiet", title: "Show only this map", onclick: onSelect,
      }, name)
      : make("span", { className: "figure-name" }, name);
    this.#note = make("span", { className: "soft" });
    const caption = make("figcaption", { hidden: !name }, this.#title, this.#note);
    const className = isPane ? "pane" : "picture";
    this.element = make("figure", { className, "data-key": key }, frame, caption);
    this.#watchPointer(frame, readout);
  }

  /** Shows a cell's state. What has not changed is not painted again. */
  show({ image, input, heatmap, style, label, note, status, name }) {
    this.element.dataset.status = status;
    if (name) this.#title.textContent = name;
    this.#note.textContent = note;
    this.#canvas.setAttribute("aria-label", label);
    const isWipe = style.view === "wipe" && Boolean(heatmap);
    this.#slider.hidden = this.#handle.hidden = !isWipe;
    this.#slider.value = style.split;
    this.element.style.setProperty("--split", style.split);
    if (image && image !== this.#image) {
      this.#image = image;
      this.#heatmap = null;
      this.#viewer.setImage(image, style);
      const ratio = image.width / image.height;
      this.element.style.setProperty("--ratio", ratio);
      this.element.dataset.shape = ratio < 1.2 ? "tall" : "wide";
    }
    const text = JSON.stringify(style);
    if (heatmap !== this.#heatmap) {
      this.#heatmap = heatmap;
      this.#viewer.setMap(heatmap, input, style);
    } else if (text !== this.#style || image) this.#viewer.paint(style);
    this.#style = text;
  }

  #watchPointer(frame, readout) {
    frame.addEventListener("pointermove", (event) => {
      readout.textContent = readoutText(this.#viewer.read(event));
    });
    frame.addEventListener("pointerleave", () => {
      readout.textContent = readout.dataset.rest;
    });
  }
}

function readoutText(reading) {
  if (!reading) return "";
  return reading.inside
    ? `Value: ${valueText(reading)}`
    : "The model does not receive this part.";
}
