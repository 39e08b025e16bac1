// Entry point of the page: one store, the actions that change it, and the views that show it.
//
// Views read the store and call actions; actions change the store and ask for maps; the explainer
// puts maps into the store. A change of model, method, layer or class needs a request, whose
// response is cached. A change of the colours only repaints.

import { Actions } from "./actions.js";
import { getJson, setApiKey, whenUnauthorized } from "./lib/api.js";
import { elements } from "./lib/dom.js";
import { Client } from "./run/client.js";
import { Estimate } from "./run/estimate.js";
import { Explainer } from "./run/explainer.js";
import { Predictor } from "./run/predictor.js";
import { readAddress } from "./state/address.js";
import { INITIAL_STATE } from "./state/initial.js";
import { apiKey, savedPicture, savedTimes, saveTimes } from "./state/session.js";
import { Store } from "./state/store.js";
import { alertView } from "./views/alert.js";
import { arrivalView } from "./views/arrival.js";
import { classesView } from "./views/classes.js";
import { codeView } from "./views/code.js";
import { factsView } from "./views/facts.js";
import { listenForFiles } from "./views/file-input.js";
import { keyDialog } from "./views/key-dialog.js";
import { layersView } from "./views/layers.js";
import { methodsView } from "./views/methods.js";
import { loadModels, modelView } from "./views/model-select.js";
import { optionsView } from "./views/options.js";
import { progressView } from "./views/progress.js";
import { stageView } from "./views/stage.js";
import { toolbarView } from "./views/toolbar.js";
import { verdictView } from "./views/verdict.js";
import { welcomeView } from "./views/welcome.js";

const ui = elements();
const store = new Store(INITIAL_STATE);
const client = new Client();
const estimate = new Estimate(savedTimes(), saveTimes);
const predictor = new Predictor(store);
const explainer = new Explainer(store, { client, estimate, predictor });
const actions = new Actions(store, { explainer, client, predictor });
const context = { store, ui, actions, explainer, estimate };

const views = [
  modelView, welcomeView, stageView, toolbarView, verdictView, progressView, classesView,
  methodsView, layersView, optionsView, factsView, codeView, alertView, arrivalView,
];
for (const view of views) view(context);

listenForFiles(ui, (file) => actions.useFile(file));
ui.brand.addEventListener("click", (event) => {
  // In a new tab it is an ordinary link.
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  actions.startOver();
});
addEventListener("popstate", () => actions.followAddress());
addEventListener("pagehide", () => explainer.stop());

whenUnauthorized((refused) => store.update({ key: { needed: true, refused } }));
setApiKey(apiKey());
keyDialog(context, start);
start();

/** Loads what the server has, and takes up where the tab was before a reload. */
async function start() {
  const { model, settings, display } = readAddress(location.search);
  store.update({ display });
  getJson("/samples").then((samples) => store.update({ samples }), () => {});
  if (!store.state.file) await actions.restore(savedPicture());
  await loadModels(context, model, settings);
}
