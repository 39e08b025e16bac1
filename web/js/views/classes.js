// The predictions, each with a check box to show several classes side by side, and the search.

import { make } from "../lib/dom.js";
import { amountText, className } from "../lib/text.js";
import { modeOf } from "../state/plan.js";
import { compareReason } from "../state/support.js";
import { ClassPicker } from "./class-picker.js";

export function classesView({ store, ui, actions }) {
  const picker = new ClassPicker(ui.target, (index) => {
    if (modeOf(store.state.settings) === "classes" && index !== null) {
      actions.toggleClass(index, true);
    } else actions.selectClass(index);
  });
  store.watch(["model"], ({ model }) => {
    if (model) picker.setClasses(model.labels, model.output.classes);
  });
  store.watch(["model", "settings", "predictions", "scores"], (state) => {
    const { model, settings, predictions, scores } = state;
    ui.classPanel.dataset.empty = predictions.length === 0;
    if (!model) return;
    const isComparison = modeOf(settings) === "classes";
    ui.targetLabel.textContent = isComparison ? "Add a class" : "Find a class";
    picker.isAddition = isComparison;
    picker.setScores(scores);
    picker.show(isComparison ? [] : settings.targets);
    const reason = compareReason("classes", state);
    ui.classHint.textContent = reason
      || "Select a class to see its map. Tick several to see their maps side by side.";
    listClasses(ui, state, actions, Boolean(reason));
  });
}

/**
 * Lists the most probable classes, and the selected ones that are not among them. The focus stays
 * in its row; where the row disappears it moves to the search, which can add the class again.
 */
function listClasses({ predictions: list, target }, state, actions, isExclusive) {
  const { model, predictions, scores } = state;
  const shown = actions.shownClasses;
  const others = shown.filter((index) => !predictions.some((one) => one.index === index));
  const rows = [
    ...predictions,
    ...others.map((index) => scores.get(index) ?? { index, label: model.labels[index] }),
  ];
  const focused = list.contains(document.activeElement) ? document.activeElement.id : null;
  list.replaceChildren(...rows.map((row) => {
    const isShown = shown.includes(row.index);
    const isOnlyOne = isShown && shown.length === 1;
    return make(
      "li", { className: "bar-line" },
      checkBox(row, isShown, isOnlyOne, isExclusive, actions),
      barButton(row, isShown, actions),
    );
  }));
  if (focused) (document.getElementById(focused) ?? target).focus();
}

function checkBox(row, isShown, isOnlyOne, isExclusive, actions) {
  const box = make("input", {
    type: "checkbox", id: `tick-${row.index}`, checked: isShown, disabled: isExclusive,
    title: "Show side by side", "aria-label": `Show ${className(row)} side by side`,
    // At least one class is always shown.
    "aria-disabled": isOnlyOne ? "true" : null,
    onclick: (event) => { if (isOnlyOne) event.preventDefault(); },
    onchange: () => actions.toggleClass(row.index, box.checked),
  });
  return box;
}

function barButton(row, isShown, actions) {
  const { index, probability, value, logit } = row;
  const bar = make("span", { className: "bar-fill" });
  bar.style.setProperty("--share", probability ?? 0);
  const isUnknown = probability == null && value == null;
  return make(
    "button", {
      type: "button", className: "bar-row", id: `class-${index}`, "data-index": index,
      "aria-pressed": String(isShown),
      title: logit == null ? null : `class ${index}, logit ${logit.toFixed(2)}`,
      onclick: () => actions.selectClass(index),
    },
    make("span", { className: "bar-name" }, className(row)),
    make("span", { className: "bar-value" }, isUnknown ? "" : amountText(row)),
    bar,
  );
}
