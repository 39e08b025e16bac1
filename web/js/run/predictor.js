// Asks for the classes of the picture apart from its map. A method of many passes names them only
// in its result, minutes later or, after a cancel, never; the classes alone take one pass.

import { postForPredictions } from "../lib/api.js";

export class Predictor {
  #store;
  #current = null;

  constructor(store) {
    this.#store = store;
  }

  /**
   * Puts the predictions of this picture and model into the store. Resolves once they are there;
   * one request serves all who wait for it. Rejects with the problem that is in the way.
   */
  ensure() {
    const { file, model, predictions } = this.#store.state;
    if (predictions.length > 0) return Promise.resolve();
    const current = this.#current;
    if (current?.file === file && current.model === model) return current.done;
    this.stop();
    const controller = new AbortController();
    const done = this.#request(file, model, controller.signal).finally(() => {
      if (this.#current?.controller === controller) this.#current = null;
    });
    this.#current = { file, model, controller, done };
    return done;
  }

  /** Gives up the request in progress, if there is one. */
  stop() {
    this.#current?.controller.abort();
    this.#current = null;
  }

  async #request(file, model, signal) {
    const { predictions } = await postForPredictions(file, { model: model.id }, signal);
    const { state } = this.#store;
    // The map may have come first, or the picture may be another by now.
    const isWanted = state.file === file && state.model === model;
    if (!isWanted || state.predictions.length > 0) return;
    const scores = predictions.map((one) => [one.index, one]);
    this.#store.update({ predictions, scores: new Map([...state.scores, ...scores]) });
  }
}
