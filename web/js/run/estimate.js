// How long methods take, learned from the responses so far and remembered per model.
//
// Before the first response of a method nothing is said. The time of a plain forward pass is no
// guide: masked passes run in batches, on kernels that skip what is masked, and channels that are 0
// need none, so that Score-CAM takes a fraction of passes × forward time, which depends on the
// model and the machine.

import { passesOf, plannedPasses } from "../lib/methods.js";

/** The shortest estimate that the server accepts, in passes. */
const MIN_BUDGET = 8;
/** Before any pass was measured. */
const DEFAULT_BUDGET = 32;

const repeated = ({ masked = 0, noisy = 0, tail = 0 }) => masked + noisy + tail;

export class Estimate {
  /** Key → `{ passMs, share }`: one pass, and which part of the planned ones a picture needs. */
  #measured;
  #save;

  /** `entries` are those that `save` received in an earlier life of the tab. */
  constructor(entries = [], save = () => {}) {
    this.#measured = new Map(entries);
    this.#save = save;
  }

  /**
   * Takes in the response to a request. `total` is the number of passes that its events named, if
   * there were any: unlike those that ran, it does not depend on what was cached.
   */
  record({ model, method, layers, settings }, response, total = 0) {
    const passes = passesOf(response);
    const ran = repeated(passes);
    const { forward, explain = 0 } = response.timing_ms;
    const ms = ran > 0 ? explain / ran : forward + explain;
    // Cached results say nothing about the time that the passes take.
    if (!(ms > 0) || (ran === 0 && passes.forward === 0)) return;
    const name = names(layers);
    const planned = repeated(plannedPasses(method, layers, settings));
    const isWhole = total > 0 && !settings.budget;
    const share = isWhole ? Math.min(1, total / planned) : this.#of(model, method, name)?.share;
    this.#measured.set(key(model, method, name), { passMs: ms, share });
    // A tail pass costs more the earlier the layer, a pass of the whole model does not.
    if (!passes.tail) this.#measured.set(key(model, method, ""), { passMs: ms });
    this.#save([...this.#measured]);
  }

  #of(model, method, name) {
    return this.#measured.get(key(model, method, name))
      ?? this.#measured.get(key(model, method, ""));
  }

  /**
   * The expected duration of a method in milliseconds, 0 where none was measured. `isLimit` says
   * that it is the most: it is not known yet how many passes a picture needs on these layers.
   */
  of(model, method, layers, settings) {
    const known = this.#of(model, method, names(layers));
    if (!known) return { ms: 0, isLimit: false };
    const { isLimit, ...planned } = plannedPasses(method, layers, settings);
    const all = repeated(plannedPasses(method, layers, { ...settings, budget: null }));
    const needed = Math.min(repeated(planned), all * (known.share ?? 1));
    return {
      ms: known.passMs * (all > 0 ? needed : 1),
      isLimit: isLimit && !settings.budget && known.share === undefined,
    };
  }

  /** The number of passes for an estimate of Score-CAM that takes about so long. */
  budgetFor(model, layers, settings, ms) {
    const known = this.#of(model, "scorecam", names(layers));
    const whole = this.of(model, "scorecam", layers, { ...settings, budget: null });
    if (!known || whole.ms <= ms) return DEFAULT_BUDGET;
    return Math.max(MIN_BUDGET, Math.round(ms / known.passMs));
  }
}

const names = (layers) => layers.map(({ tensor }) => tensor).join(",");
const key = (...parts) => parts.join(" ");
