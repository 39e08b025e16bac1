// Draws /openapi.json: endpoints with a form to try each, options, answers, problems.
//
// It knows as much of OpenAPI as this server's own document uses, and no more.

import { curlFile, shellWord } from "./lib/api.js";
import { copyFrom, make, save } from "./lib/dom.js";

const main = document.querySelector("#main");
const contents = document.querySelector("#contents");
let contract = null;

/** Follows a `$ref`. */
function resolve(node) {
  if (!node?.$ref) return node;
  const found = node.$ref.slice(2).split("/").reduce((at, key) => at[key.replaceAll("~1", "/").replaceAll("~0", "~")], contract);
  const { $ref, ...beside } = node;
  return { ...resolve(found), ...beside };
}

const refName = (node) => node?.$ref?.split("/").at(-1);

// ---------------------------------------------------------------- text

/** The few marks of Markdown that the document uses: `code`, **bold**, and blank lines between paragraphs. */
function prose(text = "") {
  return text.trim().split(/\n\s*\n/).map((paragraph) => make("p", {}, spans(paragraph)));
}

function spans(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter(Boolean).map((part) => {
    if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
    if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
    return part;
  });
}

const pretty = (value) => JSON.stringify(value, null, 2)
  // Arrays of numbers or words read better on one line.
  .replace(/\[[^[\]{}]*\]/g, (list) => list.replace(/\s+/g, " "));

function code(text, className = "") {
  return make("pre", { className, tabIndex: 0 }, make("code", {}, text));
}

// ---------------------------------------------------------------- schemas

/** A schema in a few words, with links to the ones that have names. */
function typeOf(schema) {
  const name = refName(schema);
  const full = resolve(schema);
  if (name && full.type === "object") return [make("a", { href: `#schema-${name}` }, name)];
  if (full.const !== undefined) return [make("code", {}, JSON.stringify(full.const))];
  if (full.type === "array") return ["list of ", ...typeOf(full.items ?? {})];
  if (full.oneOf) return full.oneOf.flatMap((one, at) => [at ? " or " : "", ...typeOf(one)]);
  if (full.type === "object" && full.additionalProperties) return ["name → ", ...typeOf(full.additionalProperties)];
  return [[full.type ?? "bytes"].flat().join(" or ")];
}

/** What is allowed, and what holds when nothing is said. */
function limits(schema) {
  const full = resolve(schema);
  const parts = (full.enum ?? []).map((value) => make("code", {}, String(value)));
  const { minimum, maximum, exclusiveMinimum, default: usual } = full;
  const from = minimum ?? exclusiveMinimum;
  // Bounds hold for numbers; where a text is allowed too they say too little to be shown.
  if (!Array.isArray(full.type) && (from !== undefined || maximum !== undefined)) {
    parts.push(maximum === undefined ? `from ${from}` : from === undefined ? `up to ${maximum}` : `${from} to ${maximum}`);
  }
  if (usual !== undefined) parts.push("default ", make("code", {}, [usual].flat().join(",")));
  return parts.length ? make("div", { className: "values" }, parts) : null;
}

function table(head, rows) {
  return make("div", { className: "scroll" }, make(
    "table", {},
    make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, rows.map((cells) => make("tr", {}, cells.map((cell) => make("td", {}, cell))))),
  ));
}

function propertyTable(schema) {
  const full = resolve(schema);
  const required = full.required ?? [];
  return table(["Member", "Type", "Meaning"], Object.entries(full.properties ?? {}).map(([name, property]) => [
    [make("code", {}, name), required.includes(name) ? null : make("div", { className: "soft" }, "may be missing")],
    typeOf(property),
    [...prose(resolve(property).description), limits(property)],
  ]));
}

// ---------------------------------------------------------------- one endpoint

