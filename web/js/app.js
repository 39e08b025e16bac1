// The page: picks a picture, asks the server for maps, draws them.
//
// A map is asked for once and kept. How it looks (colours, strength, view) is decided here
// and costs no request; what it is of (model, method, layers, classes) is asked anew.

import { askJson, askPicture, curlFile, getJson, Problem, shellWord } from "./lib/api.js";
import { ClassPicker } from "./form/class-picker.js";
import { copyFrom, elements, make, save } from "./lib/dom.js";
import { takeFiles } from "./form/file-input.js";
import { factsOf, mapsOf, totalMs } from "./result/facts.js";
import { LayerPicker, layerName } from "./form/layer-picker.js";
import { Looks } from "./map/display-options.js";
import { listMethods } from "./form/method-picker.js";
import { Panes } from "./map/panes.js";
import { listPredictions } from "./form/prediction-list.js";
import { Refusals } from "./form/field-errors.js";
import { Runner } from "./run/job-runner.js";
import { className, duration, emptySentence, methodName, passText, percent, scoreText, sentence, valueText } from "./lib/text.js";
import { Viewer } from "./map/viewer.js";

const COMPARED = ["gradcam", "gradcam++", "scorecam"];

const ui = elements();
const picker = new ClassPicker(ui.target, (index) => explainOnly(index));
const adder = new ClassPicker(ui.beside, (index) => explainBeside(index, true), { offersPredicted: false });
const layers = new LayerPicker(ui, () => ask());
const looks = new Looks(ui, () => repaint());
const refusals = new Refusals({
  target: ui.beside, layer: ui.layer, contrast: ui.contrast, negate: ui.negate, signed: ui.signed,
  convention: ui.convention, score: ui.score, max_channels: ui.maxChannels,
});
const single = new Viewer(ui.canvas);
const panes = new Panes(ui.panes, watchPointer);

const state = {
  file: null,
  picture: null, // what the browser decoded, or null if it could not
  defaultModel: "",
  model: null,
  method: "gradcam++",
  targets: [], // none: the predicted class
  predictions: [], // what the model said of this picture, the most probable first
  named: new Map(), // class → what the model said of it
  answer: null,
  answers: new Map(), // question → answer, for this picture
  passMs: new Map(), // model → how long one pass took
};

const checked = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;
const comparing = () => checked("mode") === "compare";
const say = (text) => { ui.status.textContent = text; };

// ---------------------------------------------------------------- one request at a time

const runner = new Runner(ui);

/** Runs a job that can be cancelled, and says what went wrong if it did. */
async function run(label, expectedMs, job) {
  ui.alert.hidden = true;
  refusals.clear();
  await runner.run(label, expectedMs, job).catch(complain);
}

function complain(error) {
  const problem = error instanceof Problem ? error : new Problem({ title: "Something went wrong on this page", detail: error.message });
  if (!(error instanceof Problem)) console.error(error);
  ui.alertTitle.textContent = problem.title;
  const id = problem.status >= 500 && problem.requestId ? ` (request ${problem.requestId})` : "";
  ui.alertDetail.textContent = sentence(problem.detail) + id;
  // The same request would be refused again, unless time is what was missing.
  ui.again.hidden = !state.file || (problem.status >= 400 && problem.status < 500);
  ui.alert.hidden = false;
  refusals.show(problem);
  say("");
}

// ---------------------------------------------------------------- models

async function loadModels() {
  ui.modelNote.hidden = true;
  try {
    const list = await getJson("/v1/models");
    state.defaultModel = list.default;
    ui.model.replaceChildren(...list.models.map(({ id, ready, status }) => make(
      "option", { value: id, disabled: !ready, selected: id === list.default && ready }, ready ? id : `${id} (${status})`,
    )));
    ui.model.disabled = list.models.length < 2;
    const usable = list.models.find(({ id, ready }) => ready && id === list.default) ?? list.models.find(({ ready }) => ready);
    if (usable) {
      ui.model.value = usable.id;
      await chooseModel(usable.id);
      return;
    }
    const failed = list.models.filter(({ status }) => status === "failed");
    const loading = list.models.length > failed.length;
    noteModel(loading ? "The model is still loading. This page looks again by itself."
      : list.models.length ? `No model could be loaded. ${failed.map(({ id, error }) => `${id}: ${error ?? "failed"}`).join("; ")}`
      : "This server has no model.");
    if (loading) setTimeout(loadModels, 1500);
  } catch (error) {
    noteModel(`${error.title ?? "The list of models could not be read"}. This page tries again by itself.`);
    setTimeout(loadModels, 4000);
  }
}

