// Several maps of the picture side by side, each with its name and a line of text.

import { make } from "../lib/dom.js";
import { ONE_OF_MANY_PX, Viewer } from "./viewer.js";

/** Four are better two by two than three and one. */
const columns = (count) => (count === 4 ? 2 : Math.min(3, count));

export class Panes {
  #box;
  #panes = new Map();
  #watch;

  /** `watch` is given each canvas with its viewer. */
  constructor(box, watch) {
    this.#box = box;
    this.#watch = watch;
  }

  get viewers() {
    return [...this.#panes.values()].map(({ viewer }) => viewer);
  }

  get(key) {
    return this.#panes.get(key);
  }

  /** Makes a pane for each part: `{ key, name, alone }`, where `alone` shows that one by itself. */
  open(kind, parts, picture, style) {
    this.#panes.clear();
    this.#box.dataset.of = kind;
    this.#box.style.setProperty("--columns", columns(parts.length));
    this.#box.replaceChildren(...parts.map(({ key, name, alone }) => {
      const canvas = make("canvas", { role: "img", "aria-label": `${name}, not there yet` });
      const note = make("span", { className: "soft" }, "Waiting …");
      const viewer = new Viewer(canvas, ONE_OF_MANY_PX);
      if (picture) viewer.setPicture(picture, style);
      viewer.paint(style);
      this.#watch(canvas, viewer);
      this.#panes.set(key, new Pane(canvas, viewer, note));
      const button = make("button", { type: "button", className: "quiet", title: "Show this one alone", onclick: alone }, name);
      return make("figure", { className: "pane", "data-key": key }, canvas, make("figcaption", {}, button, note));
    }));
  }

  /** Leaves every one without a finished map with the picture alone, and says the same of each. */
  giveUp(text) {
    for (const pane of this.#panes.values()) {
      if (pane.isDone) continue;
      pane.viewer.setMap(null);
      pane.note(text);
    }
  }
}

class Pane {
  #canvas;
  #note;
  isDone = false;

  constructor(canvas, viewer, note) {
    this.#canvas = canvas;
    this.viewer = viewer;
    this.#note = note;
  }

  note(text) {
    this.#note.textContent = text;
  }

  /** The map while it is unfinished. */
  grow(heatmap, input, style) {
    this.viewer.setMap(heatmap, input, style);
  }

  /** The finished map; null for one that is empty. */
  show(heatmap, input, style, label, text) {
    this.isDone = true;
    this.viewer.setMap(heatmap, input, style);
    this.#canvas.setAttribute("aria-label", label);
    this.note(text);
  }
}
