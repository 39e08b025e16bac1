// Estimates how many passes a method takes, and how long, from the passes measured so far.

import { methodName } from "../lib/methods.js";

export class PassEstimate {
  #state;
  #form;
  #layers;
  /** Model id → duration of one pass in milliseconds. */
  #passMs = new Map();

  constructor(state, form, layers) {
    this.#state = state;
    this.#form = form;
    this.#layers = layers;
  }

  /** Takes in the timing of a response. Masked passes give the better estimate. */
  record(model, { passes, timing_ms: timing }) {
    const isMasked = passes.masked > 0;
    const ms = isMasked
      ? timing.explain / passes.masked
      : timing.forward / Math.max(1, passes.forward);
    if (ms > 0 && (isMasked || !this.#passMs.has(model))) this.#passMs.set(model, ms);
  }

  /** The expected duration in milliseconds; 0 where it is unknown. */
  ms(method) {
    return this.#passes(method) * (this.#passMs.get(this.#state.model.id) ?? 0);
  }

  /** What to show while a method runs. */
  label(method) {
    const name = methodName(method);
    return method === "scorecam"
      ? `Running ${name}: up to ${this.#passes(method)} passes`
      : `Running ${name}`;
  }

  #passes(method) {
    if (method !== "scorecam") return 1;
    const limit = Number(this.#form.maxChannels);
    const masks = ({ shape: [channels] }) => Math.min(channels, limit || channels);
    return this.#layers.selected.reduce((sum, layer) => sum + masks(layer), 0);
  }
}
