// The models of this server on the documentation page: what each is for, and what its folder says
// to everybody who sees a result, such as the only pictures that it knows.

import { keyHeaders } from "../lib/api.js";
import { make } from "../lib/dom.js";
import { sentence } from "../lib/text.js";
import { spans, table } from "./markup.js";

/** The list of models, or null if the server does not give it without a key. */
export async function loadModels() {
  const response = await fetch("/v1/models", { headers: keyHeaders() }).catch(() => null);
  return response?.ok ? response.json() : null;
}

/** A section about the models; the notice of the default one stands above the list. */
export function modelsSection({ default: id, details }) {
  const served = details.find((model) => model.id === id);
  const rows = details.map((model) => [
    [
      make("code", {}, model.id),
      model.id === id ? make("div", { className: "soft" }, "default") : null,
    ],
    model.title ?? "",
    [
      make("p", {}, model.domain ?? "not said"),
      model.notice ? make("p", {}, make("strong", {}, sentence(model.notice))) : null,
    ],
  ]);
  return make(
    "section", { id: "models-here" },
    make("h2", {}, "Models of this server"),
    make("div", { className: "text" }, make(
      "p", {}, spans("A model knows only pictures of the kind that it was trained on. "
        + "`GET /v1/models` lists them; a request without `model` goes to the default."),
    )),
    served?.notice
      ? make("p", { className: "notice" }, `${served.title ?? id}: ${sentence(served.notice)}`)
      : null,
    table(["Model", "Name", "Pictures that it is for"], rows),
  );
}
