// Entry point of the documentation page: renders /openapi.json as one page with a table of
// contents. It supports what this server's document uses of OpenAPI, and no more.

import { Contract } from "./docs/contract.js";
import { code, pretty, prose } from "./docs/markup.js";
import { loadModels, modelsSection } from "./docs/models.js";
import { operationArticle } from "./docs/operation.js";
import { propertyTable } from "./docs/schema.js";
import { setApiKey } from "./lib/api.js";
import { make } from "./lib/dom.js";
import { apiKey } from "./state/session.js";

// The key that the page was given in this tab, for the forms.
setApiKey(apiKey());
const main = document.querySelector("#main");
const contents = document.querySelector("#contents");

function problemArticle([name, problem]) {
  const { value } = problem;
  const example = value.detail
    ? make("details", {}, make("summary", {}, "Example"), code(pretty(value)))
    : null;
  return make(
    "article", { id: name },
    make("h3", {}, make("a", { className: "anchor", href: `#${name}` }, problem.summary)),
    make(
      "p", { className: "route" },
      make("span", { className: "status bad" }, String(value.status)), value.type,
    ),
    make("div", { className: "text" }, prose(problem.description)),
    example,
  );
}

function schemaArticle(contract, [name, schema]) {
  const id = `schema-${name}`;
  return make(
    "article", { id },
    make("h3", {}, make("a", { className: "anchor", href: `#${id}` }, name)),
    make("div", { className: "text" }, prose(schema.description)),
    propertyTable(contract, schema),
  );
}

function section(title, introduction, articles) {
  const text = make("div", { className: "text" }, prose(introduction));
  return make("section", {}, make("h2", {}, title), text, articles);
}

function contentsOf(title, links) {
  return make(
    "div", {}, make("h2", {}, title), links.map(([href, text]) => make("a", { href }, text)),
  );
}

function render(contract, models) {
  const { info, tags } = contract.document;
  const tagged = (name) => (
    contract.operations.filter(({ operation }) => operation.tags[0] === name)
  );
  main.replaceChildren(
    make("h1", {}, `${info.title} ${info.version}`),
    make("p", { className: "soft" }, info.summary),
    make("div", { className: "text" }, make("p", {}), prose(info.description)),
    ...(models ? [modelsSection(models)] : []),
    ...tags.map(({ name, description }) => section(
      name[0].toUpperCase() + name.slice(1), description,
      tagged(name).map((one) => operationArticle(contract, one)),
    )),
    section(
      "Problems",
      "Every error is one of these. The last part of its `type` is stable across versions.",
      contract.problems.map(problemArticle),
    ),
    section(
      "Schemas", "The members of the JSON responses.",
      contract.responseSchemas.map((one) => schemaArticle(contract, one)),
    ),
  );
  const problemLink = ([name]) => [`#${name}`, name.replace("problem-", "")];
  const schemaLink = ([name]) => [`#schema-${name}`, name];
  const operationLink = ({ operation: { operationId, summary } }) => [`#${operationId}`, summary];
  contents.replaceChildren(
    ...(models ? [contentsOf("This server", [["#models-here", "Its models"]])] : []),
    ...tags.map(({ name }) => contentsOf(name, tagged(name).map(operationLink))),
    contentsOf("Problems", contract.problems.map(problemLink)),
    contentsOf("Schemas", contract.responseSchemas.map(schemaLink)),
  );
  scrollToAnchor();
}

/** Repeats the navigation to the URL's anchor, whose target did not exist at page load. */
function scrollToAnchor() {
  const { hash } = location;
  if (!hash) return;
  history.replaceState(null, "", location.pathname);
  location.hash = hash;
}

try {
  const [contract, models] = await Promise.all([Contract.load(), loadModels()]);
  render(contract, models);
} catch (error) {
  console.error(error);
  main.replaceChildren(make(
    "p", { className: "notice", role: "alert" },
    `The API description could not be loaded: ${error.message}. `,
    make("a", { href: "/openapi.yaml" }, "openapi.yaml"), " has the same content as text.",
  ));
}
