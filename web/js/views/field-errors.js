// Shows a problem at the control of the option that it names.

import { make } from "../lib/dom.js";
import { sentence } from "../lib/text.js";

export class FieldErrors {
  #controls;
  #shown = null;

  /** `controls` maps an option's name to its control. */
  constructor(controls) {
    this.#controls = controls;
  }

  /** Shows a problem. Does nothing where the problem names no option of this page. */
  show({ option, detail }) {
    this.clear();
    const control = this.#controls[option];
    if (!control || !detail) return;
    const id = `${control.id}-error`;
    const message = make("p", { className: "field-error", id }, sentence(detail));
    const describedBy = control.getAttribute("aria-describedby");
    control.closest(".field, .group").append(message);
    control.setAttribute("aria-invalid", "true");
    control.setAttribute("aria-describedby", [describedBy, id].filter(Boolean).join(" "));
    control.closest("details")?.setAttribute("open", "");
    this.#shown = { control, message, describedBy };
  }

  clear() {
    if (!this.#shown) return;
    const { control, message, describedBy } = this.#shown;
    message.remove();
    control.removeAttribute("aria-invalid");
    if (describedBy) control.setAttribute("aria-describedby", describedBy);
    else control.removeAttribute("aria-describedby");
    this.#shown = null;
  }
}