function noteModel(text) {
  ui.modelNote.textContent = text;
  ui.modelNote.hidden = false;
}

async function chooseModel(id) {
  const model = await getJson(`/v1/models/${encodeURIComponent(id)}`);
  state.model = model;
  picker.setClasses(model.labels, model.output.classes);
  adder.setClasses(model.labels, model.output.classes);
  layers.setModel(model);
  forgetClasses();
  state.method = listMethods(ui, model.methods, state.method);
  if (state.file) ask();
}

/** Whether a method works on this model, and if not, why. */
function support(method) {
  return state.model.methods[method] ?? { available: false, reason: "This server does not have it." };
}

// ---------------------------------------------------------------- the picture

async function choose(file) {
  if (!file) return;
  runner.stop();
  state.file = file;
  const picture = await createImageBitmap(file).catch(() => null);
  if (state.file !== file) return;
  state.picture = picture;
  state.answers.clear();
  forgetClasses();
  ui.fileName.textContent = file.name || "pasted picture";
  ui.fileName.title = ui.fileName.textContent;
  forget();
  showPicture();
  if (state.model) ask();
  else say("Waiting for a model.");
}

/** A picture that only the server can decode is not on the page until an answer came. */
function showPicture() {
  ui.drop.hidden = Boolean(state.picture);
  ui.result.hidden = !state.picture;
  if (!state.picture) return;
  for (const viewer of [single, ...panes.viewers]) {
    viewer.setPicture(state.picture, looks.style);
    viewer.paint(looks.style);
  }
}

/** A picture that this browser cannot decode (TIFF, mostly) comes back from the server, with nothing laid over it. */
async function fetchPicture(signal) {
  const png = await askPicture("/v1/explain", state.file, {
    model: state.model.id, method: state.answer.method, layer: layerName(layers.chosen[0]), max_channels: state.answer.method === "scorecam" ? 1 : null,
    output: "overlay", blend: "mix", weight: 0, top_k: 0,
  }, signal);
  state.picture = await createImageBitmap(png);
  showPicture();
}

/** Takes the last answer off the page: it is not of what is being asked now. */
function forget() {
  state.answer = null;
  single.setMap(null);
  ui.canvas.setAttribute("aria-label", "The picture");
  for (const part of [ui.details, ui.empty]) part.hidden = true;
  ui.take.hidden = !state.picture || !state.model;
  ui.readout.textContent = "";
}

/** Of another picture, or by another model, nothing has been said yet. */
function forgetClasses() {
  state.predictions = [];
  state.named.clear();
  setTargets([]);
}

// ---------------------------------------------------------------- asking

function question(method = state.method) {
  return {
    model: state.model.id,
    method,
    layer: layers.value,
    target: state.targets.join(","),
    convention: ui.convention.value,
    score: ui.score.value,
    contrast: ui.contrast.value.trim(),
    negate: ui.negate.checked || "",
    signed: ui.signed.checked || "",
    max_channels: method === "scorecam" ? ui.maxChannels.value : "",
  };
}

/** The answer to a question; `grow` is shown the map while it is unfinished. */
async function answerTo(asked, signal, grow) {
  const key = JSON.stringify(asked);
  const known = state.answers.get(key);
  if (known) return known;
  const answer = await askJson("/v1/explain", state.file, asked, signal, (event, data) => {
    if (event === "queued") runner.show("The server is busy with others first", 0);
    if (event === "started") runner.show(label(asked.method), expectation(asked.method).ms);
    if (event === "progress") runner.progress(data);
    if (event === "partial" && !data.heatmap.empty) grow(data);
  });
  signal.throwIfAborted();
  state.answers.set(key, answer);
  const { passes, timing_ms: timing } = answer;
  const passMs = passes.masked > 0 ? timing.explain / passes.masked : timing.forward / Math.max(1, passes.forward);
  if (passMs > 0 && (passes.masked > 0 || !state.passMs.has(asked.model))) state.passMs.set(asked.model, passMs);
  return answer;
}

