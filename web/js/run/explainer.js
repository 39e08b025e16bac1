// Makes the requests of a plan and puts their maps into the store as they arrive.

import { Problem } from "../lib/api.js";
import { hasManyPasses, methodName } from "../lib/methods.js";
import { mapsOf } from "../lib/response.js";
import { sentence } from "../lib/text.js";
import { isFinal, waitingCell, withCell } from "../state/cells.js";
import { planOf } from "../state/plan.js";
import { layerName } from "../state/support.js";

export class Explainer {
  #store;
  #client;
  #estimate;
  #predictor;
  #current = null;
  /** The last maps that came, with their picture and model: what a failure goes back to. */
  #last = null;

  constructor(store, { client, estimate, predictor }) {
    this.#store = store;
    this.#client = client;
    this.#estimate = estimate;
    this.#predictor = predictor;
  }

  /** Explains the picture with the current settings. Does nothing without picture or model. */
  async start() {
    const { file, model, settings } = this.#store.state;
    this.stop();
    if (!file || !model) return;
    const plan = planOf(this.#store.state);
    this.#store.update({ problem: null });
    this.#openCells(plan);
    this.#predictFor(plan[0]);
    const problem = await this.#job(async (signal) => {
      let failure = null;
      for (const request of plan) {
        if (request.reason && plan.length > 1) continue;
        try {
          await this.#request(request, signal, settings);
        } catch (error) {
          this.#fail(request, error);
          // One method or layer may support what another rejects.
          if (plan.length === 1 || ![400, 422].includes(error.status)) throw error;
          failure = error;
        }
      }
      const isAnyDone = this.#store.state.cells.some(({ status }) => status === "done");
      if (failure && !isAnyDone) throw failure;
      this.#keep();
    });
    if (problem) this.#goBack(plan);
  }

  /** Asks for the classes where the first map would name them late. */
  #predictFor({ options }) {
    const { method, layers, settings } = this.#measurable(options);
    if (this.#client.cached(options) || !hasManyPasses(method, layers, settings)) return;
    // What is wrong with the picture the request for the map says, too.
    this.#predictor.ensure().catch(() => {});
  }

  /** Runs one job, such as a download, in place of what is running. */
  run(label, expectedMs, work) {
    this.stop();
    return this.#job((signal) => {
      this.#show(label, expectedMs);
      return work(signal);
    });
  }

  /** Stops what is running, without a word: something else takes its place. */
  stop() {
    this.#current?.abort();
    this.#current = null;
    if (this.#store.state.run) this.#store.update({ run: null });
  }

  /** Stops what is running. Maps of the passes so far stay, and are marked. */
  cancel() {
    this.stop();
    const cells = this.#store.state.cells.map((cell) => {
      if (isFinal(cell)) return cell;
      return { ...cell, status: cell.isFresh && cell.heatmap ? "partial" : "cancelled" };
    });
    this.#store.update({
      cells: cells.map((cell) => (cell.status === "cancelled" ? { ...cell, heatmap: null } : cell)),
    });
    if (cells.some(({ heatmap }) => heatmap)) this.#keep();
  }

  #keep() {
    const { file, model, cells, shown } = this.#store.state;
    this.#last = { file, model, cells, shown };
  }

  /**
   * Shows the last maps again after a failure, such as a rejected option: they are still true, and
   * the alert says that nothing new came. Several figures, each with its own reason, stay.
   */
  #goBack(plan) {
    const { file, model, cells: failed } = this.#store.state;
    if (!this.#last || this.#last.file !== file || this.#last.model !== model) return;
    const { cells, shown } = this.#last;
    const isSame = String(failed.map(({ key }) => key)) === String(cells.map(({ key }) => key));
    if (plan.length === 1 || isSame) this.#store.update({ cells, shown });
  }

  /** Resolves to the problem that ended the job, or null. */
  async #job(work) {
    const controller = (this.#current = new AbortController());
    const isCurrent = () => this.#current === controller;
    let problem = null;
    try {
      await work(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) problem = asProblem(error);
    }
    if (!isCurrent()) return null;
    this.#current = null;
    this.#store.update({ run: null, ...(problem ? { problem } : {}) });
    return problem;
  }

  /**
   * Prepares the cells. Until the new map arrives a single one stays, and the page dims it; maps
   * that are cached appear at once.
   */
  #openCells(plan) {
    const { cells: before, settings } = this.#store.state;
    const cells = plan.flatMap((request) => request.cells.map((cell) => {
      const old = before.find(({ key, status }) => key === cell.key && status === "done");
      const kept = cell.key === "single" && old;
      return kept
        ? { ...old, status: "waiting", isFresh: false }
        : waitingCell(cell, plan.length > 1 ? request : { ...request, reason: "" });
    }));
    const isKept = cells.some(({ heatmap }) => heatmap);
    this.#store.update({ cells, shown: isKept ? this.#store.state.shown : settings });
  }

  async #request(request, signal, settings) {
    const { options } = request;
    const { file } = this.#store.state;
    const keys = request.cells.map(({ key }) => key);
    if (!this.#client.cached(options)) {
      this.#show(`Running ${methodName(options.method)}`, this.#expectedMs(options));
      this.#patch(keys, { status: "running", options });
    }
    let total = 0;
    const onEvent = (name, data) => {
      if (name === "progress") ({ total } = data);
      this.#handle(name, data, request);
    };
    const isNew = !this.#client.cached(options);
    const response = await this.#client.explain(file, options, signal, onEvent);
    if (isNew) this.#estimate.record(this.#measurable(options), response, total);
    await this.#ensureImage(options, signal);
    signal.throwIfAborted();
    this.#accept(request, response, settings);
  }

  /** A file that only the server can decode has no picture before the first response. */
  async #ensureImage(options, signal) {
    const { file, image } = this.#store.state;
    if (image) return;
    this.#store.update({ image: await this.#client.decodedImage(file, options, signal) });
  }

  #accept(request, response, settings) {
    const maps = mapsOf(response);
    const { scores } = this.#store.state;
    const seen = [...response.predictions, ...maps.map(({ target }) => target)];
    let { cells } = this.#store.state;
    request.cells.forEach(({ key, title, index }, at) => {
      const { target, heatmap } = maps[at];
      cells = withCell(cells, key, {
        title, index, options: request.options, status: "done", note: "", response, target,
        heatmap, isFresh: true, progress: null,
      });
    });
    this.#store.update({
      cells,
      shown: settings,
      scores: new Map([...scores, ...seen.map((one) => [one.index, one])]),
      ...(response.predictions.length > 0 ? { predictions: response.predictions } : {}),
    });
  }

  #handle(name, data, request) {
    const [first] = request.cells;
    const { options } = request;
    if (name === "queued") this.#show("Waiting for other requests to finish", 0);
    if (name === "started") {
      this.#show(`Running ${methodName(options.method)}`, this.#expectedMs(options));
    }
    // Without passes to run there is no progress to tell.
    if (name === "progress" && data.total > 0) {
      const { done, total, remaining_s: left } = data;
      const endsAt = left === null ? null : performance.now() + left * 1000;
      this.#store.update({ run: { ...this.#store.state.run, progress: { done, total, endsAt } } });
      this.#patch([first.key], { progress: { done, total } });
    }
    if (name === "partial" && !data.heatmap.empty) {
      const { heatmap, target, done, total } = data;
      const progress = { done, total };
      this.#patch([first.key], { heatmap, target, progress, isFresh: true, response: null });
    }
  }

  #fail(request, error) {
    const isAborted = this.#current === null || error.name === "AbortError";
    if (isAborted) return;
    const note = sentence(error.detail || error.title || error.message);
    const keys = request.cells.map(({ key }) => key);
    this.#patch(keys, { status: "failed", note, heatmap: null, response: null, target: null });
  }

  #patch(keys, patch) {
    let { cells } = this.#store.state;
    for (const key of keys) cells = withCell(cells, key, patch);
    this.#store.update({ cells });
  }

  #show(label, expectedMs) {
    const run = { label, expectedMs, startedAt: performance.now(), progress: null };
    this.#store.update({ run });
  }

  #expectedMs(options) {
    const { model, method, layers, settings } = this.#measurable(options);
    return this.#estimate.of(model, method, layers, settings).ms;
  }

  /** What a duration depends on, of the options of a request. */
  #measurable({ model, method, layer, max_channels: maxChannels, budget, convention }) {
    const { layers: all } = this.#store.state.model;
    const layers = layer.split(",").map((name) => all.find((one) => layerName(one) === name));
    const settings = { maxChannels, budget: budget || null, convention };
    return { model, method, layers: layers.filter(Boolean), settings };
  }
}

function asProblem(error) {
  if (error instanceof Problem) return error;
  console.error(error);
  return new Problem({ title: "An error occurred on this page", detail: error.message });
}
