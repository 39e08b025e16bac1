// The list of models. It loads itself again while the server is still loading them.

import { getJson } from "../lib/api.js";
import { make } from "../lib/dom.js";

const LOADING_RETRY_MS = 1500;
const ERROR_RETRY_MS = 4000;

export class ModelSelect {
  #ui;
  #state;
  #onModel;

  /** `ui` holds the elements model and modelNote. `onModel` runs when a model is described. */
  constructor(ui, state, onModel) {
    this.#ui = ui;
    this.#state = state;
    this.#onModel = onModel;
  }

  /** Lists the models and selects the default one, or else the first that is ready. */
  async load() {
    this.#ui.modelNote.hidden = true;
    try {
      const list = await getJson("/v1/models");
      this.#state.defaultModel = list.default;
      this.#render(list);
      const ready = list.details.filter((model) => model.ready);
      const usable = ready.find(({ id }) => id === list.default) ?? ready[0];
      if (usable) {
        this.#ui.model.value = usable.id;
        await this.select(usable.id);
        return;
      }
      const failed = list.details.filter(({ status }) => status === "failed");
      const isLoading = list.details.length > failed.length;
      this.#note(unavailableText(list.details, failed));
      if (isLoading) setTimeout(() => this.load(), LOADING_RETRY_MS);
    } catch (error) {
      const title = error.title ?? "The list of models could not be read";
      this.#note(`${title}. This page retries automatically.`);
      setTimeout(() => this.load(), ERROR_RETRY_MS);
    }
  }

  /** Reads a model's description. */
  async select(id) {
    const model = await getJson(`/v1/models/${encodeURIComponent(id)}`);
    this.#state.model = model;
    this.#onModel(model);
  }

  #render({ details: models, default: defaultModel }) {
    this.#ui.model.replaceChildren(...models.map(({ id, ready, status }) => make(
      "option", { value: id, disabled: !ready, selected: id === defaultModel && ready },
      ready ? id : `${id} (${status})`,
    )));
    this.#ui.model.disabled = models.length < 2;
  }

  #note(text) {
    this.#ui.modelNote.textContent = text;
    this.#ui.modelNote.hidden = false;
  }
}

/** Says why no model is ready. */
function unavailableText(models, failed) {
  if (models.length > failed.length) {
    return "The model is still loading. This page checks again automatically.";
  }
  if (models.length === 0) return "This server has no models.";
  const reasons = failed.map(({ id, error }) => `${id}: ${error ?? "failed"}`);
  return `No model could be loaded. ${reasons.join("; ")}`;
}
