// The part of the page that shows the image: one large canvas, or panes side by side.

import { valueText } from "./lib/text.js";
import { Panes } from "./map/panes.js";
import { Viewer } from "./map/viewer.js";

export class Stage {
  #ui;
  #state;
  #display;
  #single;
  panes;

  /**
   * `ui` holds the elements canvas, details, drop, empty, exportCard, panes, readout, result and
   * single.
   */
  constructor(ui, state, display) {
    this.#ui = ui;
    this.#state = state;
    this.#display = display;
    this.#single = new Viewer(ui.canvas);
    const watchPointer = (canvas, viewer) => this.#watchPointer(canvas, viewer);
    this.panes = new Panes(ui.panes, watchPointer);
    watchPointer(ui.canvas, this.#single);
  }

  get hasPanes() {
    return !this.#ui.panes.hidden;
  }

  /**
   * Shows the image. A file that the browser cannot decode has no image before the first response;
   * the drop zone stays visible until then.
   */
  showImage() {
    const { image } = this.#state;
    this.#ui.drop.hidden = Boolean(image);
    this.#ui.result.hidden = !image;
    if (!image) return;
    const { style } = this.#display;
    for (const viewer of [this.#single, ...this.panes.viewers]) {
      viewer.setImage(image, style);
      viewer.paint(style);
    }
  }

  /** Removes the displayed response: it does not belong to the current settings. */
  clear() {
    const ui = this.#ui;
    this.#state.response = null;
    this.#single.setMap(null);
    ui.canvas.setAttribute("aria-label", "The image");
    ui.details.hidden = true;
    ui.empty.hidden = true;
    ui.exportCard.hidden = !this.#state.image || !this.#state.model;
    ui.readout.textContent = "";
  }

  /** Makes room for one map, or for several side by side. */
  layOut(isComparison) {
    const isSingle = !isComparison && this.#state.targets.length < 2;
    this.#ui.single.hidden = !isSingle;
    this.#ui.panes.hidden = isSingle;
    this.#ui.details.hidden = isComparison || !this.#state.response;
  }

  openPanes(kind, parts) {
    this.panes.open(kind, parts, this.#state.image, this.#display.style);
  }

  /** Shows a map on the large canvas; null where it is empty. */
  showMap(heatmap, label) {
    this.#single.setMap(heatmap, this.#state.model.input, this.#display.style);
    this.#ui.canvas.setAttribute("aria-label", label);
  }

  showInPane(key, heatmap, label, text) {
    const { input } = this.#state.model;
    this.panes.get(key)?.show(heatmap, input, this.#display.style, label, text);
  }

  showPartialInPane(key, heatmap) {
    this.panes.get(key)?.showPartial(heatmap, this.#state.model.input, this.#display.style);
  }

  /** Applies changed display options to the visible maps. */
  repaint() {
    const { style } = this.#display;
    for (const viewer of this.hasPanes ? this.panes.viewers : [this.#single]) viewer.paint(style);
  }

  #watchPointer(canvas, viewer) {
    canvas.addEventListener("pointermove", (event) => {
      this.#ui.readout.textContent = readoutText(viewer.read(event));
    });
    canvas.addEventListener("pointerleave", () => { this.#ui.readout.textContent = ""; });
  }
}

function readoutText(reading) {
  if (!reading) return "";
  return reading.inside
    ? `Value: ${valueText(reading)}`
    : "The model does not receive this part of the image.";
}
