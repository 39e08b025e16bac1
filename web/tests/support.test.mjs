// What the page disables is what the service refuses, method by method. The stub's rules are too
// simple for that, so this needs the real service.

import assert from "node:assert/strict";
import { test } from "node:test";
import { DEFAULT_SETTINGS } from "../js/state/initial.js";
import {
  budgetReason, contrastReason, conventionReason, negateReason, scoreReason, signedReason,
} from "../js/state/support.js";
import { image } from "./browser.mjs";

const base = process.env.CAMLENS_URL?.replace(/\/$/, "");
const skip = base ? false : "CAMLENS_URL names no service";
const CONVENTIONS = ["paper", "article", "pytorch-grad-cam", "openvino-xai", "torch-cam"];

/**
 * The status of a request. The service checks options before it begins a stream, so the request is
 * cancelled once its status is known.
 */
async function statusOf(options) {
  const form = new FormData();
  form.append("image", new Blob([image.buffer]), image.name);
  const given = Object.entries(options).filter(([, value]) => value !== "" && value !== null);
  for (const [name, value] of given) form.append(name, value);
  const cancelled = new AbortController();
  const response = await fetch(`${base}/v1/explain`, {
    method: "POST", body: form, headers: { accept: "text/event-stream" },
    signal: cancelled.signal,
  });
  cancelled.abort();
  return response.status;
}

test("the page disables what the service refuses, no more and no less", { skip }, async () => {
  const { default: id } = await (await fetch(`${base}/v1/models`)).json();
  const model = await (await fetch(`${base}/v1/models/${id}`)).json();
  const methods = Object.keys(model.methods).filter((method) => model.methods[method].available);
  const cases = [];
  for (const method of methods) {
    const known = CONVENTIONS.filter((convention) => !conventionReason(method, convention));
    for (const convention of CONVENTIONS) {
      cases.push([method, { convention }, conventionReason(method, convention)]);
    }
    for (const convention of known) {
      for (const score of ["", "logit", "probability"]) {
        const settings = { ...DEFAULT_SETTINGS, convention, score };
        const add = (options, reason) => (
          cases.push([method, { convention, score, ...options }, reason])
        );
        add({}, score && scoreReason(model, score));
        add({ signed: "true" }, signedReason(method, settings));
        add({ negate: "true" }, negateReason(method, settings));
      }
      const contrasted = { ...DEFAULT_SETTINGS, convention, contrast: "1" };
      cases.push([method, { convention, contrast: "1" }, contrastReason(method)]);
      if (!contrastReason(method)) {
        const reason = signedReason(method, contrasted);
        cases.push([method, { convention, contrast: "1", signed: "true" }, reason]);
      }
      if (method === "scorecam") {
        cases.push([method, { convention, budget: "8" }, budgetReason({ convention })]);
      }
    }
  }
  const wrong = [];
  for (const [method, options, reason] of cases) {
    const status = await statusOf({ model: id, method, ...options });
    const isRefused = [400, 422].includes(status);
    if (isRefused !== Boolean(reason)) {
      wrong.push(`${method} ${JSON.stringify(options)}: ${status}, page: ${reason || "possible"}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(cases.length > 100, `${cases.length} cases`);
});