function endpoint(path, verb, operation) {
  const parameters = (operation.parameters ?? []).map(resolve);
  const article = make(
    "article", { id: operation.operationId },
    make("h3", {}, make("a", { className: "anchor", href: `#${operation.operationId}` }, operation.summary)),
    make("p", { className: "route" }, make("span", { className: `verb ${verb}` }, verb.toUpperCase()), path),
    make("div", { className: "text" }, prose(operation.description)),
  );
  const options = parameters.filter((one) => one.in !== "header");
  if (options.length) {
    article.append(
      make("h4", {}, operation.requestBody ? "Options: in the query, as form fields or as JSON members" : "Parameters"),
      table(["Name", "Meaning"], options.map((one) => [make("code", {}, one.name), [...prose(one.description), limits(one.schema)]])),
    );
  }
  if (operation.requestBody) article.append(make("h4", {}, "Body"), bodyTable(operation.requestBody));
  article.append(make("h4", {}, "Answers"), answerTable(operation.responses), ...examples(operation));
  article.append(make("details", { className: "try-it" }, make("summary", {}, "Try it"), tryForm(path, verb, operation, parameters)));
  return article;
}

const BODIES = {
  "multipart/form-data": "A form with the file in the field `image`; options may be fields too.",
  "application/json": "The file as base64 in `image`; options are members beside it.",
  "image/*": "The file itself; options go in the query.",
  "application/octet-stream": "The file itself; options go in the query.",
};

function bodyTable(body) {
  return table(["Content-Type", "What it holds"], Object.keys(body.content).map((type) => [make("code", {}, type), spans(BODIES[type] ?? "")]));
}

function answerTable(responses) {
  return table(["Status", "What it holds"], Object.entries(responses).map(([status, reference]) => {
    const response = resolve(reference);
    const forms = Object.entries(response.content ?? {}).flatMap(([type, { schema }]) => [
      make("code", {}, type), ...(refName(schema) ? typeOf(schema) : []),
    ]);
    const problem = response.content?.["application/problem+json"];
    const headers = Object.keys(response.headers ?? {});
    return [
      make("span", { className: `status${status >= "400" ? " bad" : ""}` }, status),
      [
        ...prose(response.description),
        make("div", { className: "values" }, problem
          ? Object.keys(problem.examples).map((slug) => make("a", { href: `#problem-${slug}` }, slug))
          : forms),
        headers.length && !problem ? make("div", { className: "values" }, "headers ", headers.map((name) => make("code", {}, name))) : null,
      ],
    ];
  }));
}

function examples(operation) {
  const shown = [];
  const add = (title, media) => {
    for (const { summary, value } of Object.values(media?.examples ?? {}).map(resolve)) {
      shown.push(make("details", {}, make("summary", {}, `${title}: ${summary}`), code(pretty(value))));
    }
  };
  add("Example request", operation.requestBody?.content["application/json"]);
  add("Example answer", resolve(operation.responses["200"])?.content?.["application/json"]);
  return shown;
}

// ---------------------------------------------------------------- trying it

function control(id, schema) {
  const full = resolve(schema);
  const usual = full.default === undefined ? "" : [full.default].flat().join(",");
  const choices = full.enum ?? (full.type === "boolean" ? ["true", "false"] : null);
  if (choices) {
    return make("select", { id }, make("option", { value: "" }, usual ? `${usual} (default)` : "(not given)"),
      choices.filter((value) => String(value) !== usual).map((value) => make("option", { value }, String(value))));
  }
  const number = ["integer", "number"].includes(full.type);
  return make("input", {
    id, type: number ? "number" : "text", placeholder: usual, autocomplete: "off",
    ...(number ? { min: full.minimum ?? "", max: full.maximum ?? "", step: full.type === "integer" ? 1 : "any" } : {}),
  });
}

