// A combobox: a text field that searches a long list of classes, by keyboard or pointer.

import { make } from "../lib/dom.js";

const MAX_SHOWN = 80;

export class ClassPicker {
  #input;
  #list;
  #onPick;
  #labels = [];
  #classes = 0;
  #selected = [];
  #shown = [];
  #active = -1;
  #offersPredicted;

  /** `onPick` receives a class index, or null for the predicted class where that is offered. */
  constructor(input, onPick, { offersPredicted = true } = {}) {
    this.#input = input;
    this.#onPick = onPick;
    this.#offersPredicted = offersPredicted;
    this.#list = make("ul", {
      id: `${input.id}-list`, role: "listbox", className: "options", hidden: true,
      "aria-label": "Classes",
    });
    for (const [name, value] of Object.entries({
      "role": "combobox",
      "aria-expanded": "false",
      "aria-controls": this.#list.id,
      "aria-autocomplete": "list",
    })) input.setAttribute(name, value);
    input.after(this.#list);

    input.addEventListener("focus", () => input.select());
    input.addEventListener("click", () => this.#open(""));
    input.addEventListener("input", () => this.#open(input.value, true));
    input.addEventListener("keydown", (event) => this.#handleKey(event));
    input.addEventListener("blur", () => this.#close());
    // Without this, mousedown moves the focus, and the blur closes the list before the click.
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

  /** Displays a selection without calling `onPick`. No classes mean the predicted one. */
  show(indices) {
    this.#selected = indices;
    this.#input.value = indices.map((index) => this.name(index)).join(", ");
  }

  name(index) {
    return this.#labels[index] || `class ${index}`;
  }

  /** Lists the classes that match a text; an exact index comes first. */
  #open(text, isSearch = false) {
    const query = text.trim().toLowerCase();
    this.#shown = query || !this.#offersPredicted ? [] : [null];
    for (let index = 0; index < this.#classes && this.#shown.length < MAX_SHOWN; index++) {
      if (String(index) === query) this.#shown.unshift(index);
      else if (this.name(index).toLowerCase().includes(query)) this.#shown.push(index);
    }
    this.#active = isSearch ? 0 : this.#shown.indexOf(this.#selected[0] ?? null);
    this.#list.replaceChildren(...this.#shown.map((index, at) => this.#item(index, at)));
    if (this.#shown.length === 0) {
      const none = { className: "none", role: "option", "aria-disabled": "true" };
      this.#list.append(make("li", none, "No matching class"));
    }
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
    this.#markActive();
  }

  #item(index, at) {
    return make(
      "li",
      { role: "option", id: `${this.#list.id}-${at}`, "data-at": at, "aria-selected": "false" },
      index === null
        ? make("span", {}, "Predicted class")
        : [make("span", {}, this.name(index)), make("small", {}, String(index))],
    );
  }

  #close() {
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
    this.show(this.#selected);
  }

  #markActive() {
    for (const [at, item] of [...this.#list.children].entries()) {
      const active = at === this.#active && this.#shown.length > 0;
      item.setAttribute("aria-selected", String(active));
      if (!active) continue;
      this.#input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    }
  }

  #pick(index) {
    const isUnchanged = this.#selected.length < 2 && index === (this.#selected[0] ?? null);
    this.#close();
    if (!isUnchanged) this.#onPick(index);
  }

  #handleKey(event) {
    const isOpen = !this.#list.hidden;
    const last = this.#shown.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen) return this.#open("");
      const step = event.key === "ArrowDown" ? 1 : -1;
      this.#active = Math.min(last, Math.max(0, this.#active + step));
      this.#markActive();
    } else if (event.key === "Enter" && isOpen) {
      event.preventDefault();
      if (this.#active >= 0 && this.#active <= last) this.#pick(this.#shown[this.#active]);
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      this.#close();
    }
  }
}
