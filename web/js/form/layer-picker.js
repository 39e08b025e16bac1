// The layers to explain: one, or several whose maps are averaged. The first cannot be removed.

import { make } from "../lib/dom.js";

const layerName = (layer) => layer.alias || layer.name;

const area = ({ shape: [, rows, columns] }) => rows * columns;

export class LayerPicker {
  #ui;
  #layers = [];
  #names = [];
  #onChange;

  /** `ui` holds the elements layer, moreLayers, fuse and layerHint. */
  constructor(ui, onChange) {
    this.#ui = ui;
    this.#onChange = onChange;
    ui.layer.addEventListener("change", () => this.#set(0, ui.layer.value));
    ui.fuse.addEventListener("click", () => this.#add());
  }

  /** Lists a model's layers and selects its default. */
  setModel({ layers, default_layer: defaultName }) {
    this.#layers = layers;
    // Another layer's node or tensor may have this layer's alias as its name.
    const named = (name) => layers.find((layer) => name(layer) === defaultName);
    const first = named(layerName) ?? named((layer) => layer.name)
      ?? named((layer) => layer.tensor) ?? layers.at(-1);
    this.#names = first ? [layerName(first)] : [];
    this.#fill(this.#ui.layer, this.#names[0]);
    this.#ui.layer.disabled = false;
    this.#render();
  }

  /** The selected layers, as the API describes them. */
  get selected() {
    return this.#names.map((name) => this.#layers.find((layer) => layerName(layer) === name));
  }

  get names() {
    return [...this.#names];
  }

  /** The value of the API option `layer`. */
  get value() {
    return this.#names.join(",");
  }

  #fill(select, name) {
    select.replaceChildren(...this.#layers.map((layer) => {
      const [channels, rows, columns] = layer.shape;
      const text = `${layerName(layer)} (${columns} × ${rows}, ${channels} channels)`;
      return make("option", { value: layerName(layer) }, text);
    }));
    select.value = name;
  }

  #set(at, name) {
    this.#names[at] = name;
    this.#onChange();
  }

  /**
   * Adds the nearest earlier layer with a finer map: layers of one size have similar maps. Falls
   * back to any unused layer.
   */
  #add() {
    const last = this.selected.at(-1);
    const unused = this.#layers.filter((layer) => !this.#names.includes(layerName(layer)));
    const earlier = this.#layers.slice(0, this.#layers.indexOf(last));
    const finer = earlier.filter((layer) => unused.includes(layer) && area(layer) > area(last));
    this.#names.push(layerName(finer.at(-1) ?? unused.at(-1) ?? last));
    this.#render();
    this.#ui.moreLayers.lastElementChild.querySelector("select").focus();
    this.#onChange();
  }

  #remove(at) {
    this.#names.splice(at, 1);
    this.#render();
    this.#ui.fuse.focus();
    this.#onChange();
  }

  #render() {
    const added = this.#names.slice(1).map((name, index) => this.#row(name, index + 1));
    this.#ui.moreLayers.replaceChildren(...added);
    this.#ui.layerHint.hidden = this.#names.length < 2;
  }

  #row(name, at) {
    const label = `Layer ${at + 1}`;
    const onchange = () => this.#set(at, select.value);
    const select = make("select", { "aria-label": label, onchange });
    this.#fill(select, name);
    const remove = make("button", {
      type: "button", className: "icon", "aria-label": `Remove layer ${at + 1}`, title: "Remove",
      onclick: () => this.#remove(at),
    }, "×");
    return make("div", { className: "row" }, select, remove);
  }
}
