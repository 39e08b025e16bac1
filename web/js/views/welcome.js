// The first page: what this is, samples to click, and the model. The samples stay within reach
// later: in the dialog behind "Change picture".

import { make } from "../lib/dom.js";
import { modelTitle } from "./model-select.js";

export function welcomeView({ store, ui, actions }) {
  store.watch(["file"], ({ file }) => {
    ui.welcome.hidden = Boolean(file);
  });
  store.watch(["samples", "model", "models"], (state) => {
    ui.samples.hidden = state.samples.length === 0;
    ui.welcome.dataset.samples = state.samples.length > 0;
    if (ui.sampleList.contains(document.activeElement)) return;
    ui.sampleList.replaceChildren(...sampleItems(state, actions));
  });
  store.watch(["model"], ({ model }) => {
    ui.modelCard.hidden = !model;
    if (!model) return;
    ui.modelTitle.textContent = modelTitle(model);
    ui.modelDescription.textContent = model.description ?? "";
    ui.modelDescription.hidden = !model.description;
    ui.modelAbout.textContent = [
      model.domain, `${model.output.classes.toLocaleString("en")} classes`,
      `input ${model.input.size[1]} × ${model.input.size[0]}`,
    ].filter(Boolean).join(" · ");
  });
  listenForChange(store, ui, actions);
  showNote(store, ui, actions);
}

/** "Change picture": the samples and the file dialog, or the latter alone where there are none. */
function listenForChange(store, ui, actions) {
  ui.chooseOther.addEventListener("click", () => {
    if (store.state.samples.length === 0) return ui.file.click();
    ui.pickerSamples.replaceChildren(...sampleItems(store.state, actions));
    return ui.picker.showModal();
  });
  // A picture was chosen, or could not be read, which the page says behind the dialog.
  store.watch(["file", "problem"], () => ui.picker.close());
  // A click beside the dialog is one on its backdrop.
  ui.picker.addEventListener("click", (event) => {
    if (event.target === ui.picker) ui.picker.close();
  });
  // The event comes later than the closing: the dialog may be open again.
  ui.picker.addEventListener("close", () => {
    if (!ui.picker.open) ui.pickerSamples.replaceChildren();
  });
}

/** Says that the sample on display was made for another model, and offers to switch to it. */
function showNote(store, ui, actions) {
  ui.sampleSwitch.addEventListener("click", () => actions.changeModel(store.state.sample.model));
  store.watch(["sample", "model", "models"], ({ sample, model, models }) => {
    const own = sample && modelOf(sample, models);
    ui.sampleNote.hidden = !own || !model || own.id === model.id;
    if (ui.sampleNote.hidden) return;
    const domain = own.domain ? ` (${own.domain})` : "";
    ui.sampleText.textContent = `“${sample.title}” is a sample for ${modelTitle(own)}${domain}. `
      + `This is the map of ${modelTitle(model)}.`;
    ui.sampleSwitch.textContent = `Switch to ${modelTitle(own)}`;
  });
}

/** The model that a sample was made for, if it is ready. */
function modelOf(sample, models) {
  return models?.details.find(({ id, ready }) => id === sample.model && ready);
}

function sampleItems({ samples, model, models }, actions) {
  return samples.map((sample) => {
    const own = modelOf(sample, models);
    const note = own && model && own.id !== model.id ? `made for ${modelTitle(own)}` : "";
    return make("li", {}, sampleButton(sample, note, actions));
  });
}

function sampleButton(sample, note, actions) {
  const { file, credit, license } = sample;
  const credits = [credit, license].filter(Boolean).join(", ");
  return make(
    "button", { type: "button", className: "sample", onclick: () => actions.useSample(sample) },
    make("img", {
      src: `/samples/${encodeURIComponent(file)}`, alt: "", width: 400, height: 300,
    }),
    make("span", { className: "sample-title" }, sample.title),
    make("small", {}, credits),
    note ? make("small", {}, note) : null,
  );
}
