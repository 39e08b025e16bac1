// The controls above and below the figures: which maps to show, and how they look.

import { make, renderSegments, set } from "../lib/dom.js";
import { DIVERGING, SEQUENTIAL, colorTable } from "../map/colors.js";
import { isSigned, modeOf } from "../state/plan.js";
import { defaultWeight } from "../state/picture-request.js";
import { compareReason, viewReason } from "../state/support.js";

const MODES = [
  ["single", "One map"], ["methods", "Methods"], ["layers", "Layers"], ["classes", "Classes"],
];
const VIEWS = [
  ["overlay", "Overlay"], ["wipe", "Slider"], ["side", "Side by side"], ["map", "Map"],
  ["original", "Picture"],
];

export function toolbarView({ store, ui, actions }) {
  // After a problem the mode that was clicked may not be the mode.
  store.watch(["model", "settings", "problem"], (state) => {
    if (!state.model) return;
    renderSegments(ui.modes, "mode", MODES.map(([value, text]) => (
      { value, text, reason: compareReason(value, state) }
    )), modeOf(state.settings), (value) => actions.compare(value));
  });
  store.watch(["display", "cells"], ({ display, cells }) => {
    const isPossible = !viewReason(display.view, cells.length);
    renderSegments(ui.views, "view", VIEWS.map(([value, text]) => (
      { value, text, reason: viewReason(value, cells.length) }
    )), isPossible ? display.view : "overlay", (view) => actions.setDisplay({ view }));
  });

  const group = (label, names) => (
    make("optgroup", { label }, ...names.map((name) => make("option", { value: name }, name)))
  );
  ui.colormap.replaceChildren(group("Sequential", SEQUENTIAL), group("Diverging", DIVERGING));
  const kind = () => (isSigned(store.state) ? "signed" : "unsigned");
  ui.colormap.addEventListener("change", () => actions.setColors({ colormap: ui.colormap.value }));
  ui.weight.addEventListener("input", () => (
    actions.setColors({ weight: Number(ui.weight.value) }, { push: false })
  ));
  ui.blend.addEventListener("change", () => {
    const { blend, weight } = store.state.display[kind()];
    // A weight that was never changed follows the blend.
    const isUsual = weight === defaultWeight(kind(), blend);
    const { value } = ui.blend;
    const follow = isUsual ? { weight: defaultWeight(kind(), value) } : {};
    actions.setColors({ blend: value, ...follow });
  });
  ui.emphasize.addEventListener("change", () => (
    actions.setDisplay({ emphasize: ui.emphasize.checked })
  ));

  store.watch(["display", "settings", "model", "cells"], (state) => {
    const { display } = state;
    const signed = kind() === "signed";
    const { colormap, blend, weight } = display[kind()];
    set(ui.colormap, { value: colormap });
    set(ui.blend, { value: blend });
    set(ui.weight, {
      value: String(weight), disabled: ["map", "original"].includes(display.view),
    });
    set(ui.emphasize, { checked: display.emphasize });
    set(ui.weightText, { textContent: `${Math.round(weight * 100)} %` });
    set(ui.rampLow, { textContent: signed ? "against" : "0" });
    set(ui.rampHigh, { textContent: signed ? "for" : "1" });
    paintRamp(ui.ramp, colormap);
  });
}

function paintRamp(canvas, colormap) {
  const context = canvas.getContext("2d");
  const strip = context.createImageData(256, 1);
  const table = colorTable(colormap);
  for (let i = 0; i < 256; i++) strip.data.set([...table.slice(i * 3, i * 3 + 3), 255], i * 4);
  context.putImageData(strip, 0, 0);
}
