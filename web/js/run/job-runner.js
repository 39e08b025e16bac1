// Runs one job at a time, shows its progress, and cancels it when it is no longer needed.

import { duration } from "../lib/text.js";

/** A quick job shows no progress bar, which would only flash. */
const SHOW_AFTER_MS = 250;
/** The expected duration below which an estimate is not worth showing. */
const MIN_ESTIMATE_MS = 2000;

export class JobRunner {
  #ui;
  #alert;
  #current = null;
  #timer = 0;
  #progress = null;

  /** `ui` holds the elements stage, status, run, runLabel, runTime and runBar. */
  constructor(ui, alert) {
    this.#ui = ui;
    this.#alert = alert;
  }

  get isBusy() {
    return this.#current !== null;
  }

  /**
   * Runs `job(signal)` and shows an error that it throws. A later job, or `stop`, cancels it;
   * errors of a cancelled job are dropped.
   */
  async run(label, expectedMs, job) {
    this.#alert.clear();
    this.stop();
    const controller = (this.#current = new AbortController());
    this.show(label, expectedMs);
    let failure = null;
    try {
      await job(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) failure = error;
    } finally {
      if (this.#current === controller) this.#idle();
    }
    if (failure) this.#alert.show(failure);
  }

  stop() {
    this.#current?.abort();
    this.#idle();
  }

  /** Shows what is running and how long it should take; 0 where that is unknown. */
  show(label, expectedMs) {
    clearInterval(this.#timer);
    const ui = this.#ui;
    const start = performance.now();
    this.#progress = null;
    ui.stage.setAttribute("aria-busy", "true");
    ui.runLabel.textContent = ui.status.textContent = label;
    this.#timer = setInterval(() => {
      const elapsed = performance.now() - start;
      const [text, share] = this.#times(elapsed, expectedMs);
      ui.runTime.textContent = elapsed < 1000 ? "" : text;
      if (share === null) ui.runBar.removeAttribute("value");
      else ui.runBar.value = share;
      ui.run.hidden = elapsed < SHOW_AFTER_MS;
    }, 100);
  }

  /** The time as text, and the completed share; null where that is unknown. */
  #times(elapsed, expectedMs) {
    if (this.#progress) {
      const { done, total, endsAt } = this.#progress;
      const left = endsAt - performance.now();
      return [`${done} of ${total}${left > 500 ? `, ${duration(left)} left` : ""}`, done / total];
    }
    if (expectedMs > MIN_ESTIMATE_MS) {
      const text = `${duration(elapsed)} of about ${duration(expectedMs)}`;
      return [text, Math.min(0.98, elapsed / expectedMs)];
    }
    return [duration(elapsed), null];
  }

  /** Takes in a `progress` event of the server. */
  progress({ done, total, remaining_s: seconds }) {
    if (seconds === null) return;
    this.#progress = { done, total, endsAt: performance.now() + seconds * 1000 };
  }

  #idle() {
    this.#current = null;
    clearInterval(this.#timer);
    this.#ui.run.hidden = true;
    this.#ui.stage.removeAttribute("aria-busy");
  }
}
