// The methods: three at once, the others in groups, each with a line on what it does and its cost.
// One is selected, or several are ticked while methods are compared.

import { make, renderSegments } from "../lib/dom.js";
import {
  GROUPS, guideLink, methodLine, methodName, plannedPasses,
} from "../lib/methods.js";
import { duration, passText } from "../lib/text.js";
import { comparedMethods, modeOf } from "../state/plan.js";
import { budgetReason, methodReason, sameMaps, selectedLayers } from "../state/support.js";

/** From this duration on, the cost of a method is told in seconds, too. */
const LONG_MS = 1500;
/** Score-CAM's estimate takes as many passes as fit into this time, once passes were measured. */
const ESTIMATE_MS = 2000;

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
  const text = passText(plannedPasses(method, layers, settings, settings.targets.length || 1));
  const expected = estimate.of(state.model.id, method, layers, settings);
  return expected.ms < LONG_MS ? text : `${text}, ${timeText(expected)}`;
}

function timeText({ ms, isLimit }) {
  if (ms < 1000) return "under 1 s";
  return `${isLimit ? "up to about" : "about"} ${duration(ms)}`;
}

/** Score-CAM: an estimate from some passes, or all of them. */
function budgetChoice({ state, actions, estimate, layers }) {
  const { model, settings } = state;
  const container = make("div", {
    className: "segments wide", role: "radiogroup", "aria-label": "Score-CAM’s passes",
    id: "budget",
  });
  const reason = budgetReason(settings);
  const budget = settings.budget ?? estimate.budgetFor(model.id, layers, settings, ESTIMATE_MS);
  const costOf = (ofBudget) => {
    const own = { ...settings, budget: ofBudget };
    const expected = estimate.of(model.id, "scorecam", layers, own);
    const { masked } = plannedPasses("scorecam", layers, own);
    if (expected.ms > 0) return timeText(expected);
    return `${ofBudget ? "" : "up to "}${masked.toLocaleString("en")} passes`;
  };
  renderSegments(container, "budget", [
    { value: "quick", text: `Estimate, ${costOf(budget)}`, reason },
    { value: "exact", text: `Exact, ${costOf(null)}` },
  ], settings.budget === null || reason ? "exact" : "quick", (value) => {
    actions.setBudget(value === "quick" ? budget : null);
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

