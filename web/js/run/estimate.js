// How long passes take, learned from the responses so far.

import { passesOf } from "../lib/methods.js";

/** The shortest estimate that the server accepts, in passes. */
const MIN_BUDGET = 8;
/** Before any pass was measured. */
const DEFAULT_BUDGET = 32;

export class Estimate {
  /** Model id → duration of one pass in milliseconds. */
  #passMs = new Map();

  /** Takes in the timing of a response. Masked passes give the better estimate. */
  record(model, { passes, timing_ms: timing }) {
    const isMasked = passes.masked > 0;
    const ms = isMasked
      ? timing.explain / passes.masked
      : timing.forward / Math.max(1, passes.forward);
    if (ms > 0 && (isMasked || !this.#passMs.has(model))) this.#passMs.set(model, ms);
  }

  passMs(model) {
    return this.#passMs.get(model) ?? 0;
  }

  /** The expected duration of a method in milliseconds; 0 where it is unknown or short. */
  ms(model, method, layers, settings) {
    const passes = layers.reduce((sum, { shape }) => (
      sum + passesOf(method, shape, settings).count
    ), 0);
    return passes * this.passMs(model);
  }

  /** The number of passes that take about so long. */
  budgetFor(model, ms) {
    const passMs = this.passMs(model);
    return passMs > 0 ? Math.max(MIN_BUDGET, Math.round(ms / passMs)) : DEFAULT_BUDGET;
  }
}
