// Requests maps of the current image. Each response is cached until the image changes.

import { postForBlob, postForJson } from "../lib/api.js";

export class ExplainClient {
  #state;
  #runner;
  #estimate;
  /** Options as JSON → response. */
  #cache = new Map();

  constructor(state, runner, estimate) {
    this.#state = state;
    this.#runner = runner;
    this.#estimate = estimate;
  }

  clearCache() {
    this.#cache.clear();
  }

  /** The response to `options`. Calls `onPartial` with each unfinished map that is not empty. */
  async explain(options, signal, onPartial) {
    const key = JSON.stringify(options);
    const cached = this.#cache.get(key);
    if (cached) return cached;
    const onEvent = (event, data) => this.#handle(event, data, options.method, onPartial);
    const response = await postForJson("/v1/explain", this.#state.file, options, signal, onEvent);
    signal.throwIfAborted();
    this.#cache.set(key, response);
    this.#estimate.record(options.model, response);
    return response;
  }

  #handle(event, data, method, onPartial) {
    const runner = this.#runner;
    if (event === "queued") runner.show("Waiting for other requests to finish", 0);
    if (event === "started") runner.show(this.#estimate.label(method), this.#estimate.ms(method));
    if (event === "progress") runner.progress(data);
    if (event === "partial" && !data.heatmap.empty) onPartial(data);
  }

  /**
   * The image as the server decodes it, for a file that the browser cannot decode (mostly TIFF):
   * an overlay with weight 0, by the cheapest variant of a method that the model supports.
   */
  async decodedImage(method, layer, signal) {
    const png = await postForBlob("/v1/explain", this.#state.file, {
      model: this.#state.model.id, method, layer,
      max_channels: method === "scorecam" ? 1 : null,
      output: "overlay", blend: "mix", weight: 0, top_k: 0,
    }, signal);
    return createImageBitmap(png);
  }
}