/** How many passes a method takes, and how long that should last; 0 when it cannot be told. */
function expectation(method) {
  const masks = ({ shape: [channels] }) => Math.min(channels, Number(ui.maxChannels.value) || channels);
  const passes = method === "scorecam" ? layers.chosen.reduce((sum, layer) => sum + masks(layer), 0) : 1;
  return { passes, ms: passes * (state.passMs.get(state.model.id) ?? 0) };
}

function label(method) {
  const { passes } = expectation(method);
  return method === "scorecam" ? `${methodName(method)} asks the model up to ${passes} times` : `${methodName(method)} is at work`;
}

function ask() {
  if (!state.file || !state.model) return;
  ui.empty.hidden = true;
  looks.turn(ui.signed.checked);
  layOut();
  showCurl();
  if (comparing()) askAll();
  else askOne();
}

/** One map has the stage for itself, several stand side by side. */
function layOut() {
  const isOne = !comparing() && state.targets.length < 2;
  ui.single.hidden = !isOne;
  ui.panes.hidden = isOne;
  ui.details.hidden = comparing() || !state.answer;
}

function askOne() {
  const asked = question();
  if (state.targets.length > 1) {
    const part = (index) => ({ key: index, name: picker.name(index), alone: () => explainOnly(index) });
    panes.open("classes", state.targets.map(part), state.picture, looks.style);
  }
  return run(label(asked.method), expectation(asked.method).ms, async (signal) => {
    state.answer = null;
    const answer = await answerTo(asked, signal, ({ heatmap, target }) => {
      if (!ui.panes.hidden) panes.get(target.index)?.grow(heatmap, state.model.input, looks.style);
      else {
        single.setMap(heatmap, state.model.input, looks.style);
        ui.canvas.setAttribute("aria-label", `${methodName(asked.method)} of ${className(target)}, not finished yet`);
      }
    });
    state.answer = answer;
    if (!state.picture) await fetchPicture(signal);
    show(answer);
  }).finally(() => {
    if (runner.busy || state.answer) return;
    forget();
    if (!ui.panes.hidden) panes.giveUp("No map.");
  });
}

/** Every compared method in turn, the quick ones first; each is shown as it comes. */
function askAll() {
  const wanted = COMPARED.filter((method) => method in state.model.methods);
  panes.open("methods", wanted.map((method) => ({ key: method, name: methodName(method), alone: () => showAlone(method) })), state.picture, looks.style);
  return run(label(wanted[0]), 0, async (signal) => {
    let came = 0;
    let refused = null;
    for (const method of wanted) {
      const pane = panes.get(method);
      const { available, reason } = support(method);
      if (!available) {
        pane.note(sentence(reason ?? "not possible with this model"));
        continue;
      }
      const { ms } = expectation(method);
      runner.show(label(method), ms);
      pane.note("At work …");
      try {
        const answer = await answerTo(question(method), signal, ({ heatmap }) => pane.grow(heatmap, state.model.input, looks.style));
        state.answer = answer;
        if (!state.picture) await fetchPicture(signal);
        const { heatmap, target } = answer;
        const text = heatmap.empty ? emptySentence(answer) : `${passText(answer.passes)}, ${duration(totalMs(answer))}`;
        pane.show(heatmap.empty ? null : heatmap, state.model.input, looks.style, `${methodName(method)} of ${className(target)}`, text);
        showAnswer(answer);
        came++;
      } catch (error) {
        pane.note(signal.aborted ? "Stopped." : sentence(error.detail || error.title || error.message));
        // What one method refuses, another may do.
        if (signal.aborted || ![400, 422].includes(error.status)) throw error;
        refused = error;
      }
    }
    if (came === 0 && refused) throw refused;
    say("The maps are here.");
  });
}