function tryForm(path, verb, operation, parameters) {
  const prefix = `try-${operation.operationId}`;
  const fields = parameters.map((one) => {
    const id = `${prefix}-${one.name}`;
    const input = control(id, one.schema);
    if (one.example) input.value = one.example;
    return { ...one, input, row: make("div", { className: "field" }, make("label", { for: id }, one.in === "header" ? `${one.name} (header)` : one.name), input) };
  });
  const file = operation.requestBody ? make("input", { id: `${prefix}-image`, type: "file", accept: "image/*,.tif,.tiff" }) : null;
  const accepts = Object.keys(resolve(operation.responses["200"]).content ?? {});
  const accept = accepts.length > 1 ? make("select", { id: `${prefix}-accept` }, make("option", { value: "" }, "*/*"), accepts.map((type) => make("option", { value: type }, type))) : null;
  const line = make("code");
  const outcome = make("div", { className: "outcome", "aria-live": "polite" });
  const submit = make("button", { className: "primary", type: "submit" }, "Send");
  const cancel = make("button", { type: "button", hidden: true }, "Cancel");

  const address = () => {
    let route = path;
    const query = new URLSearchParams();
    for (const { name, in: place, input } of fields) {
      if (place === "path") route = route.replace(`{${name}}`, encodeURIComponent(input.value || `{${name}}`));
      else if (place === "query" && input.value !== "") query.append(name, input.value);
    }
    return route + (query.size ? `?${query.toString().replaceAll("%2C", ",").replaceAll("'", "%27")}` : "");
  };
  const headers = () => Object.fromEntries([
    ...fields.filter(({ in: place, input }) => place === "header" && input.value !== "").map(({ name, input }) => [name, input.value]),
    ...(accept?.value ? [["accept", accept.value]] : []),
  ]);
  const showLine = () => {
    const parts = ["curl", "-sS", `'${location.origin}${address()}'`];
    for (const [name, value] of Object.entries(headers())) parts.push("-H", shellWord(`${name}: ${value}`));
    if (file) parts.push("-F", curlFile(file.files[0]?.name ?? "picture.png"));
    if (accept?.value === "text/event-stream") parts.push("-N");
    else if (accepts.includes("image/png")) parts.push("-o", "answer");
    line.textContent = parts.join(" ");
  };

  let running = null;
  const form = make(
    "form", { className: "try", onsubmit: async (event) => {
      event.preventDefault();
      running?.abort();
      const mine = (running = new AbortController());
      cancel.hidden = false;
      outcome.replaceChildren(make("p", { className: "soft" }, "Waiting for the answer …"));
      let body;
      if (file) {
        body = new FormData();
        if (file.files[0]) body.append("image", file.files[0]);
      }
      const start = performance.now();
      try {
        const response = await fetch(address(), { method: verb.toUpperCase(), headers: headers(), body, signal: mine.signal });
        const blob = await response.blob();
        outcome.replaceChildren(...await answer(response, blob, performance.now() - start));
      } catch (error) {
        if (running === mine) outcome.replaceChildren(make("p", {}, mine.signal.aborted ? "Stopped." : `No answer: ${error.message}`));
      }
      if (running === mine) cancel.hidden = true;
    } },
    make(
      "div", { className: "grid" },
      file ? make("div", { className: "field wide" }, make("label", { for: file.id }, "image"), file) : null,
      fields.map(({ row }) => row),
      accept ? make("div", { className: "field" }, make("label", { for: accept.id }, "Accept (header)"), accept) : null,
    ),
    make("div", { className: "actions" }, submit, cancel),
    make("div", { className: "curl" },
      make("div", { className: "curl-head" }, make("span", {}, "The same with curl"), make("button", { type: "button", className: "quiet", onclick: (event) => copyFrom(line, event.target) }, "Copy")),
      make("pre", { className: "wrap", tabIndex: 0 }, line)),
    outcome,
  );
  cancel.addEventListener("click", () => running?.abort());
  form.addEventListener("input", showLine);
  showLine();
  return form;
}

const MOST_TEXT = 20_000;

