// Displays a response: its maps, its predictions, its figures and its export.

import { make } from "../lib/dom.js";
import { methodName } from "../lib/methods.js";
import { mapsOf } from "../lib/response.js";
import { amountText, className, emptyMapText, scoreText } from "../lib/text.js";
import { factsOf } from "./facts.js";

export class ResultView {
  #ui;
  #state;
  #mode;
  #stage;
  #classes;
  #exporter;

  /** `ui` holds the elements canvas, details, empty, exportCard, facts and status. */
  constructor(ui, { state, mode, stage, classes, exporter }) {
    this.#ui = ui;
    this.#state = state;
    this.#mode = mode;
    this.#stage = stage;
    this.#classes = classes;
    this.#exporter = exporter;
  }

  /** Displays the maps of one method: one, or one per class. */
  show(response) {
    const maps = mapsOf(response);
    for (const map of maps) {
      if (maps.length > 1) this.#showInPane(response, map);
      else this.#stage.showMap(map.heatmap.empty ? null : map.heatmap, mapLabel(response, map));
    }
    this.showDetails(response);
    const isEmpty = maps.length === 1 && maps[0].heatmap.empty;
    const emptyText = isEmpty ? emptyMapText(response) : "";
    this.#ui.empty.hidden = !isEmpty;
    this.#ui.empty.textContent = emptyText;
    this.#ui.status.textContent = isEmpty ? emptyText : readyText(response, maps);
  }

  #showInPane(response, { target, heatmap }) {
    const map = heatmap.empty ? null : heatmap;
    const emptyText = emptyMapText({ ...response, target, heatmap });
    const text = map ? scoreText(target) : `${scoreText(target)}. ${emptyText}`;
    this.#stage.showInPane(target.index, map, mapLabel(response, { target }), text);
  }

  /** Displays everything in a response except its maps. */
  showDetails(response) {
    this.#state.addScores(response);
    this.#classes.renderPredictions();
    const isCropped = this.#state.model.input.fit === "crop";
    this.#ui.facts.replaceChildren(...factsOf(response, isCropped).map(([term, text]) => (
      make("div", {}, make("dt", {}, term), make("dd", {}, text))
    )));
    this.#ui.details.hidden = this.#mode.isComparison;
    this.#ui.exportCard.hidden = false;
    this.#exporter.showCurl();
  }
}

function mapLabel({ method }, { target }) {
  const share = amountText(target);
  return `${methodName(method)} for ${className(target)}, ${share}, over the image`;
}

/** Announces finished maps to a screen reader. */
function readyText({ method }, maps) {
  const classes = maps.map(({ target }) => `${className(target)}, ${amountText(target)}`);
  const ready = maps.length > 1 ? "the maps are ready" : "the map is ready";
  return `${methodName(method)} for ${classes.join("; ")}: ${ready}.`;
}
