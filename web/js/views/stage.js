// The figures: one large map, the same map as picture, map and overlay side by side, or one figure
// for each cell of a comparison.

import { methodName, passesOf } from "../lib/methods.js";
import { totalMs } from "../lib/response.js";
import {
  amountText, className, duration, emptyMapText, passText, progressText, scoreText,
} from "../lib/text.js";
import { isCropped } from "../map/resize.js";
import { modeOf } from "../state/plan.js";
import { viewReason } from "../state/support.js";
import { Figure } from "./figure.js";

/** Four panes look better in two rows of two than in rows of three and one. */
const columns = (count) => (count === 4 ? 2 : Math.min(3, count));

const SIDE = [["original", "Input"], ["map", "Map"], ["overlay", "Overlay"]];

export function stageView({ store, ui, actions }) {
  /** Key → figure. */
  let figures = new Map();
  let layout = "";

  const open = (state, parts) => {
    figures = new Map(parts.map(({ key, name, isPane }) => {
      const onSelect = isPane ? () => actions.showOnly(cellOf(key)) : null;
      const onSplit = (split) => actions.setDisplay({ split }, { push: false });
      return [key, new Figure({ key, name, isPane, onSelect, onSplit, readout: ui.readout })];
    }));
    ui.figures.style.setProperty("--columns", columns(parts.length));
    ui.figures.dataset.of = modeOf(state.settings);
    ui.figures.dataset.count = parts.length;
    ui.figures.replaceChildren(...[...figures.values()].map(({ element }) => element));
  };
  const cellOf = (key) => store.state.cells.find((cell) => cell.key === key);

  store.watch(["file", "image"], ({ file }) => {
    ui.result.hidden = !file;
    ui.fileName.textContent = ui.fileName.title = file ? file.name || "pasted picture" : "";
  });
  store.watch(["image", "model", "cells", "display"], (state) => {
    const rest = cropText(state);
    // Otherwise it would replace the value under a pointer that rests.
    if (ui.readout.dataset.rest === rest) return;
    ui.readout.dataset.rest = ui.readout.textContent = rest;
  });
  store.watch(["image", "cells", "display", "model"], (state) => {
    const { image, cells, display, model } = state;
    const isSingle = cells.length < 2 && modeOf(state.settings) === "single";
    const isSide = isSingle && display.view === "side";
    const parts = isSide
      ? SIDE.map(([key, name]) => ({ key, name, isPane: false }))
      : isSingle
        ? [{ key: "single", name: "", isPane: false }]
        : cells.map(({ key, title }) => ({ key, name: title, isPane: true }));
    const wanted = parts.map(({ key, name }) => `${key}:${name}`).join("|");
    if (wanted !== layout) {
      layout = wanted;
      open(state, parts);
    }
    for (const { key } of parts) {
      const cell = isSingle ? cells[0] : cells.find((one) => one.key === key);
      const view = isSide ? key : viewOf(cells, display);
      const kind = cell?.heatmap?.signed ? "signed" : "unsigned";
      figures.get(key).show({
        image, input: model?.input,
        heatmap: cell?.heatmap && !cell.heatmap.empty ? cell.heatmap : null,
        style: {
          ...display[kind], view, emphasize: display.emphasize, split: display.split,
          // As on the server: the article's own map is bilinear.
          smooth: display.emphasize && state.settings.convention !== "article",
        },
        label: labelOf(cell, view),
        note: isSingle ? "" : noteOf(cell),
        status: cell?.status ?? "waiting",
        name: isSide ? SIDE.find(([one]) => one === key)[1] : cell?.title ?? "",
      });
    }
  });
}

/** Says that the model receives the picture's centre alone, if so. */
function cropText({ image, model, cells, display }) {
  if (!image || !model || !isCropped(image, model.input)) return "";
  return isFramed(cells, display)
    ? "The model receives only what is framed."
    : "The model receives only the centre of the picture.";
}

/** Whether a figure shows the frame, which comes with a map. */
function isFramed(cells, display) {
  const view = viewOf(cells, display);
  const isUncovered = view === "original" || (view === "wipe" && display.split === 1);
  return !isUncovered && cells.some(({ heatmap }) => heatmap && !heatmap.empty);
}

/** The view that the figures have. */
const viewOf = (cells, { view }) => (viewReason(view, cells.length) ? "overlay" : view);

/** What a screen reader says about a figure. */
function labelOf(cell, view) {
  if (!cell?.heatmap || !cell.target || view === "original") return "The picture";
  const name = methodName(cell.options.method);
  const what = `${name} for ${className(cell.target)}`;
  if (cell.response === null) {
    return cell.status === "partial" ? `${what}, partial` : `${what}, in progress`;
  }
  return `${what}, ${amountText(cell.target)}, over the picture`;
}

/** The line below a pane. */
function noteOf({ status, note, response, target, heatmap, progress, index }) {
  switch (status) {
    case "waiting": return "Waiting …";
    case "running": return progress ? `Running: ${progressText(progress)}` : "Running …";
    case "partial": return `Partial: ${progressText(progress)}`;
    case "cancelled": return "Cancelled.";
    case "done": {
      if (heatmap.empty) return emptyMapText({ ...response, target, heatmap });
      if (index !== undefined) return scoreText(target);
      const time = duration(totalMs(response));
      return `${passText(passesOf(response))}, ${time}${estimateText(heatmap)}`;
    }
    default: return note;
  }
}

function estimateText({ estimate }) {
  return estimate ? `, estimate (correlation ${estimate.correlation.toFixed(2)})` : "";
}
