// Requests the maps that the controls describe, and shows them as they arrive.

import { COMPARED_METHODS, methodName } from "./lib/methods.js";
import { totalMs } from "./lib/response.js";
import { className, duration, emptyMapText, passText, sentence } from "./lib/text.js";

export class Explainer {
  #ui;
  #state;
  #mode;
  #form;
  #layers;
  #classes;
  #methods;
  #display;
  #stage;
  #results;
  #exporter;
  #estimate;
  #client;
  #runner;

  /** `ui` holds the elements empty and status. */
  constructor(ui, parts) {
    this.#ui = ui;
    this.#state = parts.state;
    this.#mode = parts.mode;
    this.#form = parts.form;
    this.#layers = parts.layers;
    this.#classes = parts.classes;
    this.#methods = parts.methods;
    this.#display = parts.display;
    this.#stage = parts.stage;
    this.#results = parts.results;
    this.#exporter = parts.exporter;
    this.#estimate = parts.estimate;
    this.#client = parts.client;
    this.#runner = parts.runner;
  }

  /** Explains the image with the current settings. Does nothing without an image or a model. */
  start() {
    if (!this.#state.file || !this.#state.model) return;
    this.#ui.empty.hidden = true;
    this.#display.setSigned(this.#form.isSigned);
    this.#stage.layOut(this.#mode.isComparison);
    this.#exporter.showCurl();
    if (this.#mode.isComparison) this.#compare();
    else this.#explain();
  }

  /** One method: one map, or one per selected class. */
  async #explain() {
    const { targets } = this.#state;
    const options = this.#form.options();
    if (targets.length > 1) {
      this.#stage.openPanes("classes", targets.map((index) => ({
        key: index,
        name: this.#classes.name(index),
        onSelect: () => this.#classes.selectOnly(index),
      })));
    }
    const { method } = options;
    const run = async (signal) => {
      this.#state.response = null;
      const onPartial = ({ heatmap, target }) => {
        if (this.#stage.hasPanes) this.#stage.showPartialInPane(target.index, heatmap);
        else {
          const label = `${methodName(method)} for ${className(target)}, in progress`;
          this.#stage.showMap(heatmap, label);
        }
      };
      const response = await this.#client.explain(options, signal, onPartial);
      await this.#accept(response, signal);
      this.#results.show(response);
    };
    await this.#runner.run(this.#estimate.label(method), this.#estimate.ms(method), run);
    if (this.#runner.isBusy || this.#state.response) return;
    this.#stage.clear();
    if (this.#stage.hasPanes) this.#stage.panes.abandon("No map.");
  }

  /** Several methods, one after the other; each map is shown as soon as it is finished. */
  #compare() {
    const methods = COMPARED_METHODS.filter((method) => method in this.#state.model.methods);
    this.#stage.openPanes("methods", methods.map((method) => ({
      key: method,
      name: methodName(method),
      onSelect: () => this.#methods.select(method),
    })));
    return this.#runner.run(this.#estimate.label(methods[0]), 0, async (signal) => {
      let finished = 0;
      let failure = null;
      for (const method of methods) {
        const { available, reason } = this.#state.methodSupport(method);
        if (!available) {
          const text = sentence(reason ?? "not supported by this model");
          this.#stage.panes.get(method).note(text);
          continue;
        }
        try {
          await this.#compareOne(method, signal);
          finished++;
        } catch (error) {
          // One method may support what another rejects.
          if (signal.aborted || ![400, 422].includes(error.status)) throw error;
          failure = error;
        }
      }
      if (finished === 0 && failure) throw failure;
      this.#ui.status.textContent = "The maps are ready.";
    });
  }

  async #compareOne(method, signal) {
    const pane = this.#stage.panes.get(method);
    this.#runner.show(this.#estimate.label(method), this.#estimate.ms(method));
    pane.note("Running …");
    try {
      const onPartial = ({ heatmap }) => this.#stage.showPartialInPane(method, heatmap);
      const response = await this.#client.explain(this.#form.options(method), signal, onPartial);
      await this.#accept(response, signal);
      const { heatmap, target, passes } = response;
      const label = `${methodName(method)} for ${className(target)}`;
      const text = heatmap.empty
        ? emptyMapText(response)
        : `${passText(passes)}, ${duration(totalMs(response))}`;
      this.#stage.showInPane(method, heatmap.empty ? null : heatmap, label, text);
      this.#results.showDetails(response);
    } catch (error) {
      const text = sentence(error.detail || error.title || error.message);
      pane.note(signal.aborted ? "Cancelled." : text);
      throw error;
    }
  }

  /** Makes a response the displayed one, with an image to show it on. */
  async #accept(response, signal) {
    this.#state.response = response;
    if (this.#state.image) return;
    const [layer] = this.#layers.names;
    this.#state.image = await this.#client.decodedImage(response.method, layer, signal);
    this.#stage.showImage();
  }
}
