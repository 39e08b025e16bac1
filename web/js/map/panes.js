// Several maps of the image side by side, each with its name and a line of text.

import { make } from "../lib/dom.js";
import { PANE_LONGER_SIDE_PX, Viewer } from "./viewer.js";

/** Four panes look better in two rows of two than in rows of three and one. */
const columns = (count) => (count === 4 ? 2 : Math.min(3, count));

export class Panes {
  #container;
  #panes = new Map();
  #watchPointer;

  /** Calls `watchPointer` with each canvas and its viewer. */
  constructor(container, watchPointer) {
    this.#container = container;
    this.#watchPointer = watchPointer;
  }

  get viewers() {
    return [...this.#panes.values()].map(({ viewer }) => viewer);
  }

  get(key) {
    return this.#panes.get(key);
  }

  /**
   * Replaces all panes by one a part. A part is `{ key, name, onSelect }`; its name is a button
   * that calls `onSelect`.
   */
  open(kind, parts, image, style) {
    this.#panes.clear();
    this.#container.dataset.of = kind;
    this.#container.style.setProperty("--columns", columns(parts.length));
    this.#container.replaceChildren(...parts.map(({ key, name, onSelect }) => {
      const canvas = make("canvas", { role: "img", "aria-label": `${name}, waiting` });
      const note = make("span", { className: "soft" }, "Waiting …");
      const viewer = new Viewer(canvas, PANE_LONGER_SIDE_PX);
      if (image) viewer.setImage(image, style);
      viewer.paint(style);
      this.#watchPointer(canvas, viewer);
      this.#panes.set(key, new Pane(canvas, viewer, note));
      const button = make("button", {
        type: "button", className: "quiet", title: "Show only this map", onclick: onSelect,
      }, name);
      const caption = make("figcaption", {}, button, note);
      return make("figure", { className: "pane", "data-key": key }, canvas, caption);
    }));
  }

  /** Removes unfinished maps and puts `text` in their place. */
  abandon(text) {
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

  /** Shows a map that is still being computed. */
  showPartial(heatmap, input, style) {
    this.viewer.setMap(heatmap, input, style);
  }

  /** Shows the finished map; null where it is empty. */
  show(heatmap, input, style, label, text) {
    this.isDone = true;
    this.viewer.setMap(heatmap, input, style);
    this.#canvas.setAttribute("aria-label", label);
    this.note(text);
  }
}
