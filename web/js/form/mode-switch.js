// The switch between one method and a comparison of several.

export class ModeSwitch {
  #note;
  #radios = [...document.querySelectorAll('input[name="mode"]')];

  /** `note` is the element for a remark. `onChange` runs when the user switches. */
  constructor(note, onChange) {
    this.#note = note;
    for (const radio of this.#radios) radio.addEventListener("change", onChange);
  }

  get isComparison() {
    return this.#radios.find(({ checked }) => checked).value === "compare";
  }

  /** Switches to `single` or `compare` without calling `onChange`, and clears the note. */
  select(value) {
    this.#radios.find((radio) => radio.value === value).checked = true;
    this.note("");
  }

  note(text) {
    this.#note.textContent = text;
  }
}
