// Runs one job at a time, shows how it goes, and stops it when it is no longer wanted.

import { duration } from "./text.js";

/** An answer that comes at once needs no bar that flashes by. */
const SHOWN_AFTER_MS = 250;
/** Below this a guess at the time left is of no use to anyone. */
const WORTH_GUESSING_MS = 2000;

export class Runner {
  #ui;
  #current = null;
  #clock = 0;

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
    const guess = expectedMs > WORTH_GUESSING_MS;
    ui.stage.setAttribute("aria-busy", "true");
    ui.runLabel.textContent = ui.status.textContent = label;
    this.#clock = setInterval(() => {
      const elapsed = performance.now() - start;
      ui.runTime.textContent = elapsed < 1000 ? "" : `${duration(elapsed)}${guess ? ` of about ${duration(expectedMs)}` : ""}`;
      if (guess) ui.runBar.value = Math.min(0.98, elapsed / expectedMs);
      else ui.runBar.removeAttribute("value");
      ui.run.hidden = elapsed < SHOWN_AFTER_MS;
    }, 100);
  }

  #idle() {
    this.#current = null;
    clearInterval(this.#clock);
    this.#ui.run.hidden = true;
    this.#ui.stage.removeAttribute("aria-busy");
  }
}
