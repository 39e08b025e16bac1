// Describes JSON schemas. Supports what the contract uses of JSON Schema, and no more.

import { make } from "../lib/dom.js";
import { prose, table } from "./markup.js";

export const refName = (node) => node?.$ref?.split("/").at(-1);

/** A schema's type in a few words. A named object links to its own description. */
export function typeOf(contract, schema) {
  const name = refName(schema);
  const full = contract.resolve(schema);
  if (name && contract.isListed(name, full)) return [make("a", { href: `#schema-${name}` }, name)];
  if (full.const !== undefined) return [make("code", {}, JSON.stringify(full.const))];
  if (full.type === "array") return ["list of ", ...typeOf(contract, full.items ?? {})];
  if (full.oneOf) {
    return full.oneOf.flatMap((one, at) => [at ? " or " : "", ...typeOf(contract, one)]);
  }
  if (full.type === "object" && full.additionalProperties) {
    return ["name → ", ...typeOf(contract, full.additionalProperties)];
  }
  return [[full.type ?? "bytes"].flat().join(" or ")];
}

/** A schema's allowed values, bounds and default; null where it has none. */
export function limits(contract, schema) {
  const { enum: values = [], type, default: value, ...bounds } = contract.resolve(schema);
  const parts = values.map((one) => make("code", {}, String(one)));
  // A type that also allows text, such as `all`, has bounds that say too little.
  const range = Array.isArray(type) ? null : rangeText(bounds);
  if (range) parts.push(range);
  if (value !== undefined) parts.push("default ", make("code", {}, defaultText(value)));
  return parts.length ? make("div", { className: "values" }, parts) : null;
}

/** A default as an option's value: a list has commas between its items. */
export const defaultText = (value) => [value].flat().join(",");

function rangeText({ minimum, exclusiveMinimum, maximum }) {
  const least = minimum ?? exclusiveMinimum;
  if (least === undefined && maximum === undefined) return null;
  if (maximum === undefined) return `from ${least}`;
  return least === undefined ? `up to ${maximum}` : `${least} to ${maximum}`;
}

/** The members of an object. */
export function propertyTable(contract, schema) {
  const { required = [], properties = {} } = contract.resolve(schema);
  const rows = Object.entries(properties).map(([name, property]) => [
    [
      make("code", {}, name),
      required.includes(name) ? null : make("div", { className: "soft" }, "optional"),
    ],
    typeOf(contract, property),
    [...prose(contract.resolve(property).description), limits(contract, property)],
  ]);
  return table(["Member", "Type", "Description"], rows);
}
