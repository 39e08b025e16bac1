// Finds classes by index or name: exact matches first, then names that begin with the text, then
// names with a word that does, then names that contain it.

/** A label such as "tabby, tabby cat" lists several names. */
const namesOf = (label) => label.split(",").map((name) => name.trim());

/** How well a label matches; 0 is best, Infinity is no match. */
function rank(label, index, query) {
  if (String(index) === query) return 0;
  const names = namesOf(label);
  if (label === query || names.includes(query)) return 1;
  if (label.startsWith(query)) return 2;
  if (names.some((name) => name.startsWith(query))) return 3;
  const words = label.split(/[\s,/()_-]+/);
  if (words.includes(query)) return 4;
  if (words.some((word) => word.startsWith(query))) return 5;
  return label.includes(query) ? 6 : Infinity;
}

/** The indices of the best matches, at most `limit`. `nameOf` gives a class's name. */
export function searchClasses(text, count, nameOf, limit) {
  const query = text.trim().toLowerCase();
  const found = [];
  for (let index = 0; index < count; index++) {
    const score = query ? rank(nameOf(index).toLowerCase(), index, query) : 0;
    if (score < Infinity) found.push({ index, score });
    if (!query && found.length === limit) break;
  }
  found.sort((one, other) => one.score - other.score || one.index - other.index);
  return found.slice(0, limit).map(({ index }) => index);
}
