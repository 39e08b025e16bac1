// Runs one job at a time, shows how it goes, and stops it when it is no longer wanted.

import { duration } from "../lib/text.js";

/** An answer that comes at once needs no bar that flashes by. */
const SHOWN_AFTER_MS = 250;
/** Below this a guess at the time left is of no use to anyone. */
const WORTH_GUESSING_MS = 2000;

export class Runner {
  #ui;
  #current = null;
  #clock = 0;
  #known = null;

  /** `ui` holds the elements: stage, status, run, runLabel, runTime and runBar. */
  constructor(ui) {
    this.#ui = ui;
  }

  get busy() {
    return this.#current !== null;
  }

  /** A newer job, or `stop`, cancels the one that runs; what a cancelled job throws is nobody's concern. */
  async run(label, expectedMs, job) {
    this.stop();
    const mine = (this.#current = new AbortController());
    this.show(label, expectedMs);
    try {
      await job(mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) throw error;
    } finally {
      if (this.#current === mine) this.#idle();
    }
  }

  stop() {
    this.#current?.abort();
    this.#idle();
  }

  /** Says what is being done, and how long that should take; 0 when it cannot be told. */
  show(label, expectedMs) {
    clearInterval(this.#clock);
    const ui = this.#ui;
    const start = performance.now();
    this.#known = null;
    ui.stage.setAttribute("aria-busy", "true");
    ui.runLabel.textContent = ui.status.textContent = label;
    this.#clock = setInterval(() => {
      const elapsed = performance.now() - start;
      const [text, share] = this.#times(elapsed, expectedMs);
      ui.runTime.textContent = elapsed < 1000 ? "" : text;
      if (share === null) ui.runBar.removeAttribute("value");
      else ui.runBar.value = share;
      ui.run.hidden = elapsed < SHOWN_AFTER_MS;
    }, 100);
  }

  /** What is said of the time, and how much of it is over; null when that cannot be told. */
  #times(elapsed, expectedMs) {
    if (this.#known) {
      const { done, total, endsAt } = this.#known;
      const left = endsAt - performance.now();
      return [`${done} of ${total}${left > 500 ? `, ${duration(left)} left` : ""}`, done / total];
    }
    if (expectedMs > WORTH_GUESSING_MS) {
      return [`${duration(elapsed)} of about ${duration(expectedMs)}`, Math.min(0.98, elapsed / expectedMs)];
    }
    return [duration(elapsed), null];
  }

  /** How far the job really is, as the server tells it. */
  progress({ done, total, remaining_s: seconds }) {
    if (seconds !== null) this.#known = { done, total, endsAt: performance.now() + seconds * 1000 };
  }

  #idle() {
    this.#current = null;
    clearInterval(this.#clock);
    this.#ui.run.hidden = true;
    this.#ui.stage.removeAttribute("aria-busy");
  }
}
