// The other options of a request. One that cannot work with the current method is disabled, shows
// no value and says why; the value comes back with a method that takes it.

import { SPECS } from "../lib/method-specs.js";
import { comparedMethods, modeOf } from "../state/plan.js";
import {
  contrastReason, conventionReason, negateReason, scoreReason, signedReason,
} from "../state/support.js";
import { ClassPicker } from "./class-picker.js";
import { FieldErrors } from "./field-errors.js";

export function optionsView({ store, ui, actions }) {
  const contrast = contrastField(store, ui, actions);
  const on = (control, read) => control.addEventListener("change", () => {
    actions.setOption(read(control));
  });
  on(ui.convention, ({ value }) => ({ convention: value }));
  on(ui.score, ({ value }) => ({ score: value }));
  on(ui.negate, ({ checked }) => ({ negate: checked }));
  on(ui.signed, ({ checked }) => ({ signed: checked }));
  on(ui.maxChannels, ({ value }) => ({ maxChannels: value }));

  store.watch(["model", "settings"], (state) => {
    const { model, settings } = state;
    if (!model) return;
    // In a comparison an option works if it works for one of the methods.
    const isComparison = modeOf(settings) === "methods";
    const methods = isComparison ? comparedMethods(state) : [settings.method];
    const reason = (reasonOf) => {
      const reasons = methods.map((method) => reasonOf(method, settings));
      return reasons.every(Boolean) ? reasons[0] : "";
    };
    for (const option of ui.convention.options) {
      const why = reason((method) => conventionReason(method, option.value));
      option.disabled = Boolean(why);
      option.title = why;
    }
    const isUsual = reason((method) => conventionReason(method, settings.convention));
    ui.convention.value = isUsual ? "paper" : settings.convention;
    for (const option of ui.score.options) {
      option.disabled = Boolean(option.value && scoreReason(model, option.value));
    }
    explain(ui.scoreWhy, ["logit", "probability"].map((score) => scoreReason(model, score))
      .find(Boolean) ?? "");
    ui.score.value = scoreReason(model, settings.score) ? "" : settings.score;

    const contrastWhy = reason(contrastReason);
    lock(ui.contrast, ui.contrastWhy, contrastWhy);
    contrast.show(contrastWhy ? "" : settings.contrast);
    const negateWhy = reason(negateReason);
    lock(ui.negate, ui.negateWhy, negateWhy);
    ui.negate.checked = settings.negate && !negateWhy;
    const signedWhy = reason(signedReason);
    lock(ui.signed, ui.signedWhy, signedWhy);
    ui.signed.checked = settings.signed && !signedWhy;
    const takes = (method) => SPECS[method]?.parameters.includes("max_channels");
    lock(ui.maxChannels, ui.maxChannelsWhy, methods.some(takes) ? "" : "Only for Score-CAM.");
    ui.maxChannels.value = settings.maxChannels;
  });
}

/**
 * The field for the contrast class: the search of "Find a class". A text that names no class is
 * told at the field, without a request, so that the map stays.
 */
function contrastField(store, ui, actions) {
  const errors = new FieldErrors({ contrast: ui.contrast });
  let shown = null;
  const picker = new ClassPicker(ui.contrast, (index) => (
    actions.setOption({ contrast: index === null ? "" : String(index) })
  ), {
    emptyText: "No contrast",
    onUnknown: (text) => {
      errors.clear();
      if (text === null) return;
      const detail = `There is no class “${text}”. Type a part of a name to search for one.`;
      errors.show({ option: "contrast", detail });
      ui.status.textContent = detail;
    },
  });
  // What is being typed may be right by now; what is picked or left is judged anew.
  ui.contrast.addEventListener("input", () => errors.clear());
  store.watch(["model"], ({ model }) => {
    if (!model) return;
    errors.clear();
    shown = null;
    picker.setClasses(model.labels, model.output.classes);
  });
  store.watch(["scores"], ({ scores }) => picker.setScores(scores));
  return {
    /** Shows the setting. One that has not changed leaves a text that is to be corrected. */
    show(setting) {
      if (setting === shown) return;
      shown = setting;
      errors.clear();
      picker.show(setting === "" ? [] : [Number(setting)]);
    },
  };
}

function lock(control, why, reason) {
  control.disabled = Boolean(reason);
  if (reason) control.setAttribute("aria-describedby", why.id);
  else if (control.getAttribute("aria-describedby") === why.id) {
    control.removeAttribute("aria-describedby");
  }
  explain(why, reason);
}

function explain(why, reason) {
  why.hidden = !reason;
  why.textContent = reason;
}
