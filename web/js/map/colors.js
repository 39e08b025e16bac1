// The server's colour tables, as bytes.

import { TABLES } from "./colormaps.js";

/** Colour tables for maps from −1 to 1: the middle colour, which stands for 0, is pale. */
export const DIVERGING = ["coolwarm", "rdbu"];
/** Colour tables for maps from 0 to 1. */
export const SEQUENTIAL = Object.keys(TABLES).filter((name) => !DIVERGING.includes(name));

const decoded = new Map();

/** The 256 colours of a table as 768 bytes, `[256, 3]` in RGB. */
export function colorTable(name) {
  if (!decoded.has(name)) {
    const pairs = TABLES[name].match(/[0-9a-f]{2}/g);
    decoded.set(name, Uint8Array.from(pairs, (pair) => parseInt(pair, 16)));
  }
  return decoded.get(name);
}