/** The classes that are shown; while none was chosen, the predicted one. */
function shown() {
  return state.targets.length > 0 ? state.targets : state.predictions.slice(0, 1).map(({ index }) => index);
}

/** Sets the classes; the predicted one alone is the same as none, and is asked for so. */
function setTargets(indices) {
  const isPredicted = indices.length === 1 && indices[0] === state.predictions[0]?.index;
  state.targets = isPredicted ? [] : indices;
  picker.show(state.targets);
  showPredictions();
}

/** One class, or null for the predicted one. */
function explainOnly(index) {
  setTargets(index === null ? [] : [index]);
  ask();
}

/** One class more or less beside the others. Methods are compared on one class only. */
function explainBeside(index, on) {
  if (on === shown().includes(index)) return;
  const others = shown().filter((one) => one !== index);
  setTargets(on ? [...others, index] : others);
  if (state.targets.length > 1) chooseMode("single");
  ask();
}

// ---------------------------------------------------------------- showing

/** Shows one finished map, or one a class. */
function show(answer) {
  const maps = mapsOf(answer);
  const method = methodName(answer.method);
  for (const { target, heatmap } of maps) {
    const map = heatmap.empty ? null : heatmap;
    const alt = `${method} of ${className(target)}, ${percent(target.probability)}, laid over the picture`;
    if (maps.length > 1) {
      const text = heatmap.empty ? `${scoreText(target)}. ${emptySentence({ ...answer, target, heatmap })}` : scoreText(target);
      panes.get(target.index)?.show(map, state.model.input, looks.style, alt, text);
    } else {
      single.setMap(map, state.model.input, looks.style);
      ui.canvas.setAttribute("aria-label", alt);
    }
  }
  showAnswer(answer);
  const isEmpty = maps.length === 1 && maps[0].heatmap.empty;
  ui.empty.hidden = !isEmpty;
  ui.empty.textContent = isEmpty ? emptySentence(answer) : "";
  const names = maps.map(({ target }) => `${className(target)}, ${percent(target.probability)}`).join("; ");
  say(isEmpty ? ui.empty.textContent : `${method} of ${names}: the map${maps.length > 1 ? "s are" : " is"} here.`);
}

function showAnswer(answer) {
  if (answer.predictions.length > 0) state.predictions = answer.predictions;
  for (const one of [...answer.predictions, ...mapsOf(answer).map(({ target }) => target)]) state.named.set(one.index, one);
  showPredictions();
  const isCropped = state.model.input.fit === "crop";
  ui.facts.replaceChildren(...factsOf(answer, isCropped).map(([term, text]) => (
    make("div", {}, make("dt", {}, term), make("dd", {}, text))
  )));
  ui.details.hidden = comparing();
  ui.take.hidden = false;
  showCurl();
}

/** The most probable classes, and those that are shown besides. */
function showPredictions() {
  const { predictions, named } = state;
  ui.answer.hidden = predictions.length === 0;
  const more = shown().filter((index) => !predictions.some((one) => one.index === index));
  const rows = [...predictions, ...more.map((index) => named.get(index) ?? { index, label: state.model.labels[index] })];
  listPredictions(ui, rows, shown(), { only: explainOnly, tick: explainBeside });
}

function showAlone(method) {
  ui.methods.querySelector(`input[value="${method}"]`).checked = true;
  chooseMethod();
}

function chooseMethod() {
  state.method = checked("method");
  chooseMode("single");
  ask();
}

/** Every way to look at the maps that are here already. */
function repaint() {
  for (const viewer of ui.panes.hidden ? [single] : panes.viewers) viewer.paint(looks.style);
  if (state.file && state.model) showCurl();
}

function watchPointer(canvas, viewer) {
  canvas.addEventListener("pointermove", (event) => {
    const under = viewer.read(event);
    ui.readout.textContent = !under ? "" : under.seen ? `Here: ${valueText(under)}` : "The model did not see this part.";
  });
  canvas.addEventListener("pointerleave", () => { ui.readout.textContent = ""; });
}

