// The layers: one, or several whose maps are averaged; while layers are compared, a list to tick.

import { make } from "../lib/dom.js";
import { comparedLayers, modeOf } from "../state/plan.js";
import { layerName, selectedLayers } from "../state/support.js";

const area = ({ shape: [, rows, columns] }) => rows * columns;

function layerText(layer) {
  const [channels, rows, columns] = layer.shape;
  return `${layerName(layer)} (${columns} × ${rows}, ${channels} channels)`;
}

export function layersView({ store, ui, actions }) {
  const names = () => selectedLayers(store.state).map(layerName);
  const setLayer = (at, name) => {
    const layers = names();
    layers[at] = name;
    actions.setLayers(layers);
  };
  const remove = (at) => {
    actions.setLayers(names().filter((_, index) => index !== at));
    ui.fuse.focus();
  };
  ui.layer.addEventListener("change", () => setLayer(0, ui.layer.value));
  ui.fuse.addEventListener("click", () => {
    actions.setLayers([...names(), layerName(nextLayer(store.state))]);
    ui.moreLayers.lastElementChild.querySelector("select").focus();
  });
  store.watch(["model", "settings"], (state) => {
    if (!state.model) return;
    const isComparison = modeOf(state.settings) === "layers";
    ui.layerSingle.hidden = isComparison;
    ui.layerChecks.hidden = !isComparison;
    if (isComparison) listLayers(ui.layerChecks, state, actions);
    const selected = selectedLayers(state);
    fill(ui.layer, state.model, layerName(selected[0]));
    ui.layer.disabled = false;
    renderMore(ui, state.model, selected.slice(1), setLayer, remove);
    ui.layerHint.hidden = selected.length < 2;
    ui.fuse.disabled = state.model.layers.length < 2;
    ui.fuse.title = ui.fuse.disabled ? "This model has only one layer." : "";
  });
}

/**
 * The nearest earlier layer with a finer map: layers of one size have similar maps. Falls back to
 * any unused layer.
 */
function nextLayer(state) {
  const { layers } = state.model;
  const selected = selectedLayers(state);
  const last = selected.at(-1);
  const unused = layers.filter((layer) => !selected.includes(layer));
  const finer = layers.slice(0, layers.indexOf(last))
    .filter((layer) => unused.includes(layer) && area(layer) > area(last));
  return finer.at(-1) ?? unused.at(-1) ?? last;
}

function fill(select, { layers, id }, name) {
  if (select.dataset.model !== id) {
    select.dataset.model = id;
    select.replaceChildren(...layers.map((layer) => (
      make("option", { value: layerName(layer) }, layerText(layer))
    )));
  }
  select.value = name;
}

/** The selects of the second layer and those after it. Those that exist keep the focus. */
function renderMore(ui, model, layers, setLayer, remove) {
  const { moreLayers } = ui;
  while (moreLayers.children.length > layers.length) moreLayers.lastElementChild.remove();
  while (moreLayers.children.length < layers.length) {
    const at = moreLayers.children.length + 1;
    const select = make("select", {
      "aria-label": `Layer ${at + 1}`, onchange: () => setLayer(at, select.value),
    });
    moreLayers.append(make("div", { className: "row" }, select, make("button", {
      type: "button", className: "icon", "aria-label": `Remove layer ${at + 1}`, title: "Remove",
      onclick: () => remove(at),
    }, "×")));
  }
  for (const [at, layer] of layers.entries()) {
    fill(moreLayers.children[at].firstElementChild, model, layerName(layer));
  }
}

/** The layers to compare. A layer on which the method does not work is disabled and says why. */
function listLayers(container, state, actions) {
  const { model, settings } = state;
  const chosen = comparedLayers(state);
  const focused = container.contains(document.activeElement) ? document.activeElement.id : null;
  container.replaceChildren(...[...model.layers].reverse().map((layer, at) => {
    const name = layerName(layer);
    const isChosen = chosen.includes(name);
    const isOnlyOne = isChosen && chosen.length === 1;
    const isPossible = layer.methods.includes(settings.method);
    const box = make("input", {
      type: "checkbox", id: `layer-check-${at}`, checked: isChosen,
      disabled: !isPossible && !isChosen, value: name,
      "aria-disabled": isOnlyOne ? "true" : null,
      onclick: (event) => { if (isOnlyOne) event.preventDefault(); },
      onchange: () => actions.toggleLayer(name, box.checked),
    });
    const title = isPossible ? null : layer.reason ?? "The method does not work on this layer.";
    return make("label", { className: "check", title }, box, make("span", {}, layerText(layer)));
  }));
  if (focused) document.getElementById(focused)?.focus();
}
