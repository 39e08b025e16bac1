// What the server refuses is said where it can be put right: at the control of the option that it names.

import { make } from "../lib/dom.js";
import { sentence } from "../lib/text.js";

export class Refusals {
  #controls;
  #shown = null;

  /** `controls`: option name → its control. */
  constructor(controls) {
    this.#controls = controls;
  }

  /** Says a problem at its control; nothing, where it names no option of this page. */
  show({ option, detail }) {
    this.clear();
    const control = this.#controls[option];
    if (!control || !detail) return;
    const words = make("p", { className: "wrong", id: `${control.id}-wrong` }, sentence(detail));
    const before = control.getAttribute("aria-describedby");
    const field = control.closest(".field");
    if (field) field.append(words);
    else control.closest("label").after(words);
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", [before, words.id].filter(Boolean).join(" "));
    control.closest("details")?.setAttribute("open", "");
    this.#shown = { control, words, before };
  }

  clear() {
    if (!this.#shown) return;
    const { control, words, before } = this.#shown;
    words.remove();
    control.removeAttribute("aria-invalid");
    if (before) control.setAttribute("aria-describedby", before);
    else control.removeAttribute("aria-describedby");
    this.#shown = null;
  }
}
