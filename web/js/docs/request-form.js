// A form that sends an operation and shows the same request as a curl command.

import { keyHeaders } from "../lib/api.js";
import { curlFile, pathWithQuery, shellWord } from "../lib/curl.js";
import { copyFrom, make } from "../lib/dom.js";
import { receivedResponse } from "./received-response.js";
import { defaultText } from "./schema.js";

/** `parameters` are the operation's, with references resolved. */
export function requestForm(contract, { path, verb, operation, parameters }) {
  const prefix = `try-${operation.operationId}`;
  const fields = parameters.map((parameter) => parameterField(contract, prefix, parameter));
  const file = operation.requestBody ? fileInput(prefix) : null;
  const types = Object.keys(contract.resolve(operation.responses["200"]).content ?? {});
  const accept = types.length > 1 ? acceptSelect(prefix, types) : null;

  const url = () => requestPath(path, fields);
  const headers = () => requestHeaders(fields, accept);
  const body = () => (file ? imageForm(file.files[0]) : undefined);
  const init = () => (
    { method: verb.toUpperCase(), headers: { ...keyHeaders(), ...headers() }, body: body() }
  );
  const command = make("code");
  const updateCommand = () => {
    const parts = ["curl", "-sS", `'${location.origin}${url()}'`];
    for (const [name, value] of Object.entries(headers())) {
      parts.push("-H", shellWord(`${name}: ${value}`));
    }
    if (file) parts.push("-F", curlFile(file.files[0]?.name ?? "image.png"));
    if (accept?.value === "text/event-stream") parts.push("-N");
    else if (types.includes("image/png")) parts.push("-o", "response");
    command.textContent = parts.join(" ");
  };

  const cancel = make("button", { type: "button", hidden: true }, "Cancel");
  const outcome = make("div", { className: "outcome", "aria-live": "polite" });
  const form = make(
    "form", { className: "try" },
    make(
      "div", { className: "grid" },
      file ? field("image", file, "field wide") : null,
      fields.map(({ row }) => row),
      accept ? field("Accept (header)", accept) : null,
    ),
    make(
      "div", { className: "actions" },
      make("button", { className: "primary", type: "submit" }, "Send"), cancel,
    ),
    curlBox(command),
    outcome,
  );
  listenForSubmit(form, cancel, outcome, url, init);
  form.addEventListener("input", updateCommand);
  updateCommand();
  return form;
}

/** Sends the form's request. A second submit, or `cancel`, aborts the first. */
function listenForSubmit(form, cancel, outcome, url, init) {
  let running = null;
  cancel.addEventListener("click", () => running?.abort());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    const controller = (running = new AbortController());
    cancel.hidden = false;
    outcome.replaceChildren(make("p", { className: "soft" }, "Waiting for the response …"));
    const start = performance.now();
    try {
      const response = await fetch(url(), { ...init(), signal: controller.signal });
      const blob = await response.blob();
      const ms = performance.now() - start;
      outcome.replaceChildren(...await receivedResponse(response, blob, ms));
    } catch (error) {
      const text = controller.signal.aborted ? "Cancelled." : `No response: ${error.message}`;
      if (running === controller) outcome.replaceChildren(make("p", {}, text));
    }
    if (running === controller) cancel.hidden = true;
  });
}

function field(label, input, className = "field") {
  return make("div", { className }, make("label", { for: input.id }, label), input);
}

/** A parameter with its input and its row in the form. */
function parameterField(contract, prefix, parameter) {
  const input = control(`${prefix}-${parameter.name}`, contract.resolve(parameter.schema));
  if (parameter.example) input.value = parameter.example;
  const label = parameter.in === "header" ? `${parameter.name} (header)` : parameter.name;
  return { ...parameter, input, row: field(label, input) };
}

/** The input for a schema: a list of choices, a number or a text. */
function control(id, schema) {
  const placeholder = schema.default === undefined ? "" : defaultText(schema.default);
  const choices = schema.enum ?? (schema.type === "boolean" ? ["true", "false"] : null);
  if (choices) {
    const others = choices.filter((value) => String(value) !== placeholder);
    return make(
      "select", { id },
      make("option", { value: "" }, placeholder ? `${placeholder} (default)` : "(not set)"),
      others.map((value) => make("option", { value }, String(value))),
    );
  }
  const isNumber = ["integer", "number"].includes(schema.type);
  const { minimum: min = "", maximum: max = "" } = schema;
  return make("input", {
    id, type: isNumber ? "number" : "text", placeholder, autocomplete: "off",
    ...(isNumber ? { min, max, step: schema.type === "integer" ? 1 : "any" } : {}),
  });
}

function fileInput(prefix) {
  return make("input", { id: `${prefix}-image`, type: "file", accept: "image/*,.tif,.tiff" });
}

function acceptSelect(prefix, types) {
  return make(
    "select", { id: `${prefix}-accept` },
    make("option", { value: "" }, "*/*"),
    types.map((type) => make("option", { value: type }, type)),
  );
}

function curlBox(command) {
  const onclick = (event) => copyFrom(command, event.target);
  return make(
    "div", { className: "curl" },
    make(
      "div", { className: "curl-head" },
      make("span", {}, "Equivalent curl command"),
      make("button", { type: "button", className: "quiet", onclick }, "Copy"),
    ),
    make("pre", { className: "wrap", tabIndex: 0 }, command),
  );
}

function requestPath(path, fields) {
  let route = path;
  const query = [];
  for (const { name, in: location, input: { value } } of fields) {
    if (location === "path") {
      route = route.replace(`{${name}}`, encodeURIComponent(value || `{${name}}`));
    } else if (location === "query" && value !== "") query.push([name, value]);
  }
  return pathWithQuery(route, query);
}

function requestHeaders(fields, accept) {
  const set = fields.filter((one) => one.in === "header" && one.input.value !== "");
  return Object.fromEntries([
    ...set.map(({ name, input }) => [name, input.value]),
    ...(accept?.value ? [["accept", accept.value]] : []),
  ]);
}

function imageForm(file) {
  const body = new FormData();
  if (file) body.append("image", file);
  return body;
}
