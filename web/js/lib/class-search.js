// Finds classes by index or name: exact matches first, then names with the text as whole words,
// then names with a word that begins with it, then names that contain it. Of two equal matches the
// one that is more probable for the picture comes first.

/** A label such as "tabby, tabby cat" lists several names. */
const namesOf = (label) => label.split(",").map((name) => name.trim());

const normalized = (text) => text.trim().toLowerCase();

/** Whether the class is meant exactly: by its index, its label or one of its names. */
function isExact(label, index, query) {
  return String(index) === query || label === query || namesOf(label).includes(query);
}

/** Where in a label the text stands as whole words, begins a word, or stands at all. */
function places(label, query) {
  const found = { whole: false, start: false, any: false };
  const isWordAt = (at) => /[\p{L}\p{N}]/u.test(label[at] ?? "");
  for (let at = label.indexOf(query); at >= 0; at = label.indexOf(query, at + 1)) {
    const starts = !isWordAt(at - 1);
    found.any = true;
    found.start ||= starts;
    found.whole ||= starts && !isWordAt(at + query.length);
  }
  return found;
}

/** How well a label matches; 0 is best, Infinity is no match. */
function rank(label, index, query) {
  if (String(index) === query) return 0;
  if (isExact(label, index, query)) return 1;
  const { whole, start, any } = places(label, query);
  if (whole) return 2;
  if (start) return 3;
  return any ? 4 : Infinity;
}

/**
 * The indices of the best matches, at most `limit`. `nameOf` gives a class's name, `probabilityOf`
 * its probability for the picture, or nothing where that is not known.
 */
export function searchClasses(text, count, nameOf, limit, probabilityOf = () => undefined) {
  const query = normalized(text);
  const found = [];
  for (let index = 0; index < count; index++) {
    const score = query ? rank(nameOf(index).toLowerCase(), index, query) : 0;
    if (score < Infinity) found.push({ index, score });
    if (!query && found.length === limit) break;
  }
  if (query) {
    const share = ({ index }) => probabilityOf(index) ?? -1;
    found.sort((one, other) => (
      one.score - other.score || share(other) - share(one) || one.index - other.index
    ));
  }
  return found.slice(0, limit).map(({ index }) => index);
}

/** The class that a text names exactly, by index or name, or null. */
export function exactClass(text, count, nameOf, probabilityOf) {
  const query = normalized(text);
  const [best] = query ? searchClasses(query, count, nameOf, 1, probabilityOf) : [];
  const isMeant = best !== undefined && isExact(nameOf(best).toLowerCase(), best, query);
  return isMeant ? best : null;
}
