// A combobox: a text field that searches a long list of classes, by keyboard or pointer.

import { exactClass, searchClasses } from "../lib/class-search.js";
import { make } from "../lib/dom.js";

const MAX_SHOWN = 80;

export class ClassPicker {
  #input;
  #list;
  #onPick;
  #onUnknown;
  #emptyText;
  #labels = [];
  #classes = 0;
  #selected = [];
  /** Class index → what is known of it for this picture. */
  #scores = new Map();
  #shown = [];
  #active = -1;
  /** Whether a pick adds a class to others; then the predicted class is not offered. */
  isAddition = false;

  /**
   * `onPick` receives a class index, or null for the empty field, which `emptyText` names. Where
   * there is an `onUnknown`, a text that is left in the field counts: it selects the class that it
   * names exactly, and `onUnknown` receives one that names none, or null once the field shows a
   * selection again.
   */
  constructor(input, onPick, { emptyText = "Predicted class", onUnknown = null } = {}) {
    this.#input = input;
    this.#onPick = onPick;
    this.#emptyText = emptyText;
    this.#onUnknown = onUnknown;
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
    input.addEventListener("input", () => this.#search());
    input.addEventListener("keydown", (event) => this.#handleKey(event));
    input.addEventListener("blur", () => this.#leave());
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

  /** Puts the more probable of two classes first that match a text equally well. */
  setScores(scores) {
    this.#scores = scores;
  }

  /**
   * Displays a selection without calling `onPick`. No classes mean the predicted one. A list that
   * is open belongs to what is being typed, which stays.
   */
  show(indices) {
    this.#selected = indices;
    if (!this.#list.hidden) return;
    this.#input.value = indices.map((index) => this.name(index)).join(", ");
  }

  name(index) {
    return this.#labels[index] || `class ${index}`;
  }

  #probability = (index) => this.#scores.get(index)?.probability;

  /** Searches for the text. An empty field counts at once. */
  #search() {
    const { value } = this.#input;
    if (value.trim() === "" && !this.isAddition && this.#selected.length > 0) {
      this.#selected = [];
      this.#onPick(null);
    }
    this.#open(value, value.trim() !== "");
  }

  /** Lists the classes that match a text, the best first. */
  #open(text, isSearch = false) {
    const found = searchClasses(
      text, this.#classes, (index) => this.name(index), MAX_SHOWN, this.#probability,
    );
    this.#shown = isSearch || this.isAddition ? found : [null, ...found];
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
        ? make("span", {}, this.#emptyText)
        : [make("span", {}, this.name(index)), make("small", {}, String(index))],
    );
  }

  #close() {
    this.#hide();
    this.show(this.#selected);
    this.#onUnknown?.(null);
  }

  #hide() {
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }

  /** Ends the input: takes up the text where it counts, or shows the selection again. */
  #leave() {
    const text = this.#input.value.trim();
    const isSelection = text === this.#selected.map((index) => this.name(index)).join(", ");
    if (!this.#onUnknown || !text || isSelection) return this.#close();
    const index = exactClass(
      text, this.#classes, (at) => this.name(at), this.#probability,
    );
    if (index !== null) return this.#pick(index);
    this.#hide();
    return this.#onUnknown(text);
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
    const isUnchanged = !this.isAddition && index === (this.#selected[0] ?? null);
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
      else if (this.#onUnknown) this.#leave();
    } else if (event.key === "Escape" && isOpen) {
      event.preventDefault();
      this.#close();
    }
  }
}
