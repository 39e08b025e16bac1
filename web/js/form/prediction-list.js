// The list of predictions: one row per class, with a check box for each class to show.

import { make } from "../lib/dom.js";
import { amountText, className } from "../lib/text.js";

/**
 * Fills the list. `shown` holds the indices of the checked classes. `onSelect(index)` shows one
 * class alone; `onToggle(index, on)` adds a class to the others or removes it. The focus stays in
 * its row; where the row disappears it moves to `addClass`, which can add the class again.
 */
export function listPredictions(
  { predictions: list, addClass }, rows, shown, { onSelect, onToggle },
) {
  const focused = list.contains(document.activeElement) ? document.activeElement.id : null;
  list.replaceChildren(...rows.map((prediction) => {
    const isShown = shown.includes(prediction.index);
    const isOnlyOne = isShown && shown.length === 1;
    return make(
      "li", { className: "bar-line" },
      checkBox(prediction, isShown, isOnlyOne, onToggle),
      barButton(prediction, isShown, onSelect),
    );
  }));
  if (focused) (document.getElementById(focused) ?? addClass).focus();
}

function checkBox(prediction, isShown, isOnlyOne, onToggle) {
  const box = make("input", {
    type: "checkbox", id: `tick-${prediction.index}`, checked: isShown,
    title: "Show side by side", "aria-label": `Show ${className(prediction)} side by side`,
    // At least one class is always shown.
    "aria-disabled": isOnlyOne ? "true" : null,
    onclick: (event) => { if (isOnlyOne) event.preventDefault(); },
    onchange: () => onToggle(prediction.index, box.checked),
  });
  return box;
}

function barButton(prediction, isShown, onSelect) {
  const { index, probability, value, logit } = prediction;
  const bar = make("span", { className: "bar-fill" });
  bar.style.setProperty("--share", probability ?? 0);
  return make(
    "button", {
      type: "button", className: "bar-row", id: `class-${index}`, "data-index": index,
      "aria-pressed": String(isShown),
      title: logit == null ? null : `class ${index}, logit ${logit.toFixed(2)}`,
      onclick: () => onSelect(index),
    },
    make("span", { className: "bar-name" }, className(prediction)),
    make("span", { className: "bar-value" }, probability == null && value == null ? "" : amountText(prediction)),
    bar,
  );
}
