// The settings as the query of the page's address, and back. The picture is never part of it, and
// values that are the defaults are left out.

import { SPECS } from "../lib/method-specs.js";
import { DIVERGING, SEQUENTIAL } from "../map/colors.js";
import { DEFAULT_DISPLAY, DEFAULT_SETTINGS } from "./initial.js";

const list = { write: (items) => items.join(","), read: (text) => text.split(",") };
const text = { write: String, read: (value) => value };
const flag = { write: () => "true", read: (value) => value === "true" };
const whole = { write: String, read: Number };
/** A value among those that exist; another is left out, so that the default holds. */
const among = (known) => ({ write: String, read: (value) => (known.includes(value) ? value : undefined) });
const share = {
  write: String,
  read: (value) => (Number(value) >= 0 && Number(value) <= 1 ? Number(value) : undefined),
};
const METHODS = Object.keys(SPECS);
const methods = {
  write: list.write,
  read: (value) => {
    const known = list.read(value).filter((name) => METHODS.includes(name));
    return known.length > 0 ? known : undefined;
  },
};
const indices = { write: list.write, read: (value) => list.read(value).map(Number) };

/** Parameter → the member of the settings, and how its value is written. */
const SETTINGS = {
  compare: ["compare", text],
  method: ["method", among(METHODS)],
  methods: ["methods", methods],
  layer: ["layers", list],
  layers: ["comparedLayers", list],
  target: ["targets", indices],
  convention: ["convention", text],
  score: ["score", text],
  contrast: ["contrast", text],
  negate: ["negate", flag],
  signed: ["signed", flag],
  max_channels: ["maxChannels", text],
  budget: ["budget", whole],
};
const DISPLAY = { view: ["view", text], emphasize: ["emphasize", flag] };
const COLORS = {
  colormap: among([...SEQUENTIAL, ...DIVERGING]),
  blend: among(["mix", "add"]),
  weight: share,
};

const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** The query of these settings, with its question mark; empty if all are the defaults. */
export function writeAddress({ model, models, settings, display }) {
  const query = new URLSearchParams();
  if (model && model.id !== models?.default) query.set("model", model.id);
  const write = (table, values, defaults) => {
    for (const [name, [member, form]] of Object.entries(table)) {
      if (!isSame(values[member], defaults[member])) query.set(name, form.write(values[member]));
    }
  };
  write(SETTINGS, settings, DEFAULT_SETTINGS);
  write(DISPLAY, display, DEFAULT_DISPLAY);
  const kind = settings.signed ? "signed" : "unsigned";
  for (const [name, form] of Object.entries(COLORS)) {
    const value = display[kind][name];
    if (value !== DEFAULT_DISPLAY[kind][name]) query.set(name, form.write(value));
  }
  const written = query.toString().replaceAll("%2C", ",");
  return written && `?${written}`;
}

/**
 * The settings in a query: `{ model, settings, display }`. Unknown parameters, and values that do
 * not exist, are ignored.
 */
export function readAddress(search) {
  const query = new URLSearchParams(search);
  const read = (table, defaults) => {
    const values = { ...defaults };
    for (const [name, [member, form]] of Object.entries(table)) {
      const value = query.get(name) ? form.read(query.get(name)) : undefined;
      if (value !== undefined) values[member] = value;
    }
    return values;
  };
  const settings = read(SETTINGS, DEFAULT_SETTINGS);
  const display = read(DISPLAY, DEFAULT_DISPLAY);
  const kind = settings.signed ? "signed" : "unsigned";
  const colors = { ...DEFAULT_DISPLAY[kind] };
  for (const [name, form] of Object.entries(COLORS)) {
    const value = query.get(name) ? form.read(query.get(name)) : undefined;
    if (value !== undefined) colors[name] = value;
  }
  display[kind] = colors;
  return { model: query.get("model"), settings, display };
}
