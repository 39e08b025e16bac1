// Entry point of the page: creates its parts and connects them.
//
// A change of model, method, layer or class needs a request, whose response is cached. A change of
// the display options only repaints. Imports and constructor arguments point one way; whatever
// must go the other way is a callback from here.

import { ClassSelection } from "./form/class-selection.js";
import { ExplainForm } from "./form/explain-form.js";
import { FieldErrors } from "./form/field-errors.js";
import { listenForFiles } from "./form/file-input.js";
import { LayerPicker } from "./form/layer-picker.js";
import { MethodPicker } from "./form/method-picker.js";
import { ModeSwitch } from "./form/mode-switch.js";
import { ModelSelect } from "./form/model-select.js";
import { Explainer } from "./explainer.js";
import { Problem } from "./lib/api.js";
import { elements } from "./lib/dom.js";
import { DisplayOptions } from "./map/display-options.js";
import { Export } from "./result/export.js";
import { ResultView } from "./result/result-view.js";
import { Alert } from "./run/alert.js";
import { ExplainClient } from "./run/explain-client.js";
import { JobRunner } from "./run/job-runner.js";
import { PassEstimate } from "./run/pass-estimate.js";
import { Stage } from "./stage.js";
import { PageState } from "./state.js";

const ui = elements();
const state = new PageState();

const mode = new ModeSwitch(ui.modeNote, changeMode);
const classes = new ClassSelection(ui, state, mode, explain);
const layers = new LayerPicker(ui, explain);
const methods = new MethodPicker(ui, state, explainOneMethod);
const models = new ModelSelect(ui, state, useModel);
const form = new ExplainForm(ui, state, layers);
const display = new DisplayOptions(ui, repaint);

const fieldErrors = new FieldErrors({
  target: ui.addClass, layer: ui.layer, contrast: ui.contrast, negate: ui.negate,
  signed: ui.signed, convention: ui.convention, score: ui.score, max_channels: ui.maxChannels,
});
const alert = new Alert(ui, state, fieldErrors);
const runner = new JobRunner(ui, alert);
const estimate = new PassEstimate(state, form, layers);
const client = new ExplainClient(state, runner, estimate);

const stage = new Stage(ui, state, display);
const exporter = new Export(ui, { state, mode, form, display, estimate, runner });
const results = new ResultView(ui, { state, mode, stage, classes, exporter });
const explainer = new Explainer(ui, {
  state, mode, form, layers, classes, methods, display, stage, results, exporter, estimate, client,
  runner,
});

function explain() {
  explainer.start();
}

function explainOneMethod() {
  mode.select("single");
  explain();
}

function repaint() {
  stage.repaint();
  if (state.file && state.model) exporter.showCurl();
}

function useModel(model) {
  classes.setModel(model);
  layers.setModel(model);
  methods.setModel(model);
  explain();
}

async function useFile(file) {
  if (!file) return;
  runner.stop();
  state.file = file;
  const image = await createImageBitmap(file).catch(() => null);
  if (state.file !== file) return;
  state.image = image;
  client.clearCache();
  classes.reset();
  ui.fileName.textContent = ui.fileName.title = file.name || "pasted image";
  stage.clear();
  stage.showImage();
  if (state.model) explain();
  else ui.status.textContent = "Waiting for a model.";
}

/** Several classes are possible for one method only, so a comparison keeps the first. */
function changeMode() {
  const isNarrowed = mode.isComparison && state.targets.length > 1;
  if (isNarrowed) classes.keepFirst();
  const name = isNarrowed ? classes.name(state.shownClasses[0]) : "";
  mode.note(isNarrowed ? `Methods are compared on one class at a time: ${name}.` : "");
  explain();
}

function cancel() {
  runner.stop();
  if (!mode.isComparison) stage.clear();
  const detail = "The server has stopped working on this request";
  alert.show(new Problem({ title: "Cancelled", detail }));
}

listenForFiles(ui, useFile);
ui.model.addEventListener("change", () => {
  const id = ui.model.value;
  stage.clear();
  classes.reset();
  runner.run(`Loading ${id}`, 0, () => models.select(id));
});
for (const control of form.controls) control.addEventListener("change", explain);
ui.maxChannels.addEventListener("change", () => {
  if (mode.isComparison || state.method === "scorecam") explain();
});
ui.cancel.addEventListener("click", cancel);
ui.retry.addEventListener("click", explain);
addEventListener("pagehide", () => runner.stop());

repaint();
models.load();
