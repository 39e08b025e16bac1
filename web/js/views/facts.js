// A response as a list of terms and values, for the card below the figures.

import { make } from "../lib/dom.js";
import { methodName, passesOf } from "../lib/methods.js";
import { mapsOf, totalMs } from "../lib/response.js";
import { amountText, className, duration, passText } from "../lib/text.js";

function classWithIndex({ index, label }) {
  return label == null ? String(index) : `${label} (${index})`;
}

function maximum({ heatmap }) {
  return heatmap.empty ? "0, the map is empty" : heatmap.max.toPrecision(4);
}

/** Shows the facts of the first finished map, and of all maps of one response. */
export function factsView({ store, ui }) {
  store.watch(["cells"], ({ cells, model }) => {
    const response = cells.find((cell) => cell.response)?.response;
    const isComparison = new Set(cells.map(({ response: one }) => one)).size > 1;
    ui.details.hidden = !response || isComparison;
    if (ui.details.hidden) return;
    const facts = factsOf(response, model.input.fit === "crop");
    ui.facts.replaceChildren(...facts.map(([term, text]) => (
      make("div", {}, make("dt", {}, term), make("dd", {}, text))
    )));
  });
}

/** The terms and values. `isCropped` says that the model receives only the image's centre. */
function factsOf(response, isCropped) {
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
    ["Picture", `${image.width} × ${image.height}${isCropped ? ", cropped to the centre" : ""}`],
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
