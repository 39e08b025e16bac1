// The search for a class: exact matches, then beginnings, then words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { searchClasses } from "../js/lib/class-search.js";

const LABELS = [
  "tiger cat", "wildcat", "cat", "catamaran", "house cat, tabby", "dog", "3d cat", "scatter",
];
const search = (text, limit = 9) => (
  searchClasses(text, LABELS.length, (index) => LABELS[index], limit)
);
const found = (text) => search(text).map((index) => LABELS[index]);

test("exact names come first, then beginnings, then words, then the rest", () => {
  assert.deepEqual(found("cat"), [
    "cat", "catamaran", "tiger cat", "house cat, tabby", "3d cat", "wildcat", "scatter",
  ]);
});

test("one of several names of a class is exact, too", () => {
  assert.deepEqual(found("tabby"), ["house cat, tabby"]);
  assert.deepEqual(found("TAB"), ["house cat, tabby"]);
});

test("an index comes before any name", () => {
  assert.deepEqual(found("3"), ["catamaran", "3d cat"]);
});

test("no text gives the first classes, and no match gives none", () => {
  assert.deepEqual(search("", 3), [0, 1, 2]);
  assert.deepEqual(search("zebra"), []);
});
