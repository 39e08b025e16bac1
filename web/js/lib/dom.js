// Small helpers for building elements.

/** An element with properties, attributes (names with a dash, or `role`) and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

/** Every element with an id, under the id in camelCase. */
export function elements() {
  const found = {};
  for (const element of document.querySelectorAll("[id]")) {
    found[element.id.replace(/-(\w)/g, (_, letter) => letter.toUpperCase())] = element;
  }
  return found;
}

/** Copies text and says so on the button. Without clipboard rights the text is selected instead. */
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

/** Offers a blob as a file. */
export function save(blob, name) {
  const href = URL.createObjectURL(blob);
  const link = make("a", { href, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}
