// Shows a problem at the top of the page and, where it names an option, at the option's control.

import { sentence } from "../lib/text.js";
import { FieldErrors } from "./field-errors.js";

export function alertView({ store, ui, actions }) {
  const fieldErrors = new FieldErrors({
    target: ui.target, layer: ui.layer, contrast: ui.contrast, negate: ui.negate,
    signed: ui.signed, convention: ui.convention, score: ui.score, max_channels: ui.maxChannels,
  });
  ui.retry.addEventListener("click", () => actions.retry());
  store.watch(["problem"], ({ problem, file }) => {
    fieldErrors.clear();
    // The dialog for the key says it.
    ui.alert.hidden = !problem || problem.status === 401;
    if (ui.alert.hidden) return;
    const { status, requestId, title, detail } = problem;
    const id = status >= 500 && requestId ? ` (request ID ${requestId})` : "";
    ui.alertTitle.textContent = title;
    ui.alertDetail.textContent = sentence(detail ?? problem.message) + id;
    // A request with a client error would fail again.
    ui.retry.hidden = !file || (status >= 400 && status < 500);
    ui.status.textContent = "";
    fieldErrors.show(problem);
    if (ui.alert.getBoundingClientRect().top < 0) ui.alert.scrollIntoView({ block: "nearest" });
  });
}
