// A text field that searches a long list of classes and lets one be picked, by keyboard or pointer.

import { make } from "../lib/dom.js";

const MOST_SHOWN = 80;

export class ClassPicker {
  #input;
  #list;
  #onPick;
  #labels = [];
  #classes = 0;
  #chosen = [];
  #shown = [];
  #active = -1;
  #offersPredicted;

  /** `onPick` gets a class's index, or null for the predicted class where that is offered. */
  constructor(input, onPick, { offersPredicted = true } = {}) {
    this.#input = input;
    this.#onPick = onPick;
    this.#offersPredicted = offersPredicted;
    this.#list = make("ul", { id: `${input.id}-list`, role: "listbox", className: "options", hidden: true, "aria-label": "Classes" });
    for (const [name, value] of Object.entries({
      role: "combobox", "aria-expanded": "false", "aria-controls": this.#list.id, "aria-autocomplete": "list",
    })) input.setAttribute(name, value);
    input.after(this.#list);

    input.addEventListener("focus", () => input.select());
    input.addEventListener("click", () => this.#open(""));
    input.addEventListener("input", () => this.#open(input.value, true));
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("blur", () => this.#close());
    // The press must not take the focus away before the click is read.
    this.#list.addEventListener("mousedown", (event) => event.preventDefault());
    this.#list.addEventListener("click", (event) => {
      const item = event.target.closest("[role=option]");
      if (item) this.#pick(this.#shown[Number(item.dataset.at)]);
    });
  }

  setClasses(labels, classes) {
    this.#labels = labels;
    this.#classes = classes;
    this.show([]);
  }

  /** Shows a choice without telling anyone: classes, or none for the predicted one. */
  show(indices) {
    this.#chosen = indices;
    this.#input.value = indices.map((index) => this.name(index)).join(", ");
  }

  name(index) {
    return this.#labels[index] ?? `class ${index}`;
  }

  /** Lists what matches the text: everything when the field was only opened, not typed in. */
  #open(text, searching = false) {
    const wanted = text.trim().toLowerCase();
    this.#shown = wanted || !this.#offersPredicted ? [] : [null];
    for (let index = 0; index < this.#classes && this.#shown.length < MOST_SHOWN; index++) {
      if (String(index) === wanted) this.#shown.unshift(index);
      else if (this.name(index).toLowerCase().includes(wanted)) this.#shown.push(index);
    }
    this.#active = searching ? 0 : this.#shown.indexOf(this.#chosen[0] ?? null);
    this.#list.replaceChildren(...this.#shown.map((index, at) => make(
      "li", { role: "option", id: `${this.#list.id}-${at}`, "data-at": at, "aria-selected": "false" },
      index === null
        ? make("span", {}, "The predicted class")
        : [make("span", {}, this.name(index)), make("small", {}, String(index))],
    )));
    if (this.#shown.length === 0) {
      this.#list.append(make("li", { className: "none", role: "option", "aria-disabled": "true" }, "No class has that in its name"));
    }
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
    this.#mark();
  }

  #close() {
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
    this.show(this.#chosen);
  }

  #mark() {
    for (const [at, item] of [...this.#list.children].entries()) {
      const active = at === this.#active && this.#shown.length > 0;
      item.setAttribute("aria-selected", String(active));
      if (!active) continue;
      this.#input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    }
  }

  #pick(index) {
    const isSame = this.#chosen.length < 2 && index === (this.#chosen[0] ?? null);
    this.#close();
    if (!isSame) this.#onPick(index);
  }

  #key(event) {
    const open = !this.#list.hidden;
    const last = this.#shown.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!open) return this.#open("");
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#active = Math.min(last, Math.max(0, this.#active + step));
      this.#mark();
    } else if (event.key === "Enter" && open) {
      event.preventDefault();
      if (this.#active >= 0 && this.#active <= last) this.#pick(this.#shown[this.#active]);
    } else if (event.key === "Escape" && open) {
      event.preventDefault();
      this.#close();
    }
  }
}
