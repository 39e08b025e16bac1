// The methods to choose from, and why some of them are unavailable.

import { make } from "../lib/dom.js";
import { METHODS, methodName } from "../lib/methods.js";
import { sentence } from "../lib/text.js";

const NOT_SUPPORTED = "not supported by this model";
const rank = (method) => (Object.keys(METHODS).indexOf(method) + 1) || Infinity;

export class MethodPicker {
  #ui;
  #state;
  #onChange;

  /** `ui` holds the elements methods and methodHint. */
  constructor(ui, state, onChange) {
    this.#ui = ui;
    this.#state = state;
    this.#onChange = onChange;
    ui.methods.addEventListener("change", (event) => this.select(event.target.value));
  }

  /** Selects a method and calls `onChange`. */
  select(method) {
    this.#ui.methods.querySelector(`input[value="${method}"]`).checked = true;
    this.#state.method = method;
    this.#onChange();
  }

  /** Lists a model's methods. Keeps the selected method where the model supports it. */
  setModel({ methods: support }) {
    const methods = Object.entries(support).sort(([one], [other]) => rank(one) - rank(other));
    const current = this.#state.method;
    const firstAvailable = methods.find(([, { available }]) => available)?.[0];
    this.#state.method = support[current]?.available ? current : firstAvailable ?? current;
    this.#ui.methods.replaceChildren(...methods.map(([method, { available, reason }]) => make(
      "label", { title: available ? null : reason },
      make("input", {
        type: "radio", name: "method", value: method,
        checked: method === this.#state.method, disabled: !available,
      }),
      make("span", {}, methodName(method)),
    )));
    this.#ui.methodHint.textContent = unavailableText(methods);
  }
}

/** Names the unavailable methods, grouped by reason. */
function unavailableText(methods) {
  const byReason = new Map();
  for (const [method, { available, reason = NOT_SUPPORTED }] of methods) {
    if (available) continue;
    byReason.set(reason, [...(byReason.get(reason) ?? []), methodName(method)]);
  }
  return [...byReason]
    .map(([reason, names]) => `Not available: ${names.join(", ")}. ${sentence(reason)}`)
    .join(" ");
}
