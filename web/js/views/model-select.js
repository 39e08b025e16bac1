// The list of models. It loads itself again while the server is still loading them.

import { getJson } from "../lib/api.js";
import { make } from "../lib/dom.js";

const LOADING_RETRY_MS = 1500;
const ERROR_RETRY_MS = 4000;

export const modelTitle = ({ id, title }) => title ?? id;

/** Shows the models, and what the selected one is for. */
export function modelView({ store, ui, actions }) {
  ui.model.addEventListener("change", () => actions.changeModel(ui.model.value));
  store.watch(["models", "model"], ({ models, model }) => {
    const details = models?.details ?? [];
    ui.model.replaceChildren(...details.map((one) => make(
      "option", { value: one.id, disabled: !one.ready },
      one.ready ? modelTitle(one) : `${modelTitle(one)} (${one.status})`,
    )));
    if (model) ui.model.value = model.id;
    ui.model.disabled = details.length < 2;
    ui.modelDomain.textContent = model?.domain ?? "";
  });
  store.watch(["modelNote"], ({ modelNote }) => {
    ui.modelNote.textContent = modelNote;
    ui.modelNote.hidden = !modelNote;
  });
}

/**
 * Lists the models and selects the one that is wanted, else the default one, else the first that is
 * ready. `settings` are those of the address.
 */
export async function loadModels({ store, actions }, wanted, settings) {
  const again = (ms) => setTimeout(() => (
    loadModels({ store, actions }, wanted, settings)
  ), ms);
  try {
    const models = await getJson("/v1/models");
    const ready = models.details.filter((model) => model.ready);
    const find = (id) => ready.find((model) => model.id === id);
    const usable = find(wanted) ?? find(models.default) ?? ready[0];
    store.update({ models, modelNote: "" });
    if (usable) {
      const isOther = wanted && usable.id !== wanted;
      await actions.selectModel(usable.id, isOther ? undefined : settings);
      if (isOther) {
        const note = `There is no model “${wanted}” here. This is ${modelTitle(usable)}.`;
        store.update({ modelNote: note });
      }
      await actions.retry();
      return;
    }
    const failed = models.details.filter(({ status }) => status === "failed");
    store.update({ modelNote: unavailableText(models.details, failed) });
    if (models.details.length > failed.length) again(LOADING_RETRY_MS);
  } catch (error) {
    if (error.status === 401) return;
    const title = error.title ?? "The list of models could not be read";
    store.update({ modelNote: `${title}. This page retries automatically.` });
    again(ERROR_RETRY_MS);
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
