// The page's image processing must agree with the server's (`picture::overlay`). That the
// colour tables are equal is checked on the server's side, in tests/it/http/page.rs.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { paintFrame, paintUnseen, seenRect } from "../js/map/frame.js";
import { DIVERGING, SEQUENTIAL, colorTable } from "../js/map/colors.js";
import { paintOverlay } from "../js/map/overlay.js";
import { OUTSIDE, levelValue, resizeMap, visibleRect } from "../js/map/resize.js";

test("jet is OpenCV's table, byte for byte", () => {
  const hash = createHash("sha256").update(colorTable("jet")).digest("hex");
  assert.equal(hash, "661fa696672fecb0ffa3e76bff80e0119d8308227c361c0043f705d8c867faad");
});

test("every colormap has 256 colours", () => {
  const names = [...SEQUENTIAL, ...DIVERGING];
  assert.equal(new Set(names).size, 10);
  for (const name of names) assert.equal(colorTable(name).length, 768, name);
});

test("a map is resized with half-pixel centres", () => {
  const rect = { x: 0, y: 0, width: 8, height: 1 };
  const levels = resizeMap({ shape: [1, 2], data: [[0, 1]] }, 8, 1, rect);
  const values = [...levels].map((level) => Number(levelValue(level).toFixed(3)));
  assert.deepEqual(values, [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]);
});

test("pixels outside the crop have no value", () => {
  const rect = visibleRect(451, 300, { fit: "crop", size: [224, 224], crop_ratio: 0.875 });
  assert.deepEqual(rect, { x: 94.25, y: 18.75, width: 262.5, height: 262.5 });
  const levels = resizeMap({ shape: [1, 1], data: [[1]] }, 451, 300, rect);
  assert.equal(levels[0], OUTSIDE);
  assert.equal(levelValue(levels[150 * 451 + 225]), 1);
});

test("an overlay adds the weighted colour and stops at 255", () => {
  const out = new Uint8ClampedArray(4);
  const image = Uint8ClampedArray.of(100, 200, 0, 255);
  const rect = { x: 0, y: 0, width: 1, height: 1 };
  const map = resizeMap({ shape: [1, 1], data: [[64.01 / 255]] }, 1, 1, rect);
  const style = { view: "overlay", colormap: "jet", weight: 0.8, emphasize: false };
  paintOverlay(out, image, map, { ...style, blend: "add" });
  assert.deepEqual([...out], [100, 255, 204, 255]); // 0.8 · (0, 128, 255) + the image
  paintOverlay(out, image, map, { ...style, blend: "mix", weight: 0.5 });
  assert.deepEqual([...out], [50, 164, 128, 255]);
});

test("a frame surrounds what the model receives; the rest is plain", () => {
  const [width, height] = [80, 70];
  const rect = { x: 10, y: 0, width: 60, height: 70 };
  const map = resizeMap({ shape: [1, 1], data: [[1]] }, width, height, rect);
  assert.deepEqual(seenRect(map, width), { left: 10, top: 0, right: 70, bottom: 70 });
  const image = new Uint8ClampedArray(width * height * 4).fill(100);
  const out = new Uint8ClampedArray(image.length);
  const style = { view: "overlay", colormap: "gray", blend: "mix", weight: 0, emphasize: false };
  paintOverlay(out, image, map, style);
  paintFrame(out, width, height, seenRect(map, width));
  const row = (from, to) => (
    Array.from({ length: to - from }, (_, at) => out[(35 * width + from + at) * 4])
  );
  // As in the test of `picture::frame`.
  assert.deepEqual(row(6, 12), [100, 100, 232, 50, 100, 100]);
  assert.deepEqual(row(68, 74), [100, 100, 50, 232, 100, 100]);
});

test("in the map view what the model does not receive has no colour of the map", () => {
  const [width, height] = [80, 70];
  const rect = { x: 10, y: 0, width: 60, height: 70 };
  const image = new Uint8ClampedArray(width * height * 4).fill(100);
  for (const [colormap, signed] of [["jet", false], ["coolwarm", true]]) {
    const map = resizeMap({ shape: [1, 1], data: [[0]], signed }, width, height, rect);
    const out = new Uint8ClampedArray(image.length);
    paintOverlay(out, image, map, { view: "map", colormap, emphasize: false }, signed);
    paintUnseen(out, map, width, height);
    const pixel = (x) => [...out.subarray((35 * width + x) * 4, (35 * width + x) * 4 + 3)];
    const zero = [...colorTable(colormap).slice(signed ? 384 : 0, signed ? 387 : 3)];
    assert.deepEqual(pixel(40), zero, "inside the map is 0");
    const outside = [0, 2, 4, 72, 74].map(pixel);
    for (const [red, green, blue] of outside) assert.ok(red === green && green === blue);
    assert.ok(new Set(outside.map(String)).size > 1, "hatched, not one grey");
  }
});

test("a smooth map passes through the cells, and between them has the server's values", () => {
  const rect = { x: 0, y: 0, width: 4, height: 1 };
  const heatmap = { shape: [1, 2], data: [[0.25, 0.75]] };
  const values = (width, isSmooth) => (
    [...resizeMap(heatmap, width, 1, { ...rect, width }, isSmooth)].map((level) => (
      Number(levelValue(level).toFixed(3))
    ))
  );
  assert.deepEqual(values(2, true), [0.25, 0.75]);
  // As in the test of `picture::resize::smooth`.
  assert.deepEqual(values(4, true), [0.215, 0.352, 0.648, 0.785]);
  assert.deepEqual(values(4, false), [0.25, 0.375, 0.625, 0.75]);
});

test("a signed map has the middle colour at 0 and leaves the image unchanged there", () => {
  const image = Uint8ClampedArray.of(...Array(5).fill([200, 100, 0, 255]).flat());
  const heatmap = { shape: [1, 5], data: [[-1, -0.5, 0, 0.5, 1]], signed: true };
  const map = resizeMap(heatmap, 5, 1, { x: 0, y: 0, width: 5, height: 1 });
  const values = [...map].map((level) => Number(levelValue(level, true).toFixed(3)));
  assert.deepEqual(values, [-1, -0.5, 0, 0.5, 1]);
  const style = { view: "map", colormap: "gray", blend: "mix", weight: 1, emphasize: false };
  const out = new Uint8ClampedArray(20);
  const reds = () => [0, 1, 2, 3, 4].map((pixel) => out[pixel * 4]);
  paintOverlay(out, image, map, style, true);
  assert.deepEqual(reds(), [1, 64, 128, 191, 255]); // as in the tests of `picture::overlay`
  paintOverlay(out, image, map, { ...style, emphasize: true }, true);
  assert.deepEqual([reds()[0], reds()[2], reds()[4]], [1, 128, 255]);
  for (const blend of ["add", "mix"]) {
    const overlay = { ...style, view: "overlay", colormap: "rdbu", blend };
    paintOverlay(out, image, map, overlay, true);
    assert.deepEqual([...out.slice(8, 12)], [200, 100, 0, 255], blend);
  }
  const table = colorTable("rdbu");
  assert.deepEqual([...out.slice(16, 19)], [...table.slice(765, 768)]);
  assert.deepEqual([...out.slice(0, 3)], [...table.slice(3, 6)]);
});
