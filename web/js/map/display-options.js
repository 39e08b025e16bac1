// The controls for a map's appearance: view, colormap, strength, blend. They need no request.
//
// A signed map needs a diverging colormap and an overlay that leaves the image alone where the map
// is 0, so signed and unsigned maps each have their own settings.

import { make } from "../lib/dom.js";
import { DIVERGING, SEQUENTIAL, colorTable } from "./colors.js";

const WEIGHT = 0.8;
const UNSIGNED_MIX_WEIGHT = 0.5;
/** The server's defaults. */
const DEFAULTS = {
  unsigned: { colormap: "jet", blend: "add", weight: WEIGHT },
  signed: { colormap: "coolwarm", blend: "mix", weight: WEIGHT },
};

function defaultWeight(kind, blend) {
  return kind === "unsigned" && blend === "mix" ? UNSIGNED_MIX_WEIGHT : WEIGHT;
}

export class DisplayOptions {
  #ui;
  #kind = "unsigned";
  #saved = structuredClone(DEFAULTS);
  /** Whether the user moved the slider; until then the weight follows the blend. */
  #weightChanged = { unsigned: false, signed: false };

  /**
   * `ui` holds the elements views, colormap, weight, weightText, blend, emphasize, ramp, rampLow
   * and rampHigh.
   */
  constructor(ui, onChange) {
    this.#ui = ui;
    const group = (label, names) => (
      make("optgroup", { label }, ...names.map((name) => make("option", { value: name }, name)))
    );
    ui.colormap.replaceChildren(group("Sequential", SEQUENTIAL), group("Diverging", DIVERGING));
    ui.weight.addEventListener("input", () => { this.#weightChanged[this.#kind] = true; });
    ui.blend.addEventListener("input", () => {
      if (this.#weightChanged[this.#kind]) return;
      ui.weight.value = defaultWeight(this.#kind, ui.blend.value);
    });
    for (const control of [ui.weight, ui.colormap, ui.emphasize, ui.views, ui.blend]) {
      control.addEventListener("input", () => {
        this.#render();
        onChange();
      });
    }
    this.#restore();
  }

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

  /** Switches to the settings for signed or unsigned maps and saves those of the other kind. */
  setSigned(signed) {
    const kind = signed ? "signed" : "unsigned";
    if (kind === this.#kind) return;
    const { colormap, blend, weight } = this.style;
    this.#saved[this.#kind] = { colormap, blend, weight };
    this.#kind = kind;
    this.#restore();
  }

  /** The API options for a picture with this style; null where the server's default is the same. */
  apiOptions(isOverlay) {
    const { colormap, blend, weight } = this.style;
    const defaults = DEFAULTS[this.#kind];
    const isDefaultWeight = weight === defaultWeight(this.#kind, blend);
    return {
      colormap: colormap === defaults.colormap ? null : colormap,
      blend: !isOverlay || blend === defaults.blend ? null : blend,
      weight: !isOverlay || isDefaultWeight ? null : weight,
    };
  }

  #restore() {
    const { colormap, blend, weight } = this.#saved[this.#kind];
    Object.assign(this.#ui.colormap, { value: colormap });
    Object.assign(this.#ui.blend, { value: blend });
    Object.assign(this.#ui.weight, { value: weight });
    this.#render();
  }

  /** Updates the strength in per cent and the colour ramp. */
  #render() {
    const ui = this.#ui;
    const { view, colormap, weight } = this.style;
    ui.weightText.textContent = `${Math.round(weight * 100)} %`;
    ui.weight.disabled = view !== "overlay";
    const [low, high] = this.#kind === "signed" ? ["against", "for"] : ["0", "1"];
    ui.rampLow.textContent = low;
    ui.rampHigh.textContent = high;
    const context = ui.ramp.getContext("2d");
    const strip = context.createImageData(256, 1);
    const table = colorTable(colormap);
    for (let i = 0; i < 256; i++) {
      strip.data.set([...table.slice(i * 3, i * 3 + 3), 255], i * 4);
    }
    context.putImageData(strip, 0, 0);
  }
}
