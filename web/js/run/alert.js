// Shows an error above the image and, where it names an option, at the option's control.

import { Problem } from "../lib/api.js";
import { sentence } from "../lib/text.js";

export class Alert {
  #ui;
  #state;
  #fieldErrors;

  /** `ui` holds the elements alert, alertTitle, alertDetail, retry and status. */
  constructor(ui, state, fieldErrors) {
    this.#ui = ui;
    this.#state = state;
    this.#fieldErrors = fieldErrors;
  }

  show(error) {
    const ui = this.#ui;
    const problem = error instanceof Problem ? error : unexpected(error);
    ui.alertTitle.textContent = problem.title;
    const { status, requestId } = problem;
    const id = status >= 500 && requestId ? ` (request ID ${requestId})` : "";
    ui.alertDetail.textContent = sentence(problem.detail) + id;
    // A request with a client error would fail again.
    ui.retry.hidden = !this.#state.file || (status >= 400 && status < 500);
    ui.alert.hidden = false;
    this.#fieldErrors.show(problem);
    ui.status.textContent = "";
  }

  clear() {
    this.#ui.alert.hidden = true;
    this.#fieldErrors.clear();
  }
}

function unexpected(error) {
  console.error(error);
  return new Problem({ title: "An error occurred on this page", detail: error.message });
}
