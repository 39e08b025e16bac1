// The page: picks a picture, asks the server for a map, draws it.
//
// A map is asked for once and kept. How it looks (colours, strength, view) is decided here
// and costs no request; what it is of (model, method, layer, class) is asked anew.

import { askJson, askPicture, curlFile, getJson, Problem, shellWord } from "./api.js";
import { ClassPicker } from "./combobox.js";
import { copyFrom, elements, make, save } from "./dom.js";
import { COLORMAPS, colors } from "./heat.js";
import { Runner } from "./runner.js";
import { className, duration, emptySentence, methodName, passText, percent, sentence } from "./text.js";
import { Viewer } from "./viewer.js";

const COMPARED = ["gradcam", "gradcam++", "scorecam"];
const DEFAULT_WEIGHT = { add: 0.8, mix: 0.5 };

const ui = elements();
const classes = new ClassPicker(ui.target, (index) => explainClass(index));
const single = new Viewer(ui.canvas);

const state = {
  file: null,
  picture: null, // what the browser decoded, or null if it could not
  defaultModel: "",
  model: null,
  method: "gradcam++",
  target: null, // null: the predicted class
  answer: null,
  answers: new Map(), // question → answer, for this picture
  passMs: new Map(), // model → how long one pass took
  panes: new Map(), // method → its part of the compare view
  weightIsMine: false,
};

const checked = (name) => document.querySelector(`input[name="${name}"]:checked`)?.value;
const comparing = () => checked("mode") === "compare";
const say = (text) => { ui.status.textContent = text; };

// ---------------------------------------------------------------- one request at a time

const runner = new Runner(ui);

/** Runs a job that can be cancelled, and says what went wrong if it did. */
async function run(label, expectedMs, job) {
  ui.alert.hidden = true;
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
  state.target = null;
  classes.setClasses(model.labels, model.output.classes);
  ui.layer.replaceChildren(...model.layers.map((layer) => {
    const name = layerName(layer);
    const [channels, rows, columns] = layer.shape;
    return make("option", { value: name }, `${name} (${columns} × ${rows}, ${channels} channels)`);
  }));
  ui.layer.value = model.default_layer;
  if (ui.layer.selectedIndex < 0) {
    ui.layer.value = layerName(model.layers.find(({ name, tensor }) => [name, tensor].includes(model.default_layer)) ?? model.layers.at(-1));
  }
  ui.layer.disabled = false;
  showMethods();
  if (state.file) ask();
}

const layerName = (layer) => layer.alias || layer.name;
const currentLayer = () => state.model.layers.find((layer) => layerName(layer) === ui.layer.value);

/** Whether a method works on this model, and if not, why. */
function support(method) {
  return state.model.methods[method] ?? { available: false, reason: "This server does not have it." };
}

function showMethods() {
  const methods = Object.entries(state.model.methods);
  if (!support(state.method).available) {
    state.method = methods.find(([, { available }]) => available)?.[0] ?? state.method;
  }
  ui.methods.replaceChildren(...methods.map(([method, { available, reason }]) => make(
    "label", { title: available ? null : reason },
    make("input", { type: "radio", name: "method", value: method, checked: method === state.method, disabled: !available }),
    make("span", {}, methodName(method)),
  )));
  const missing = new Map();
  for (const [method, { available, reason = "not possible with this model" }] of methods) {
    if (!available) missing.set(reason, [...(missing.get(reason) ?? []), methodName(method)]);
  }
  ui.methodHint.textContent = [...missing].map(([reason, names]) => `Not ${names.join(", ")}: ${sentence(reason)}`).join(" ");
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
  state.target = null;
  classes.show(null);
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
  for (const viewer of [single, ...[...state.panes.values()].map((pane) => pane.viewer)]) {
    viewer.setPicture(state.picture, style());
    viewer.paint(style());
  }
}

/** A picture that this browser cannot decode (TIFF, mostly) comes back from the server, with nothing laid over it. */
async function fetchPicture(signal) {
  const png = await askPicture("/v1/explain", state.file, {
    model: state.model.id, method: state.answer.method, layer: state.answer.layer, max_channels: state.answer.method === "scorecam" ? 1 : null,
    output: "overlay", blend: "mix", weight: 0, top_k: 0,
  }, signal);
  state.picture = await createImageBitmap(png);
  showPicture();
}

