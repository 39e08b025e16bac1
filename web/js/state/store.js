// The page's one store. Its state is replaced by `update`, never changed in place.

export class Store {
  #state;
  #listeners = [];

  constructor(state) {
    this.#state = state;
  }

  get state() {
    return this.#state;
  }

  /** Replaces members of the state and calls the listeners of those that changed. */
  update(patch) {
    const before = this.#state;
    const changed = Object.keys(patch).filter((key) => !Object.is(patch[key], before[key]));
    if (changed.length === 0) return;
    this.#state = { ...before, ...patch };
    for (const { keys, listener } of this.#listeners) {
      if (keys.some((key) => changed.includes(key))) listener(this.#state);
    }
  }

  /** Calls `listener` with the state now and after each change of one of these members. */
  watch(keys, listener) {
    this.#listeners.push({ keys, listener });
    listener(this.#state);
  }
}
