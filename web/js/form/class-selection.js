// The classes to explain: the list of predictions with its check boxes, and the two class pickers.
//
// No selection means the predicted class. Several classes are possible for one method only.

import { ClassPicker } from "./class-picker.js";
import { listPredictions } from "./prediction-list.js";

export class ClassSelection {
  #ui;
  #state;
  #mode;
  #onChange;
  #target;
  #addition;

  /** `ui` holds the elements target, addClass, predictionCard and predictions. */
  constructor(ui, state, mode, onChange) {
    this.#ui = ui;
    this.#state = state;
    this.#mode = mode;
    this.#onChange = onChange;
    this.#target = new ClassPicker(ui.target, (index) => this.selectOnly(index));
    this.#addition = new ClassPicker(
      ui.addClass, (index) => this.#toggle(index, true), { offersPredicted: false },
    );
  }

  setModel({ labels, output }) {
    this.#target.setClasses(labels, output.classes);
    this.#addition.setClasses(labels, output.classes);
    this.reset();
  }

  /** Forgets predictions and selection: they belong to another image or model. */
  reset() {
    this.#state.clearScores();
    this.#select([]);
  }

  name(index) {
    return this.#target.name(index);
  }

  /** Selects one class, or the predicted one (null). */
  selectOnly(index) {
    this.#select(index === null ? [] : [index]);
    this.#onChange();
  }

  /** Reduces the selection to its first class, without a request. */
  keepFirst() {
    this.#select(this.#state.targets.slice(0, 1));
  }

  /** Lists the most probable classes, and the selected ones that are not among them. */
  renderPredictions() {
    const { predictions, scores, model } = this.#state;
    const shown = this.#state.shownClasses;
    this.#ui.predictionCard.hidden = predictions.length === 0;
    const others = shown.filter((index) => !predictions.some((one) => one.index === index));
    const rows = [
      ...predictions,
      ...others.map((index) => scores.get(index) ?? { index, label: model.labels[index] }),
    ];
    listPredictions(this.#ui, rows, shown, {
      onSelect: (index) => this.selectOnly(index),
      onToggle: (index, on) => this.#toggle(index, on),
    });
  }

  /** Adds a class to the selection or removes it. */
  #toggle(index, on) {
    const shown = this.#state.shownClasses;
    if (on === shown.includes(index)) return;
    const others = shown.filter((one) => one !== index);
    this.#select(on ? [...others, index] : others);
    if (this.#state.targets.length > 1) this.#mode.select("single");
    this.#onChange();
  }

  #select(indices) {
    this.#state.setTargets(indices);
    this.#target.show(this.#state.targets);
    this.renderPredictions();
  }
}
