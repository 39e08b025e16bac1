// What is running: its name, the time left, and a button that stops it.

import { duration } from "../lib/text.js";

/** A quick job shows no progress bar, which would only flash. */
const SHOW_AFTER_MS = 250;
/** The expected duration below which an estimate is not worth showing. */
const MIN_ESTIMATE_MS = 2000;

export function progressView({ store, ui, actions }) {
  let timer = 0;
  ui.cancel.addEventListener("click", () => actions.cancel());
  const tick = () => {
    const { run } = store.state;
    if (!run) return;
    const elapsed = performance.now() - run.startedAt;
    const [text, share] = times(run, elapsed);
    ui.runTime.textContent = elapsed < 1000 && !run.progress ? "" : text;
    if (share === null) ui.runBar.removeAttribute("value");
    else ui.runBar.value = share;
    ui.run.hidden = elapsed < SHOW_AFTER_MS && !run.progress;
  };
  store.watch(["run"], ({ run }) => {
    clearInterval(timer);
    if (!run) {
      ui.run.hidden = true;
      ui.stage.removeAttribute("aria-busy");
      return;
    }
    ui.stage.setAttribute("aria-busy", "true");
    ui.runLabel.textContent = run.label;
    if (ui.status.textContent !== run.label) ui.status.textContent = run.label;
    timer = setInterval(tick, 100);
    tick();
  });
}

/** The time as text, and the completed share; null where that is unknown. */
function times({ progress, expectedMs }, elapsed) {
  if (progress) {
    const { done, total, endsAt } = progress;
    const left = endsAt === null ? 0 : endsAt - performance.now();
    return [`${done} of ${total}${left > 500 ? `, ${duration(left)} left` : ""}`, done / total];
  }
  if (expectedMs > MIN_ESTIMATE_MS) {
    const text = `${duration(elapsed)} of about ${duration(expectedMs)}`;
    return [text, Math.min(0.98, elapsed / expectedMs)];
  }
  return [duration(elapsed), null];
}
