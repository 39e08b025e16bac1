// The line above the figures: what is shown, and for which class; and the warnings. All of it
// belongs to the maps that are shown, not to controls that have changed since.

import { make } from "../lib/dom.js";
import { methodName } from "../lib/methods.js";
import { amountText, className, emptyMapText, progressText, sentence } from "../lib/text.js";
import { className as classNameIn } from "../state/plan.js";

export function verdictView({ store, ui, actions }) {
  ui.continue.addEventListener("click", () => actions.retry());
  store.watch(["cells", "image", "model"], ({ cells, model }) => {
    const { title, share, about } = headline(cells, model);
    // Before the first map the page has a heading, too, for those who move by headings.
    ui.verdict.textContent = title || "No map yet";
    ui.verdict.classList.toggle("visually-hidden", !title);
    ui.verdictShare.textContent = share;
    ui.verdictAbout.textContent = about;
    document.title = title
      ? `${[title, share].filter(Boolean).join(" ")} · camlens`
      : "camlens: where did the model look?";
    const { text, canContinue } = remark(cells);
    ui.remark.hidden = !text;
    ui.remarkText.textContent = text;
    ui.continue.hidden = !canContinue;
    ui.continue.textContent = cells.some(({ status }) => status === "partial")
      ? "Run to the end" : "Run again";
    listWarnings(ui.warnings, cells, model);
  });
  store.watch(["cells", "run"], ({ cells, run, problem }) => {
    // The alert speaks for itself; below it are the maps from before.
    if (!run && !problem && cells.length > 0 && cells.every(({ status }) => status !== "waiting")) {
      ui.status.textContent = announcement(cells);
    }
  });
}

function headline(cells, model) {
  const withTarget = cells.filter(({ target }) => target);
  if (withTarget.length === 0) return { title: "", share: "", about: "" };
  const [{ target, options }] = withTarget;
  const layer = options.layer.replaceAll(",", ", ");
  const method = methodName(options.method);
  const differs = (read) => new Set(cells.map(read)).size > 1;
  if (differs(({ index }) => index)) {
    return { title: `${cells.length} classes`, share: "", about: `${method} · ${layer}` };
  }
  const parts = [
    differs((cell) => cell.options.method) ? `${cells.length} methods` : method,
    differs((cell) => cell.options.layer) ? `${cells.length} layers` : layer,
  ];
  if (options.contrast) parts.push(`rather than ${classNameIn(model, options.contrast)}`);
  if (options.negate) parts.push("evidence against");
  const estimate = cells.length === 1 && withTarget[0].heatmap?.estimate;
  if (estimate) {
    parts.push(`an estimate, correlated ${estimate.correlation.toFixed(2)} with the exact map`);
  }
  if (options.convention !== "paper") parts.push(options.convention);
  return { title: className(target), share: amountText(target), about: parts.join(" · ") };
}

/** What the visitor must know about an unfinished or empty map. */
function remark(cells) {
  const partial = cells.filter(({ status }) => status === "partial");
  if (partial.length > 0) {
    const [{ progress, title }] = partial;
    const name = cells.length > 1 ? `${title}: a` : "A";
    return {
      text: `${name} partial map, from ${progressText(progress)}.`, canContinue: true,
    };
  }
  if (cells.some(({ status }) => status === "cancelled")) {
    return { text: "Cancelled. The server has stopped working on this.", canContinue: true };
  }
  const [cell] = cells;
  if (cells.length === 1 && cell.status === "done" && cell.heatmap.empty) {
    return { text: emptyMapText({ ...cell.response, ...cell }), canContinue: false };
  }
  return { text: "", canContinue: false };
}

/** The warnings of the model and of the responses that are shown, each once. */
function listWarnings(list, cells, model) {
  const responses = cells.map(({ response }) => response).filter(Boolean);
  const all = [...(model?.warnings ?? []), ...responses.flatMap(({ warnings }) => warnings ?? [])];
  // The remark below the figure already tells why a map is empty.
  const details = all.filter(({ code }) => code !== "empty-map" || cells.length > 1)
    .map(({ detail }) => sentence(detail));
  const unique = [...new Set(details)];
  list.hidden = unique.length === 0;
  list.replaceChildren(...unique.map((text) => make("li", {}, text)));
}

/** What a screen reader hears when maps are finished. */
function announcement(cells) {
  const done = cells.filter(({ status }) => status === "done");
  if (done.length === 0) return remark(cells).text;
  if (cells.length === 1 && done[0].heatmap.empty) return remark(cells).text;
  const names = done.map(({ options, target, index }) => (
    index === undefined
      ? `${methodName(options.method)} for ${className(target)}, ${amountText(target)}`
      : `${className(target)}, ${amountText(target)}`
  ));
  return `${names.join("; ")}: ${done.length > 1 ? "the maps are ready" : "the map is ready"}.`;
}
