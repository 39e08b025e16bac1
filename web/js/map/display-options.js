// How maps look: view, colours, strength. Nothing here asks the server.
//
// A signed map wants other colours than one from 0 to 1: a pale middle, and none of it over the
// picture where the map says nothing. So each of the two kinds keeps its own looks.

import { COLORMAPS, colors } from "./overlay.js";
import { make } from "../lib/dom.js";

const MIX_WEIGHT = 0.5;
const WEIGHT = 0.8;
/** As the server has them. */
const USUAL = {
  plain: { colormap: "jet", blend: "add", weight: WEIGHT },
  signed: { colormap: "coolwarm", blend: "mix", weight: WEIGHT },
};
const usualWeight = (kind, blend) => (kind === "plain" && blend === "mix" ? MIX_WEIGHT : WEIGHT);

export class Looks {
  #ui;
  #kind = "plain";
  #kept = structuredClone(USUAL);
  #weightIsMine = { plain: false, signed: false };

  /** `ui` holds the elements: views, colormap, weight, weightText, blend, emphasize, ramp, rampLow and rampHigh. */
  constructor(ui, onChange) {
    this.#ui = ui;
    const group = (label, names) => make("optgroup", { label }, ...names.map((name) => make("option", { value: name }, name)));
    ui.colormap.replaceChildren(group("For 0 to 1", COLORMAPS.sequential), group("For and against", COLORMAPS.diverging));
    ui.weight.addEventListener("input", () => { this.#weightIsMine[this.#kind] = true; });
    ui.blend.addEventListener("input", () => {
      if (!this.#weightIsMine[this.#kind]) ui.weight.value = usualWeight(this.#kind, ui.blend.value);
    });
    for (const control of [ui.weight, ui.colormap, ui.emphasize, ui.views, ui.blend]) {
      control.addEventListener("input", () => {
        this.#show();
        onChange();
      });
    }
    this.#load();
  }

  /** What the controls say. */
  get style() {
    const ui = this.#ui;
    return {
      view: ui.views.querySelector(":checked").value,
      colormap: ui.colormap.value,
      blend: ui.blend.value,
      weight: Number(ui.weight.value),
      emphasize: ui.emphasize.checked,
    };
  }

  /** Turns the controls to one kind of map; those of the other kind are kept for its return. */
  turn(signed) {
    const kind = signed ? "signed" : "plain";
    if (kind === this.#kind) return;
    const { colormap, blend, weight } = this.style;
    this.#kept[this.#kind] = { colormap, blend, weight };
    this.#kind = kind;
    this.#load();
  }

  /** The options that make the server draw what is seen, without those that say what it does anyway. */
  options(isOverlay) {
    const { colormap, blend, weight } = this.style;
    const usual = USUAL[this.#kind];
    return {
      colormap: colormap === usual.colormap ? null : colormap,
      blend: !isOverlay || blend === usual.blend ? null : blend,
      weight: !isOverlay || weight === usualWeight(this.#kind, blend) ? null : weight,
    };
  }

  #load() {
    const { colormap, blend, weight } = this.#kept[this.#kind];
    Object.assign(this.#ui.colormap, { value: colormap });
    Object.assign(this.#ui.blend, { value: blend });
    Object.assign(this.#ui.weight, { value: weight });
    this.#show();
  }

  /** What the controls show of themselves: the strength in words, the colours from end to end. */
  #show() {
    const ui = this.#ui;
    const { view, colormap, weight } = this.style;
    ui.weightText.textContent = `${Math.round(weight * 100)} %`;
    ui.weight.disabled = view !== "overlay";
    const [low, high] = this.#kind === "signed" ? ["against", "for"] : ["0", "1"];
    ui.rampLow.textContent = low;
    ui.rampHigh.textContent = high;
    const ramp = ui.ramp.getContext("2d");
    const strip = ramp.createImageData(256, 1);
    const table = colors(colormap);
    for (let i = 0; i < 256; i++) strip.data.set([table[i * 3], table[i * 3 + 1], table[i * 3 + 2], 255], i * 4);
    ramp.putImageData(strip, 0, 0);
  }
}
