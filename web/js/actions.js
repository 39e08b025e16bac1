// What a visitor can do. Each action changes the store, then the address, and requests maps where
// the change needs any.

import { getJson, getFile, setApiKey } from "./lib/api.js";
import { readAddress, writeAddress } from "./state/address.js";
import { DEFAULT_DISPLAY, DEFAULT_SETTINGS } from "./state/initial.js";
import { Journal } from "./state/journal.js";
import { comparedLayers, comparedMethods, isSigned, modeOf } from "./state/plan.js";
import { forgetPicture, saveApiKey, savePicture } from "./state/session.js";
import { settingsFor } from "./state/settings.js";
import { layerName } from "./state/support.js";

export class Actions {
  #store;
  #explainer;
  #client;
  #predictor;
  #journal = new Journal();
  #modelRequest = null;

  constructor(store, { explainer, client, predictor }) {
    this.#store = store;
    this.#explainer = explainer;
    this.#client = client;
    this.#predictor = predictor;
  }

  get #state() {
    return this.#store.state;
  }

  // The picture.

  /** Shows a picture and explains it. `sample` is the sample that it is. */
  async useFile(file, { sample = null } = {}) {
    if (!file) return;
    // The class in an address is meant for the first picture, one chosen before for no other.
    const isFirst = !this.#state.file;
    const targets = isFirst ? this.#state.settings.targets : [];
    this.#replacePicture({ file, sample }, {
      settings: { ...this.#state.settings, targets }, arrivals: this.#state.arrivals + 1,
    });
    await this.#decode(file);
    if (this.#state.file !== file) return;
    this.#pushAddress();
    await this.#explainer.start();
    if (this.#state.file === file) this.#dropIfUndecoded();
  }

  /** Puts another picture, or none, in the place of this one, and keeps it for a reload. */
  #replacePicture({ file, sample }, patch) {
    this.#explainer.stop();
    this.#client.clear();
    this.#store.update({
      file, sample, image: null, cells: [], shown: null, problem: null, predictions: [],
      scores: new Map(), ...patch,
    });
    if (file) savePicture(file);
    else forgetPicture();
  }

  async #decode(file) {
    const image = await createImageBitmap(file).catch(() => null);
    if (this.#state.file === file) this.#store.update({ image });
  }

  /** Shows the picture that the tab kept over a reload, if there is one. */
  async restore(file) {
    if (file) this.#store.update({ file });
    this.#journal.begin(this.#state);
    if (file) await this.#decode(file);
  }

  /** A file that neither the browser nor the server can decode is no picture. */
  #dropIfUndecoded() {
    const { image, problem } = this.#state;
    if (image || !(problem?.status >= 400 && problem.status < 500)) return;
    forgetPicture();
    this.#store.update({ file: null, sample: null, cells: [], shown: null });
    this.#replaceAddress();
  }

  /** Shows a sample. The model stays the visitor's choice; a note offers the sample's own. */
  async useSample(sample) {
    const { file } = sample;
    try {
      const picture = await getFile(`/samples/${encodeURIComponent(file)}`, file);
      await this.useFile(picture, { sample });
    } catch (problem) {
      this.#store.update({ problem });
    }
  }

  /** Back to the first page. */
  startOver() {
    this.#replacePicture({ file: null, sample: null }, {
      settings: DEFAULT_SETTINGS, display: DEFAULT_DISPLAY,
    });
    this.#pushAddress();
  }

  // The model.

  /** Reads a model's description and selects it. `settings` come from the address. */
  async selectModel(id, settings) {
    const request = (this.#modelRequest = new AbortController());
    this.#explainer.stop();
    const model = await getJson(`/v1/models/${encodeURIComponent(id)}`, request.signal);
    if (this.#modelRequest !== request) return;
    const { method } = this.#state.settings;
    const own = settings
      ? { ...settings }
      : { ...DEFAULT_SETTINGS, method, compare: this.#state.settings.compare };
    this.#client.clear();
    this.#store.update({
      model, cells: [], shown: null, predictions: [], scores: new Map(), problem: null,
      settings: settingsFor(model, own),
    });
  }

  async changeModel(id) {
    try {
      await this.selectModel(id);
      this.#pushAddress();
      await this.#explainer.start();
    } catch (problem) {
      this.#store.update({ problem });
    }
  }

  // What is explained.

  selectMethod(method) {
    this.#set({ method, compare: this.#state.settings.compare === "methods" ? "none"
      : this.#state.settings.compare });
  }

  toggleMethod(method, on) {
    const methods = comparedMethods(this.#state).filter((one) => one !== method);
    if (on) methods.push(method);
    if (methods.length > 0) this.#set({ methods });
  }

  toggleLayer(name, on) {
    const names = comparedLayers(this.#state).filter((one) => one !== name);
    if (on) names.push(name);
    const order = this.#state.model.layers.map(layerName);
    names.sort((one, other) => order.indexOf(one) - order.indexOf(other));
    if (names.length > 0) this.#set({ comparedLayers: names });
  }

  setLayers(layers) {
    this.#set({ layers, compare: this.#state.settings.compare === "layers" ? "none"
      : this.#state.settings.compare });
  }

  /** Shows one class alone; null for the predicted one. */
  selectClass(index) {
    const isPredicted = index === null || index === this.#state.predictions[0]?.index;
    this.#set({ targets: isPredicted ? [] : [index] });
  }

  /** Adds a class to the others or removes it. */
  toggleClass(index, on) {
    const others = this.shownClasses.filter((one) => one !== index);
    const targets = on ? [...others, index] : others;
    if (targets.length === 0) return;
    const isPredicted = targets.length === 1 && targets[0] === this.#state.predictions[0]?.index;
    this.#set({ targets: isPredicted ? [] : targets, compare: "none" });
  }

  /** The indices of the classes whose maps are shown. */
  get shownClasses() {
    const { settings, predictions } = this.#state;
    if (settings.targets.length > 0) return settings.targets;
    return predictions.slice(0, 1).map(({ index }) => index);
  }

  /** Switches between one map and the kinds of comparison. */
  compare(kind) {
    const { settings, predictions } = this.#state;
    const first = settings.targets.slice(0, 1);
    if (kind === "classes") {
      this.#compareClasses(first);
      return;
    }
    const isPredicted = first[0] === predictions[0]?.index;
    const targets = isPredicted ? [] : first;
    this.#set({ compare: kind === "single" ? "none" : kind, targets });
  }

  /** Shows the most probable classes side by side, which may have to be asked for. */
  async #compareClasses(first) {
    const { settings, file } = this.#state;
    const isCurrent = () => this.#state.settings === settings && this.#state.file === file;
    try {
      await this.#predictor.ensure();
    } catch (problem) {
      if (isCurrent()) this.#store.update({ problem });
      return;
    }
    if (!isCurrent()) return;
    const likely = this.#state.predictions.map(({ index }) => index);
    const targets = [...new Set([...first, ...likely])].slice(0, 3);
    this.#set({ compare: "none", targets: targets.length > 1 ? targets : first });
  }

  /** Shows one cell of a comparison alone. */
  showOnly({ key, index }) {
    const mode = modeOf(this.#state.settings);
    if (mode === "methods") this.#set({ compare: "none", method: key });
    else if (mode === "layers") this.#set({ compare: "none", layers: [key] });
    else this.selectClass(index);
  }

  setOption(patch) {
    this.#set(patch);
  }

  /** Score-CAM's estimate of this many passes, or all of them (null). */
  setBudget(budget) {
    this.#set({ budget });
  }

  retry() {
    return this.#explainer.start();
  }

  cancel() {
    this.#explainer.cancel();
  }

  // How it looks.

  setDisplay(patch, { push = true } = {}) {
    this.#store.update({ display: { ...this.#state.display, ...patch } });
    if (push) this.#pushAddress();
    else this.#replaceAddress();
  }

  /** Changes the colours of the kind of map that is shown. */
  setColors(patch, options) {
    const kind = isSigned(this.#state) ? "signed" : "unsigned";
    this.setDisplay({ [kind]: { ...this.#state.display[kind], ...patch } }, options);
  }

  // The address and the key.

  /** Takes up an entry of the history, its settings and its picture, after Back or Forward. */
  async followAddress() {
    const { model: id, settings, display } = readAddress(location.search);
    const wanted = id ?? this.#state.models?.default;
    const picture = this.#journal.picture(this.#state.file);
    if (picture) this.#replacePicture(picture, {});
    this.#store.update({ display });
    try {
      if (wanted && wanted !== this.#state.model?.id) await this.selectModel(wanted, settings);
      else this.#store.update({ settings: settingsFor(this.#state.model, settings) });
      if (picture?.file) await this.#decode(picture.file);
      await this.#explainer.start();
    } catch (problem) {
      this.#store.update({ problem });
    }
  }

  useKey(key) {
    saveApiKey(key);
    setApiKey(key);
    this.#store.update({ key: { needed: false, refused: false }, problem: null });
  }

  #set(patch) {
    this.#store.update({ settings: { ...this.#state.settings, ...patch } });
    this.#pushAddress();
    this.#explainer.start();
  }

  #pushAddress() {
    this.#journal.push(location.pathname + writeAddress(this.#state), this.#state);
  }

  #replaceAddress() {
    this.#journal.replace(location.pathname + writeAddress(this.#state), this.#state);
  }
}
