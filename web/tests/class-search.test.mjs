// The search for a class: exact matches, whole words, beginnings of words, the rest.

import assert from "node:assert/strict";
import { test } from "node:test";
import { exactClass, searchClasses } from "../js/lib/class-search.js";
import { inBrowser } from "./browser.mjs";

const LABELS = [
  "tiger cat", "wildcat", "cat", "catamaran", "house cat, tabby", "dog", "3d cat", "scatter",
  "Cardigan", "cardigan", "car mirror", "sports car", "railcar", "Siamese-cat",
];
const nameOf = (index) => LABELS[index];
const search = (text, limit = 9, probabilities = {}) => (
  searchClasses(text, LABELS.length, nameOf, limit, (index) => probabilities[index])
);
const found = (text, probabilities) => search(text, 9, probabilities).map(nameOf);

test("exact names come first, then whole words, then beginnings of words, then the rest", () => {
  assert.deepEqual(found("cat"), [
    "cat", "tiger cat", "house cat, tabby", "3d cat", "Siamese-cat", "catamaran", "wildcat",
    "scatter",
  ]);
  assert.deepEqual(found("car"), [
    "car mirror", "sports car", "Cardigan", "cardigan", "railcar",
  ]);
});

test("a text of several words is matched by whole words, too", () => {
  assert.deepEqual(found("house c"), ["house cat, tabby"]);
  assert.deepEqual(found("s car"), ["sports car"]);
});

test("of equal matches the more probable class comes first", () => {
  const probabilities = { 0: 0.2, 3: 0.7, 11: 0.1 };
  assert.equal(found("car", probabilities)[0], "sports car");
  assert.deepEqual(found("cat", { ...probabilities, 6: 0.4 }).slice(0, 4), [
    "cat", "3d cat", "tiger cat", "house cat, tabby",
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

test("a class is meant exactly by its index or one of its names, never by a part of one", () => {
  const exact = (text, ...more) => exactClass(text, LABELS.length, nameOf, ...more);
  assert.equal(exact("5"), 5);
  assert.equal(exact(" Tabby "), 4);
  assert.equal(exact("cardigan", (index) => (index === 9 ? 0.5 : undefined)), 9);
  for (const text of ["tab", "foo bar", "99", ""]) assert.equal(exact(text), null, text);
});

inBrowser("the search for a class", (tab) => {
  test("the most probable class with the word comes first, not one that begins with it",
    async () => {
      await tab.openWithImage();
      // A class that is not the most probable, and the last word of its name.
      const names = await tab.page.$$eval("#predictions .bar-name", (all) => (
        all.map((one) => one.textContent)
      ));
      const word = names[1].split(/[ ,]+/).at(-1).toLowerCase();
      const expected = names.find((name) => name.toLowerCase().split(/[ ,]+/).includes(word));
      await tab.page.fill("#target", word);
      const first = await tab.page.textContent("#target-list li:first-child span");
      assert.equal(first, names.includes(word) ? word : expected);
      await tab.page.press("#target", "Escape");
    });
});
