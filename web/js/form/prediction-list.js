// What the model said: a row a class, with a tick for each class that is shown.

import { make } from "../lib/dom.js";
import { className, percent } from "../lib/text.js";

/**
 * Fills the list. `shown` are the indices of the ticked classes; `only(index)` shows one class,
 * `tick(index, on)` adds it to the others or takes it out. The focus stays where it was; from a
 * row that goes it moves to `beside`, where the class can come back.
 */
export function listPredictions({ predictions: list, beside }, rows, shown, { only, tick }) {
  const focused = list.contains(document.activeElement) ? document.activeElement.id : null;
  list.replaceChildren(...rows.map((one) => {
    const isShown = shown.includes(one.index);
    const bar = make("span", { className: "bar-fill" });
    bar.style.setProperty("--share", one.probability ?? 0);
    const button = make(
      "button", {
        type: "button", className: "bar-row", id: `class-${one.index}`, "data-index": one.index, "aria-pressed": String(isShown),
        title: one.logit == null ? null : `class ${one.index}, logit ${one.logit.toFixed(2)}`,
        onclick: () => only(one.index),
      },
      make("span", { className: "bar-name" }, className(one)),
      make("span", { className: "bar-value" }, one.probability == null ? "" : percent(one.probability)),
      bar,
    );
    const box = make("input", {
      type: "checkbox", id: `tick-${one.index}`, checked: isShown, title: "Show it beside the others",
      "aria-label": `Show ${className(one)} beside the others`,
      // There is always a class that is shown.
      "aria-disabled": isShown && shown.length === 1 ? "true" : null,
      onclick: (event) => { if (box.getAttribute("aria-disabled")) event.preventDefault(); },
      onchange: () => tick(one.index, box.checked),
    });
    return make("li", { className: "bar-line" }, box, button);
  }));
  if (focused) (document.getElementById(focused) ?? beside).focus();
}
