// The entries of the browser's history: an address, and which picture it was for. An address never
// holds the picture, so the tab remembers the last ones; after a reload it has the one on display.

/** How many pictures are remembered. */
const MAX_PICTURES = 8;
/** What an entry without a picture holds. One that holds nothing, such as #main, changes none. */
const NO_PICTURE = "";

export class Journal {
  /** Key → `{ file, sample }`, the oldest first. */
  #pictures = new Map();

  /** Notes the picture, or none, in the entry of the page as it was loaded. */
  begin(picture) {
    const held = history.state?.picture;
    if (picture.file && held) this.#remember(held, picture);
    history.replaceState({ picture: this.#keyOf(picture) }, "");
  }

  /** A new entry, unless this one is the same already. */
  push(address, picture) {
    const key = this.#keyOf(picture);
    const isSame = address === location.pathname + location.search
      && key === history.state?.picture;
    if (!isSame) history.pushState({ picture: key }, "", address);
  }

  replace(address, picture) {
    history.replaceState({ picture: this.#keyOf(picture) }, "", address);
  }

  /**
   * The picture of the current entry, where it is not the one on display: `{ file, sample }`, whose
   * members are null for the first page; null where there is nothing to change.
   */
  picture(shown) {
    const key = history.state?.picture;
    if (key === NO_PICTURE) return shown ? { file: null, sample: null } : null;
    const picture = this.#pictures.get(key);
    return picture && picture.file !== shown ? picture : null;
  }

  #keyOf({ file, sample }) {
    if (!file) return NO_PICTURE;
    for (const [key, picture] of this.#pictures) {
      if (picture.file === file) return key;
    }
    // A reload starts the count again, and the entries from before stay.
    const key = `${Date.now()}-${this.#pictures.size}`;
    this.#remember(key, { file, sample });
    return key;
  }

  #remember(key, picture) {
    this.#pictures.set(key, picture);
    if (this.#pictures.size > MAX_PICTURES) {
      this.#pictures.delete(this.#pictures.keys().next().value);
    }
  }
}
