// The methods to choose from, and why some of them cannot be had.

import { make } from "../lib/dom.js";
import { METHODS, methodName, sentence } from "../lib/text.js";

const place = (method) => (Object.keys(METHODS).indexOf(method) + 1) || Infinity;

/**
 * Lists a model's methods, the best known first, and gives the one that is chosen: `wanted`,
 * or the first that works. `ui` holds the elements: methods and methodHint.
 */
export function listMethods(ui, support, wanted) {
  const methods = Object.entries(support).sort(([one], [other]) => place(one) - place(other));
  const chosen = support[wanted]?.available ? wanted : methods.find(([, { available }]) => available)?.[0] ?? wanted;
  ui.methods.replaceChildren(...methods.map(([method, { available, reason }]) => make(
    "label", { title: available ? null : reason },
    make("input", { type: "radio", name: "method", value: method, checked: method === chosen, disabled: !available }),
    make("span", {}, methodName(method)),
  )));
  const missing = new Map();
  for (const [method, { available, reason = "not possible with this model" }] of methods) {
    if (!available) missing.set(reason, [...(missing.get(reason) ?? []), methodName(method)]);
  }
  ui.methodHint.textContent = [...missing].map(([reason, names]) => `Not ${names.join(", ")}: ${sentence(reason)}`).join(" ");
  return chosen;
}
