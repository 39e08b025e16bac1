// Helpers that build elements, copy text and save files.

/**
 * Creates an element. A name in `properties` is an event listener (`onclick`), an attribute
 * (with a dash, or `role` or `for`) or else a property. Null values and children are skipped.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") {
      element.setAttribute(name, value);
    } else element[name] = value;
  }
  const isGiven = (child) => child !== undefined && child !== null;
  element.append(...children.flat(Infinity).filter(isGiven));
  return element;
}

/** Every element that has an id, by its id in camelCase. */
export function elements() {
  const found = {};
  for (const element of document.querySelectorAll("[id]")) {
    found[element.id.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())] = element;
  }
  return found;
}

/** Copies an element's text. Without permission to use the clipboard it selects the text. */
export async function copyFrom(source, button) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = before; }, 1600);
}

/** Downloads a blob as a file. */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  const link = make("a", { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

/** Sets the properties of an element that differ; an unchanged value touches nothing. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (element[name] !== value) element[name] = value;
  }
}

/**
 * Radio buttons drawn as one control: `choices` are `{ value, text, reason }`. A choice with a
 * reason is disabled and says why. Buttons that exist are kept, with the focus.
 */
export function renderSegments(container, name, choices, selected, onSelect) {
  const values = choices.map(({ value }) => value).join();
  if (container.dataset.values !== values) {
    container.dataset.values = values;
    container.replaceChildren(...choices.map(({ value, text }) => make(
      "label", {},
      make("input", { type: "radio", name, value, onchange: () => onSelect(value) }),
      make("span", {}, text),
    )));
  }
  for (const [at, { value, reason = "" }] of choices.entries()) {
    const label = container.children[at];
    const input = label.firstElementChild;
    set(input, { checked: value === selected, disabled: Boolean(reason) });
    set(label, { title: reason });
    if (reason) input.setAttribute("aria-description", reason);
    else input.removeAttribute("aria-description");
  }
}