/** Takes the last answer off the page: it is not of what is being asked now. */
function forget() {
  state.answer = null;
  single.setMap(null);
  for (const part of [ui.answer, ui.details, ui.empty]) part.hidden = true;
  ui.take.hidden = !state.picture || !state.model;
  ui.readout.textContent = "";
}

// ---------------------------------------------------------------- asking

function question(method = state.method) {
  return {
    model: state.model.id,
    method,
    layer: ui.layer.value,
    target: state.target,
    convention: ui.convention.value,
    score: ui.score.value,
    contrast: ui.contrast.value.trim(),
    negate: ui.negate.checked || "",
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
  const channels = currentLayer()?.shape[0] ?? 0;
  const passes = method === "scorecam" ? Math.min(channels, Number(ui.maxChannels.value) || channels) : 1;
  return { passes, ms: passes * (state.passMs.get(state.model.id) ?? 0) };
}

function label(method) {
  const { passes } = expectation(method);
  return passes > 1 ? `${methodName(method)} asks the model up to ${passes} times` : `${methodName(method)} is at work`;
}

function ask() {
  if (!state.file || !state.model) return;
  ui.empty.hidden = true;
  showCurl();
  if (comparing()) askAll();
  else askOne();
}

function askOne() {
  const asked = question();
  return run(label(asked.method), expectation(asked.method).ms, async (signal) => {
    state.answer = null;
    const answer = await answerTo(asked, signal, ({ heatmap, target }) => {
      single.setMap(heatmap, state.model.input);
      ui.canvas.setAttribute("aria-label", `${methodName(asked.method)} of ${className(target)}, not finished yet`);
    });
    state.answer = answer;
    if (!state.picture) await fetchPicture(signal);
    show(answer);
  }).finally(() => {
    if (!runner.busy && !state.answer) forget();
  });
}

/** Every compared method in turn, the quick ones first; each is shown as it comes. */
function askAll() {
  const wanted = COMPARED.filter((method) => method in state.model.methods);
  makePanes(wanted);
  return run(label(wanted[0]), 0, async (signal) => {
    for (const method of wanted) {
      const pane = state.panes.get(method);
      const { available, reason } = support(method);
      if (!available) {
        pane.note(sentence(reason ?? "not possible with this model"));
        continue;
      }
      const { ms } = expectation(method);
      runner.show(label(method), ms);
      pane.note("At work …");
      try {
        const answer = await answerTo(question(method), signal, ({ heatmap }) => pane.grow(heatmap));
        state.answer = answer;
        if (!state.picture) await fetchPicture(signal);
        pane.show(answer);
        showAnswer(answer);
      } catch (error) {
        pane.note(signal.aborted ? "Stopped." : `${error.title ?? "It failed"}: ${error.detail ?? error.message}`);
        if (signal.aborted || !(error instanceof Problem) || error.status !== 422) throw error;
      }
    }
    say("The maps are here.");
  });
}

function explainClass(index) {
  state.target = index;
  classes.show(index);
  ask();
}

// ---------------------------------------------------------------- showing

function style() {
  return {
    view: checked("view"),
    colormap: ui.colormap.value,
    blend: ui.blend.value,
    weight: Number(ui.weight.value),
    emphasize: ui.emphasize.checked,
  };
}

function show(answer) {
  single.setMap(answer.heatmap.empty ? null : answer.heatmap, state.model.input);
  single.paint(style());
  const name = className(answer.target);
  ui.canvas.setAttribute("aria-label", `${methodName(answer.method)} of ${name}, laid over the picture`);
  showAnswer(answer);
  ui.empty.hidden = !answer.heatmap.empty;
  ui.empty.textContent = answer.heatmap.empty ? emptySentence(answer) : "";
  say(answer.heatmap.empty ? ui.empty.textContent
    : `${methodName(answer.method)} of ${name}, ${percent(answer.target.probability)}: the map is here.`);
}

function showAnswer(answer) {
  showPredictions(answer);
  showFacts(answer);
  ui.take.hidden = false;
  showCurl();
}

function showPredictions({ predictions, target }) {
  const listed = predictions.some(({ index }) => index === target.index) ? predictions : [...predictions, target];
  const focused = document.activeElement?.dataset?.index;
  ui.predictions.replaceChildren(...listed.map((one) => {
    const bar = make("span", { className: "bar-fill" });
    bar.style.setProperty("--share", one.probability);
    return make("li", {}, make(
      "button", {
        type: "button", className: "bar-row", "data-index": one.index, "aria-pressed": String(one.index === target.index),
        title: one.logit == null ? null : `class ${one.index}, logit ${one.logit.toFixed(2)}`,
        onclick: () => explainClass(one.index === predictions[0]?.index ? null : one.index),
      },
      make("span", { className: "bar-name" }, className(one)),
      make("span", { className: "bar-value" }, percent(one.probability)),
      bar,
    ));
  }));
  if (focused !== undefined) ui.predictions.querySelector(`[data-index="${focused}"]`)?.focus();
  ui.answer.hidden = false;
}

function showFacts(answer) {
  const { heatmap, image, passes, timing_ms: timing, target } = answer;
  const [rows, columns] = heatmap.shape;
  const seen = state.model.input.fit === "crop" ? ", of which the model saw the centre" : "";
  const total = Object.values(timing).reduce((sum, ms) => sum + ms, 0);
  const facts = [
    ["Class", target.label == null ? String(target.index) : `${target.label} (${target.index})`],
    ["Probability", percent(target.probability)],
    ["Logit", target.logit == null ? null : target.logit.toFixed(3)],
    ["Method", methodName(answer.method)],
    ["Convention", answer.convention],
    ["Layer", answer.layer],
    ["Map", `${columns} × ${rows}`],
    ["Largest value", heatmap.empty ? "0, the map is empty" : heatmap.max.toPrecision(4)],
    ["Picture", `${image.width} × ${image.height}${seen}`],
    ["Passes", passText(passes)],
    ["Time", `${duration(total)} (${Object.entries(timing).filter(([, ms]) => ms >= 0.5).map(([part, ms]) => `${part} ${duration(ms)}`).join(", ")})`],
  ];
  ui.facts.replaceChildren(...facts.filter(([, text]) => text !== null).map(([term, text]) => (
    make("div", {}, make("dt", {}, term), make("dd", {}, text))
  )));
  ui.details.hidden = comparing();
}

function makePanes(methods) {
  state.panes.clear();
  ui.compare.replaceChildren(...methods.map((method) => {
    const canvas = make("canvas", { role: "img", "aria-label": `${methodName(method)}, not there yet` });
    const note = make("span", { className: "soft" }, "Waiting …");
    const viewer = new Viewer(canvas);
    if (state.picture) viewer.setPicture(state.picture, style());
    viewer.paint(style());
    state.panes.set(method, {
      viewer,
      note: (text) => { note.textContent = text; },
      grow: (heatmap) => viewer.setMap(heatmap, state.model.input),
      show(answer) {
        viewer.setMap(answer.heatmap.empty ? null : answer.heatmap, state.model.input);
        viewer.paint(style());
        canvas.setAttribute("aria-label", `${methodName(method)} of ${className(answer.target)}`);
        const total = Object.values(answer.timing_ms).reduce((sum, ms) => sum + ms, 0);
        note.textContent = answer.heatmap.empty ? emptySentence(answer) : `${passText(answer.passes)}, ${duration(total)}`;
      },
    });
    watchPointer(canvas, viewer);
    return make(
      "figure", { className: "pane", "data-method": method }, canvas,
      make("figcaption", {}, make("button", { type: "button", className: "quiet", title: "Show this one alone", onclick: () => showAlone(method) }, methodName(method)), note),
    );
  }));
}

function showAlone(method) {
  ui.methods.querySelector(`input[value="${method}"]`).checked = true;
  chooseMethod();
}

function chooseMethod() {
  state.method = checked("method");
  document.querySelector('input[name="mode"][value="single"]').checked = true;
  changeMode();
}

/** Every way to look at the maps that are here already. */
function repaint() {
  const looks = style();
  ui.weightText.textContent = `${Math.round(looks.weight * 100)} %`;
  ui.weight.disabled = looks.view !== "overlay";
  const ramp = ui.ramp.getContext("2d");
  const strip = ramp.createImageData(256, 1);
  const table = colors(looks.colormap);
  for (let i = 0; i < 256; i++) strip.data.set([table[i * 3], table[i * 3 + 1], table[i * 3 + 2], 255], i * 4);
  ramp.putImageData(strip, 0, 0);
  single.paint(looks);
  for (const { viewer } of state.panes.values()) viewer.paint(looks);
  if (state.file && state.model) showCurl();
}

function watchPointer(canvas, viewer) {
  canvas.addEventListener("pointermove", (event) => {
    const under = viewer.read(event);
    ui.readout.textContent = !under ? "" : under.seen ? `Here: ${under.value.toFixed(2)}` : "The model did not see this part.";
  });
  canvas.addEventListener("pointerleave", () => { ui.readout.textContent = ""; });
}

// ---------------------------------------------------------------- taking it along

/** The options for a picture that looks like the one on the page; what is the server's default is left out. */
function pictureQuestion() {
  const looks = style();
  const asked = question();
  if (comparing()) {
    asked.methods = COMPARED.filter((method) => support(method).available).map((method) => (method === "gradcam++" ? "gradcampp" : method)).join(",");
    asked.max_channels = ui.maxChannels.value;
    delete asked.method;
    if (asked.methods === "gradcam,gradcampp,scorecam") delete asked.methods;
  } else {
    if (asked.method === "gradcam++") asked.method = "gradcampp";
    if (looks.view === "map") asked.output = "heatmap";
    if (looks.emphasize) asked.emphasize = true;
  }
  if (asked.model === state.defaultModel) delete asked.model;
  if (asked.layer === state.model.default_layer) delete asked.layer;
  if (asked.convention === "paper") delete asked.convention;
  if (looks.colormap !== "jet") asked.colormap = looks.colormap;
  if (asked.output !== "heatmap") {
    if (looks.blend !== "add") asked.blend = looks.blend;
    if (looks.weight !== DEFAULT_WEIGHT[looks.blend]) asked.weight = looks.weight;
  }
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

ui.colormap.replaceChildren(...COLORMAPS.map((name) => make("option", { value: name }, name)));

ui.choose.addEventListener("click", () => ui.file.click());
ui.chooseOther.addEventListener("click", () => ui.file.click());
ui.file.addEventListener("change", () => {
  choose(ui.file.files[0]);
  ui.file.value = "";
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
  if (file) choose(file);
});
let dragDepth = 0;
addEventListener("dragenter", () => { dragDepth++; document.body.classList.add("dragging"); });
addEventListener("dragleave", () => { if (--dragDepth <= 0) undrag(); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  undrag();
  choose(event.dataTransfer.files[0]);
});
function undrag() {
  dragDepth = 0;
  document.body.classList.remove("dragging");
}

ui.model.addEventListener("change", () => {
  forget();
  run(`Reading ${ui.model.value}`, 0, async () => chooseModel(ui.model.value));
});
ui.methods.addEventListener("change", chooseMethod);
for (const control of [ui.layer, ui.convention, ui.score, ui.contrast, ui.negate]) control.addEventListener("change", ask);
ui.maxChannels.addEventListener("change", () => {
  if (comparing() || state.method === "scorecam") ask();
});

for (const control of [ui.weight, ui.colormap, ui.emphasize, ui.views]) control.addEventListener("input", repaint);
ui.weight.addEventListener("input", () => { state.weightIsMine = true; });
ui.blend.addEventListener("input", () => {
  if (!state.weightIsMine) ui.weight.value = DEFAULT_WEIGHT[ui.blend.value];
  repaint();
});
watchPointer(ui.canvas, single);

for (const radio of document.querySelectorAll('input[name="mode"]')) radio.addEventListener("change", changeMode);
function changeMode() {
  ui.single.hidden = comparing();
  ui.compare.hidden = !comparing();
  ui.details.hidden = comparing() || !state.answer;
  ask();
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
