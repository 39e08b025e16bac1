// The layers that are explained: one, or several whose maps become one. A row a layer, the first always there.

import { make } from "../lib/dom.js";

export const layerName = (layer) => layer.alias || layer.name;

export class LayerPicker {
  #ui;
  #layers = [];
  #names = [];
  #onChange;

  /** `ui` holds the elements: layer, moreLayers, fuse and layerHint. */
  constructor(ui, onChange) {
    this.#ui = ui;
    this.#onChange = onChange;
    ui.layer.addEventListener("change", () => this.#set(0, ui.layer.value));
    ui.fuse.addEventListener("click", () => this.#add());
  }

  /** The layers of a model, of which its default is chosen. */
  setModel({ layers, default_layer: usual }) {
    this.#layers = layers;
    const first = layers.find((layer) => [layerName(layer), layer.name, layer.tensor].includes(usual)) ?? layers.at(-1);
    this.#names = first ? [layerName(first)] : [];
    this.#fill(this.#ui.layer, this.#names[0]);
    this.#ui.layer.disabled = false;
    this.#show();
  }

  /** The chosen ones, as descriptions of layers. */
  get chosen() {
    return this.#names.map((name) => this.#layers.find((layer) => layerName(layer) === name));
  }

  /** The option as the API takes it. */
  get value() {
    return this.#names.join(",");
  }

  #fill(select, name) {
    select.replaceChildren(...this.#layers.map((layer) => {
      const [channels, rows, columns] = layer.shape;
      return make("option", { value: layerName(layer) }, `${layerName(layer)} (${columns} × ${rows}, ${channels} channels)`);
    }));
    select.value = name;
  }

  #set(at, name) {
    this.#names[at] = name;
    this.#onChange();
  }

  /** One more: the nearest earlier layer whose map is finer, because layers of one size say much the same. */
  #add() {
    const last = this.chosen.at(-1);
    const unused = this.#layers.filter((layer) => !this.#names.includes(layerName(layer)));
    const before = this.#layers.slice(0, this.#layers.indexOf(last));
    const finer = before.filter((layer) => unused.includes(layer) && layer.shape[1] * layer.shape[2] > last.shape[1] * last.shape[2]);
    this.#names.push(layerName(finer.at(-1) ?? unused.at(-1) ?? last));
    this.#show();
    this.#ui.moreLayers.lastElementChild.querySelector("select").focus();
    this.#onChange();
  }

  #remove(at) {
    this.#names.splice(at, 1);
    this.#show();
    this.#ui.fuse.focus();
    this.#onChange();
  }

  #show() {
    this.#ui.moreLayers.replaceChildren(...this.#names.slice(1).map((name, index) => {
      const at = index + 1;
      const select = make("select", { "aria-label": `Layer ${at + 1}`, onchange: () => this.#set(at, select.value) });
      this.#fill(select, name);
      const out = make("button", { type: "button", className: "icon", "aria-label": `Leave out layer ${at + 1}`, title: "Leave it out", onclick: () => this.#remove(at) }, "×");
      return make("div", { className: "row" }, select, out);
    }));
    this.#ui.layerHint.hidden = this.#names.length < 2;
  }
}
