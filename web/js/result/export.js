// Download of the server's picture, and the curl command that requests the same.

import { postForBlob } from "../lib/api.js";
import { curlFile, pathWithQuery, shellWord } from "../lib/curl.js";
import { copyFrom, save } from "../lib/dom.js";
import { COMPARED_METHODS } from "../lib/methods.js";

/** An alias of `gradcam++` that needs no escaping in a query. */
const queryName = (method) => (method === "gradcam++" ? "gradcampp" : method);

export class Export {
  #ui;
  #state;
  #mode;
  #form;
  #display;
  #estimate;
  #runner;

  /** `ui` holds the elements curl, copy, download and status. */
  constructor(ui, { state, mode, form, display, estimate, runner }) {
    this.#ui = ui;
    this.#state = state;
    this.#mode = mode;
    this.#form = form;
    this.#display = display;
    this.#estimate = estimate;
    this.#runner = runner;
    ui.download.addEventListener("click", () => this.#download());
    ui.copy.addEventListener("click", () => copyFrom(ui.curl, ui.copy));
  }

  showCurl() {
    const url = location.origin + pathWithQuery(this.#path, this.#options());
    const file = curlFile(this.#state.file.name || "image.png");
    const output = shellWord(this.#fileName);
    this.#ui.curl.textContent = `curl -fsS '${url}' -F ${file} -o ${output}`;
  }

  #download() {
    const name = this.#fileName;
    const isComparison = this.#mode.isComparison;
    const ms = this.#estimate.ms(isComparison ? "scorecam" : this.#state.method);
    return this.#runner.run("Rendering the picture on the server", ms, async (signal) => {
      const options = { ...this.#options(), ...(isComparison ? { output: "figure" } : {}) };
      save(await postForBlob(this.#path, this.#state.file, options, signal), name);
      this.#ui.status.textContent = `Saved as ${name}.`;
    });
  }

  get #path() {
    return this.#mode.isComparison ? "/v1/compare" : "/v1/explain";
  }

  get #fileName() {
    const stem = (this.#state.file.name || "image").replace(/\.[^.]*$/, "");
    const { method } = this.#state;
    return `${stem}-${this.#mode.isComparison ? "compare" : method.replaceAll("+", "p")}.png`;
  }

  /** The options for a picture that looks like the displayed one, without the server's defaults. */
  #options() {
    const options = this.#form.options();
    if (this.#mode.isComparison) this.#addComparison(options);
    else this.#addView(options);
    if (options.model === this.#state.defaultModel) delete options.model;
    if (options.layer === this.#state.model.default_layer) delete options.layer;
    if (options.convention === "paper") delete options.convention;
    Object.assign(options, this.#display.apiOptions(options.output !== "heatmap"));
    const isSet = ([, value]) => value !== "" && value !== null && value !== undefined;
    return Object.fromEntries(Object.entries(options).filter(isSet));
  }

  #addComparison(options) {
    const isAvailable = (method) => this.#state.methodSupport(method).available;
    const methods = COMPARED_METHODS.filter(isAvailable);
    const isDefault = methods.length === COMPARED_METHODS.length;
    if (!isDefault) options.methods = methods.map(queryName).join(",");
    options.max_channels = this.#form.maxChannels;
    delete options.method;
  }

  #addView(options) {
    const { view, emphasize } = this.#display.style;
    options.method = queryName(options.method);
    if (view === "map") options.output = "heatmap";
    if (emphasize) options.emphasize = true;
  }
}