async function answer(response, blob, ms) {
  const type = response.headers.get("content-type") ?? "";
  const parts = [
    make("p", {}, make("span", { className: `status${response.ok ? "" : " bad"}` }, String(response.status)), ` in ${Math.round(ms)} ms, ${blob.size.toLocaleString("en")} bytes`),
    code([...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n"), "wrap"),
  ];
  if (type.startsWith("image/")) {
    const image = make("img", { src: URL.createObjectURL(blob), alt: "The picture in the answer" });
    parts.push(image);
  } else if (type.includes("json")) {
    parts.push(code(clip(pretty(JSON.parse(await blob.text())))));
  } else if (/^text\/|yaml/.test(type)) {
    parts.push(code(clip(await blob.text())));
  }
  if (response.ok) {
    const ending = { "image/png": "png", "application/x-npy": "npy", "application/json": "json" }[type.split(";")[0]] ?? "txt";
    parts.push(make("p", {}, make("button", { type: "button", className: "quiet", onclick: () => save(blob, `answer.${ending}`) }, "Save the answer")));
  }
  return parts;
}

const clip = (text) => (text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}\n… (${(text.length - MOST_TEXT).toLocaleString("en")} more characters)` : text);

// ---------------------------------------------------------------- the whole page

function problemArticle([name, problem]) {
  const { value } = problem;
  return make(
    "article", { id: name },
    make("h3", {}, make("a", { className: "anchor", href: `#${name}` }, problem.summary)),
    make("p", { className: "route" }, make("span", { className: "status bad" }, String(value.status)), value.type),
    make("div", { className: "text" }, prose(problem.description)),
    value.detail ? make("details", {}, make("summary", {}, "Example"), code(pretty(value))) : null,
  );
}

function section(title, intro, articles) {
  return make("section", {}, make("h2", {}, title), make("div", { className: "text" }, prose(intro)), articles);
}

function contentsOf(title, links) {
  return make("div", {}, make("h2", {}, title), links.map(([href, text]) => make("a", { href }, text)));
}

function draw() {
  const operations = Object.entries(contract.paths).flatMap(([path, verbs]) => Object.entries(verbs).map(([verb, operation]) => ({ path, verb, operation })));
  const problems = Object.entries(contract.components.examples).filter(([name]) => name.startsWith("problem-"));
  const answers = Object.entries(contract.components.schemas).filter(([name, schema]) => schema.type === "object" && schema.properties && !/Options$|^Image(File|Base64)$/.test(name));

  main.replaceChildren(
    make("h1", {}, `${contract.info.title} ${contract.info.version}`),
    make("p", { className: "soft" }, contract.info.summary),
    make("div", { className: "text" }, make("p", {}), prose(contract.info.description)),
    ...contract.tags.map(({ name, description }) => section(
      name[0].toUpperCase() + name.slice(1), description,
      operations.filter(({ operation }) => operation.tags[0] === name).map(({ path, verb, operation }) => endpoint(path, verb, operation)),
    )),
    section("Problems", "Every error is one of these. The last part of its `type` does not change between versions.", problems.map(problemArticle)),
    section("Shapes", "The members of the JSON answers.", answers.map(([name, schema]) => make(
      "article", { id: `schema-${name}` },
      make("h3", {}, make("a", { className: "anchor", href: `#schema-${name}` }, name)),
      make("div", { className: "text" }, prose(schema.description)),
      propertyTable(schema),
    ))),
  );
  contents.replaceChildren(
    ...contract.tags.map(({ name }) => contentsOf(name, operations.filter(({ operation }) => operation.tags[0] === name).map(({ operation }) => [`#${operation.operationId}`, operation.summary]))),
    contentsOf("Problems", problems.map(([name]) => [`#${name}`, name.replace("problem-", "")])),
    contentsOf("Shapes", answers.map(([name]) => [`#schema-${name}`, name])),
  );
  // The anchor in the address was not there when the page was loaded.
  if (location.hash) {
    const wanted = location.hash;
    history.replaceState(null, "", location.pathname);
    location.hash = wanted;
  }
}

try {
  const response = await fetch("/openapi.json");
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  contract = await response.json();
  draw();
} catch (error) {
  console.error(error);
  main.replaceChildren(make("p", { className: "notice", role: "alert" }, `The contract could not be read: ${error.message}. `, make("a", { href: "/openapi.yaml" }, "openapi.yaml"), " says the same as text."));
}
