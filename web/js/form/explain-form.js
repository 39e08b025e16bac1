// Reads the controls as options of `POST /v1/explain`.

export class ExplainForm {
  #ui;
  #state;
  #layers;

  /** `ui` holds the elements convention, score, contrast, negate, signed and maxChannels. */
  constructor(ui, state, layers) {
    this.#ui = ui;
    this.#state = state;
    this.#layers = layers;
  }

  /** The controls whose change makes the displayed map outdated, whatever the method is. */
  get controls() {
    const { convention, score, contrast, negate, signed } = this.#ui;
    return [convention, score, contrast, negate, signed];
  }

  get isSigned() {
    return this.#ui.signed.checked;
  }

  /** The options for a method. An empty text keeps the server's default. */
  options(method = this.#state.method) {
    const ui = this.#ui;
    return {
      model: this.#state.model.id,
      method,
      layer: this.#layers.value,
      target: this.#state.targets.join(","),
      convention: ui.convention.value,
      score: ui.score.value,
      contrast: ui.contrast.value.trim(),
      negate: ui.negate.checked || "",
      signed: ui.signed.checked || "",
      max_channels: method === "scorecam" ? this.maxChannels : "",
    };
  }

  get maxChannels() {
    return this.#ui.maxChannels.value;
  }
}
