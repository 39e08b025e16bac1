// Requests maps of the current picture. Each response is cached until the picture changes.

import { postForBlob, postForJson } from "../lib/api.js";

export class Client {
  /** Options as JSON → response. */
  #cache = new Map();

  clear() {
    this.#cache.clear();
  }

  /** The cached response to these options, if there is one. */
  cached(options) {
    return this.#cache.get(JSON.stringify(options));
  }

  /** The response to `options`. Calls `onEvent(name, data)` for each event before it. */
  async explain(file, options, signal, onEvent) {
    const cached = this.cached(options);
    if (cached) return cached;
    const response = await postForJson("/v1/explain", file, options, signal, onEvent);
    signal.throwIfAborted();
    this.#cache.set(JSON.stringify(options), response);
    return response;
  }

  /**
   * The picture as the server decodes it, for a file that the browser cannot decode (mostly TIFF):
   * an overlay with weight 0, by the cheapest variant of a method that the model supports.
   */
  async decodedImage(file, { model, method, layer }, signal) {
    const png = await postForBlob("/v1/explain", file, {
      model, method, layer: layer.split(",")[0],
      max_channels: method === "scorecam" ? 1 : null,
      output: "overlay", blend: "mix", weight: 0, top_k: 0,
    }, signal);
    return createImageBitmap(png);
  }
}
