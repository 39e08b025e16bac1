// One operation of the API: its options, body, responses, examples, and a form to send it.

import { make } from "../lib/dom.js";
import { code, pretty, prose, spans, table } from "./markup.js";
import { limits, refName, typeOf } from "./schema.js";
import { requestForm } from "./request-form.js";

export function operationArticle(contract, { path, verb, operation }) {
  const id = operation.operationId;
  const parameters = (operation.parameters ?? []).map((one) => contract.resolve(one));
  const form = requestForm(contract, { path, verb, operation, parameters });
  return make(
    "article", { id },
    make("h3", {}, make("a", { className: "anchor", href: `#${id}` }, operation.summary)),
    make(
      "p", { className: "route" },
      make("span", { className: `verb ${verb}` }, verb.toUpperCase()), path,
    ),
    make("div", { className: "text" }, prose(operation.description)),
    optionSection(contract, operation, parameters),
    bodySection(operation),
    make("h4", {}, "Responses"),
    responseTable(contract, operation.responses),
    examples(contract, operation),
    make("details", { className: "try-it" }, make("summary", {}, "Try it"), form),
  );
}

function optionSection(contract, operation, parameters) {
  const options = parameters.filter((one) => one.in !== "header");
  if (options.length === 0) return null;
  const title = operation.requestBody
    ? "Options: query parameters, form fields or JSON members"
    : "Parameters";
  const rows = options.map((one) => [
    make("code", {}, one.name),
    [...prose(one.description), limits(contract, one.schema)],
  ]);
  return [make("h4", {}, title), table(["Name", "Description"], rows)];
}

const BODIES = {
  "multipart/form-data": "A form with the image file in the field `image`. Options can be fields.",
  "application/json": "The image file as base64 in the member `image`. Options can be members.",
  "image/*": "The image file itself. Options go in the query.",
  "application/octet-stream": "The image file itself. Options go in the query.",
};

function bodySection({ requestBody }) {
  if (!requestBody) return null;
  const rows = Object.keys(requestBody.content).map((type) => (
    [make("code", {}, type), spans(BODIES[type] ?? "")]
  ));
  return [make("h4", {}, "Body"), table(["Content-Type", "Content"], rows)];
}

function responseTable(contract, responses) {
  return table(["Status", "Content"], Object.entries(responses).map(([status, reference]) => {
    const response = contract.resolve(reference);
    const className = `status${status >= "400" ? " bad" : ""}`;
    return [make("span", { className }, status), responseContent(contract, response)];
  }));
}

function responseContent(contract, response) {
  const content = response.content ?? {};
  const problem = content["application/problem+json"];
  const headers = Object.keys(response.headers ?? {}).map((name) => make("code", {}, name));
  const types = Object.entries(content).flatMap(([type, { schema }]) => [
    make("code", {}, type), ...(refName(schema) ? typeOf(contract, schema) : []),
  ]);
  const problemLink = (slug) => make("a", { href: `#problem-${slug}` }, slug);
  const values = problem ? Object.keys(problem.examples).map(problemLink) : types;
  return [
    ...prose(response.description),
    make("div", { className: "values" }, values),
    headers.length && !problem
      ? make("div", { className: "values" }, "headers ", headers)
      : null,
  ];
}

function examples(contract, operation) {
  const section = (title, media) => (
    Object.values(media?.examples ?? {}).map((one) => {
      const { summary, value } = contract.resolve(one);
      return make("details", {}, make("summary", {}, `${title}: ${summary}`), code(pretty(value)));
    })
  );
  const ok = contract.resolve(operation.responses["200"]);
  return [
    ...section("Example request", operation.requestBody?.content["application/json"]),
    ...section("Example response", ok?.content?.["application/json"]),
  ];
}
