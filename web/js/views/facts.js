// A response as a list of terms and values, for the card below the figures.

import { make } from "../lib/dom.js";
import { methodName, passesOf } from "../lib/methods.js";
import { mapsOf, totalMs } from "../lib/response.js";
import { isCropped } from "../map/resize.js";
import { amountText, className, duration, passText, progressText } from "../lib/text.js";

function classWithIndex({ index, label }) {
  return label == null ? String(index) : `${label} (${index})`;
}

function maximum({ heatmap }) {
  return heatmap.empty ? "0, the map is empty" : heatmap.max.toPrecision(4);
}

/**
 * Shows the facts of the first finished map, and of all maps of one response; of a map that was
 * cancelled, what is known without it.
 */
export function factsView({ store, ui }) {
  store.watch(["cells", "predictions", "scores"], (state) => {
    const { cells } = state;
    const response = cells.find((cell) => cell.response)?.response;
    const isComparison = new Set(cells.map(({ response: one }) => one)).size > 1;
    const facts = isComparison ? []
      : response ? factsOf(response, isCropped(response.image, state.model.input))
        : factsWithoutResponse(state);
    ui.details.hidden = facts.length === 0;
    ui.facts.replaceChildren(...facts.map(([term, text]) => (
      make("div", {}, make("dt", {}, term), make("dd", {}, text))
    )));
  });
}

function factsWithoutResponse({ cells: [cell, ...others], predictions, scores }) {
  if (others.length > 0 || !["cancelled", "partial"].includes(cell?.status)) return [];
  const { target: asked, method, layer } = cell.options;
  const target = cell.target ?? (asked ? scores.get(Number(asked)) : predictions[0]);
  if (!target) return [];
  return [
    ...classFacts([{ target }]),
    ["Method", methodName(method)],
    [layer.includes(",") ? "Layers" : "Layer", layer.replaceAll(",", ", ")],
    ["Passes", cell.progress && `${progressText(cell.progress)}, then cancelled`],
  ].filter(([, value]) => value);
}

/** The terms and values. `isCentreAlone` says that the model receives only the image's centre. */
function factsOf(response, isCentreAlone) {
  const cropped = isCentreAlone ? ", cropped to the centre" : "";
  const { image, contrast, negate, convention } = response;
  const layer = response.layer.replaceAll(",", ", ");
  const maps = mapsOf(response);
  const facts = [
    ...classFacts(maps),
    ["Contrast class", contrast && className(contrast)],
    ["Shows", negate && "evidence against the class"],
    ["Method", methodName(response.method)],
    ["Convention", convention],
    [response.layer.includes(",") ? "Layers" : "Layer", layer],
    ["Map", mapSize(maps[0])],
    maps.length === 1
      ? ["Maximum", maximum(maps[0])]
      : ["Maxima", ofEach(maps, maximum)],
    ["Picture", `${image.width} × ${image.height}${cropped}`],
    ["Estimate", estimateText(maps[0].heatmap)],
    ["Passes", passText(passesOf(response))],
    ["Time", timeText(response)],
  ];
  return facts.filter(([, value]) => value);
}

function classFacts(maps) {
  if (maps.length > 1) {
    return [
      ["Classes", maps.map(({ target }) => classWithIndex(target)).join("; ")],
      [
        maps[0].target.value == null ? "Probabilities" : "Values",
        ofEach(maps, ({ target }) => amountText(target)),
      ],
    ];
  }
  const [{ target }] = maps;
  return [
    ["Class", classWithIndex(target)],
    [target.value == null ? "Probability" : "Value", amountText(target)],
    ["Logit", target.logit?.toFixed(3)],
  ];
}

function ofEach(maps, text) {
  return maps.map((map) => `${className(map.target)} ${text(map)}`).join("; ");
}

function mapSize({ heatmap }) {
  const [rows, columns] = heatmap.shape;
  return `${columns} × ${rows}${heatmap.signed ? ", from −1 (against) to 1 (for)" : ""}`;
}

function estimateText({ estimate }) {
  if (!estimate) return null;
  const { correlation, at_least: least } = estimate;
  return `correlation with the exact map about ${correlation.toFixed(3)}, nine times in ten at `
    + `least ${least.toFixed(3)}`;
}

function timeText(response) {
  const parts = Object.entries(response.timing_ms)
    .filter(([, ms]) => ms >= 0.5)
    .map(([part, ms]) => `${part} ${duration(ms)}`);
  return `${duration(totalMs(response))} (${parts.join(", ")})`;
}