// ---------------------------------------------------------------- taking it along

/** The options for a picture that looks like the one on the page; what is the server's default is left out. */
function pictureQuestion() {
  const { view, emphasize } = looks.style;
  const asked = question();
  if (comparing()) {
    asked.methods = COMPARED.filter((method) => support(method).available).map((method) => (method === "gradcam++" ? "gradcampp" : method)).join(",");
    asked.max_channels = ui.maxChannels.value;
    delete asked.method;
    if (asked.methods === "gradcam,gradcampp,scorecam") delete asked.methods;
  } else {
    if (asked.method === "gradcam++") asked.method = "gradcampp";
    if (view === "map") asked.output = "heatmap";
    if (emphasize) asked.emphasize = true;
  }
  if (asked.model === state.defaultModel) delete asked.model;
  if (asked.layer === state.model.default_layer) delete asked.layer;
  if (asked.convention === "paper") delete asked.convention;
  Object.assign(asked, looks.options(asked.output !== "heatmap"));
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== "" && value !== null && value !== undefined));
}

const picturePath = () => (comparing() ? "/v1/compare" : "/v1/explain");

function pictureName() {
  const stem = (state.file.name || "picture").replace(/\.[^.]*$/, "");
  return `${stem}-${comparing() ? "compare" : state.method.replaceAll("+", "p")}.png`;
}

function showCurl() {
  // Commas are plain in a query; written so, the line can be read.
  const query = new URLSearchParams(pictureQuestion()).toString().replaceAll("%2C", ",").replaceAll("'", "%27");
  const address = `${location.origin}${picturePath()}${query ? `?${query}` : ""}`;
  ui.curl.textContent = `curl -fsS '${address}' -F ${curlFile(state.file.name || "picture.png")} -o ${shellWord(pictureName())}`;
}

function download() {
  const name = pictureName();
  const { ms } = comparing() ? expectation("scorecam") : expectation(state.method);
  return run("The server draws the picture", ms, async (signal) => {
    save(await askPicture(picturePath(), state.file, { ...pictureQuestion(), ...(comparing() ? { output: "figure" } : {}) }, signal), name);
    say(`Saved as ${name}.`);
  });
}

// ---------------------------------------------------------------- wiring

takeFiles(ui, choose);

ui.model.addEventListener("change", () => {
  forget();
  forgetClasses();
  run(`Reading ${ui.model.value}`, 0, async () => chooseModel(ui.model.value));
});
ui.methods.addEventListener("change", chooseMethod);
for (const control of [ui.convention, ui.score, ui.contrast, ui.negate, ui.signed]) control.addEventListener("change", ask);
ui.maxChannels.addEventListener("change", () => {
  if (comparing() || state.method === "scorecam") ask();
});

watchPointer(ui.canvas, single);

/** The choice by hand: several classes are for one method, so comparing keeps the first of them. */
for (const radio of document.querySelectorAll('input[name="mode"]')) radio.addEventListener("change", () => {
  const isNarrowed = comparing() && state.targets.length > 1;
  if (isNarrowed) setTargets(state.targets.slice(0, 1));
  chooseMode(radio.value);
  if (isNarrowed) noteMode(`Methods are compared on one class at a time: ${picker.name(shown()[0])}.`);
  ask();
});

function chooseMode(mode) {
  document.querySelector(`input[name="mode"][value="${mode}"]`).checked = true;
  noteMode("");
}

function noteMode(text) {
  ui.modeNote.textContent = text;
}

ui.cancel.addEventListener("click", () => {
  runner.stop();
  if (!comparing()) forget();
  complain(new Problem({ title: "Stopped", detail: "Nothing is running on the server for this any more" }));
});
ui.again.addEventListener("click", ask);
ui.download.addEventListener("click", download);
ui.copy.addEventListener("click", () => copyFrom(ui.curl, ui.copy));
addEventListener("pagehide", () => runner.stop());

repaint();
loadModels();
