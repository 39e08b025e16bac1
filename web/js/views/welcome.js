// The first page: what this is, samples to click, and the model.

import { make } from "../lib/dom.js";
import { modelTitle } from "./model-select.js";

export function welcomeView({ store, ui, actions }) {
  store.watch(["file"], ({ file }) => {
    ui.welcome.hidden = Boolean(file);
  });
  store.watch(["samples", "model", "models"], ({ samples, model, models }) => {
    const title = (id) => modelTitle(models?.details.find((one) => one.id === id) ?? { id });
    ui.samples.hidden = samples.length === 0;
    ui.welcome.dataset.samples = samples.length > 0;
    const focused = ui.sampleList.contains(document.activeElement);
    if (focused) return;
    ui.sampleList.replaceChildren(...samples.map((sample) => (
      make("li", {}, sampleButton(sample, model, actions, title))
    )));
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
}

function sampleButton(sample, model, actions, title) {
  const { file, credit, license } = sample;
  const isElsewhere = sample.model && model && sample.model !== model.id;
  const credits = [credit, license].filter(Boolean).join(", ");
  return make(
    "button", { type: "button", className: "sample", onclick: () => actions.useSample(sample) },
    make("img", {
      src: `/samples/${encodeURIComponent(file)}`, alt: "", width: 400, height: 300,
    }),
    make("span", { className: "sample-title" }, sample.title),
    make("small", {}, credits),
    isElsewhere ? make("small", {}, `with ${title(sample.model)}`) : null,
  );
}
