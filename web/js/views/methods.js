// The methods: three at once, the others in groups, each with a line on what it does and its cost.
// One is selected, or several are ticked while methods are compared.

import { make, renderSegments } from "../lib/dom.js";
import {
  GROUPS, costText, guideLink, methodLine, methodName, passesOf,
} from "../lib/methods.js";
import { duration } from "../lib/text.js";
import { comparedMethods, modeOf } from "../state/plan.js";
import { budgetReason, methodReason, sameMaps, selectedLayers } from "../state/support.js";

/** From this duration on, the cost of a method is told in seconds, too. */
const LONG_MS = 1500;

export function methodsView({ store, ui, actions, estimate }) {
  let isOpen = false;
  store.watch(["model", "settings", "predictions"], (state) => {
    if (!state.model) return;
    const focused = ui.methods.contains(document.activeElement)
      ? document.activeElement.id : null;
    const context = contextOf(state, actions, estimate);
    const [[, first], ...others] = groupsOf(state.model);
    const rows = (methods) => methods.map((method) => methodRow(method, context));
    const selected = context.isComparison ? [] : [state.settings.method];
    const isHidden = others.flatMap(([, methods]) => methods)
      .some((method) => selected.includes(method));
    const more = others.length === 0 ? null : make(
      "details", {
        className: "more-methods", open: isOpen || isHidden,
        ontoggle: () => { isOpen = more.open; },
      },
      make("summary", { id: "more-methods" }, moreText(others)),
      others.map(([title, methods]) => [make("h3", {}, title), rows(methods)]),
    );
    ui.methods.replaceChildren(...rows(first), ...(more ? [more] : []));
    if (focused) document.getElementById(focused)?.focus();
  });
  store.watch(["settings", "model"], (state) => {
    const text = agreementText(state);
    ui.agreement.hidden = !text;
    ui.agreement.textContent = text;
  });
}

function moreText(groups) {
  return `${groups.flatMap(([, methods]) => methods).length} more methods`;
}

function contextOf(state, actions, estimate) {
  const isComparison = modeOf(state.settings) === "methods";
  const chosen = isComparison ? comparedMethods(state) : [state.settings.method];
  const layers = selectedLayers(state);
  return { state, actions, estimate, isComparison, chosen, layers };
}

/** The groups with the methods that the server has; those that the page does not know come last. */
function groupsOf({ methods }) {
  const known = GROUPS.flatMap(([, names]) => names);
  const unknown = Object.keys(methods).filter((method) => !known.includes(method));
  return [...GROUPS, ["Others", unknown]]
    .map(([title, names]) => [title, names.filter((method) => method in methods)])
    .filter(([title, names]) => title === "" || names.length > 0);
}

function methodRow(method, context) {
  const { state, actions, isComparison, chosen, layers } = context;
  const reason = methodReason(state.model, method, layers);
  const isChosen = chosen.includes(method);
  const isOnlyOne = isComparison && isChosen && chosen.length === 1;
  const input = make("input", {
    type: isComparison ? "checkbox" : "radio", name: "method", value: method,
    id: `method-${method}`, checked: isChosen, disabled: Boolean(reason),
    "aria-describedby": `about-${method}`,
    "aria-disabled": isOnlyOne ? "true" : null,
    onclick: (event) => { if (isOnlyOne) event.preventDefault(); },
    onchange: () => {
      if (isComparison) actions.toggleMethod(method, input.checked);
      else actions.selectMethod(method);
    },
  });
  const title = methodName(method);
  return make(
    "div", { className: "method", "data-method": method },
    make("label", { for: input.id }, input, make("span", { className: "method-name" }, title)),
    make("a", {
      href: guideLink(method), className: "guide", "aria-label": `${title} in the guide`,
    }, "Guide"),
    make("p", { className: reason ? "why" : "method-line", id: `about-${method}` },
      reason || methodLine(method),
      reason ? null : make("span", { className: "cost" }, costOf(method, context))),
    method === "scorecam" && isChosen && !reason ? budgetChoice(context) : null,
  );
}

function costOf(method, { state, layers, estimate }) {
  const settings = { ...state.settings, budget: null };
  const text = costText(method, layers[0].shape, settings);
  const { kind } = passesOf(method, layers[0].shape, settings);
  const ms = estimate.ms(state.model.id, method, layers, settings);
  return kind !== "masked" || ms < LONG_MS ? text : `${text}, about ${duration(ms)}`;
}

/** Score-CAM: an estimate in about two seconds, or all passes. */
function budgetChoice({ state, actions, estimate, layers }) {
  const { model, settings } = state;
  const container = make("div", {
    className: "segments wide", role: "radiogroup", "aria-label": "Score-CAM’s passes",
    id: "budget",
  });
  const { count } = passesOf("scorecam", layers[0].shape, { ...settings, budget: null });
  const reason = budgetReason(settings);
  const ms = estimate.ms(model.id, "scorecam", layers, { ...settings, budget: null });
  const exact = ms > 0 ? `Exact, about ${duration(ms)}` : `Exact, ${count} passes`;
  renderSegments(container, "budget", [
    { value: "quick", text: "2 s estimate", reason },
    { value: "exact", text: exact },
  ], settings.budget === null || reason ? "exact" : "quick", (value) => {
    actions.setEstimated(value === "quick");
  });
  return container;
}

/** Says which methods have the same map on this layer. */
function agreementText(state) {
  if (!state.model) return "";
  const methods = modeOf(state.settings) === "methods"
    ? comparedMethods(state) : [state.settings.method];
  const layers = selectedLayers(state);
  const where = layers.length > 1 ? "these layers" : "this layer";
  return sameMaps(layers, methods).map((group) => (
    `${listText(group.map(methodName))} give the same map on ${where}.`
  )).join(" ");
}

function listText(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

