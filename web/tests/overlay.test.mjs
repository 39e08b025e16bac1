// The maths that the page does by itself has to agree with the server's.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { COLORMAPS, UNSEEN, colors, enlarge, lay, seenRegion, valueOf } from "../js/map/overlay.js";

test("jet is OpenCV's table, to the byte", () => {
  const sum = createHash("sha256").update(colors("jet")).digest("hex");
  assert.equal(sum, "661fa696672fecb0ffa3e76bff80e0119d8308227c361c0043f705d8c867faad");
});

test("every colormap has 256 colours", () => {
  for (const name of [...COLORMAPS.sequential, ...COLORMAPS.diverging]) assert.equal(colors(name).length, 768, name);
});

test("a map is enlarged with half-pixel centres", () => {
  const steps = enlarge({ shape: [1, 2], data: [[0, 1]] }, 8, 1, { x: 0, y: 0, width: 8, height: 1 });
  assert.deepEqual([...steps].map((step) => Number(valueOf(step).toFixed(3))), [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]);
});

test("outside the crop nothing is claimed", () => {
  const region = seenRegion(451, 300, { fit: "crop", size: [224, 224], crop_ratio: 0.875 });
  assert.deepEqual(region, { x: 94.25, y: 18.75, width: 262.5, height: 262.5 });
  const steps = enlarge({ shape: [1, 1], data: [[1]] }, 451, 300, region);
  assert.equal(steps[0], UNSEEN);
  assert.equal(valueOf(steps[150 * 451 + 225]), 1);
});

test("an overlay adds the weighted colour and stops at 255", () => {
  const out = new Uint8ClampedArray(4);
  const image = Uint8ClampedArray.of(100, 200, 0, 255);
  const half = enlarge({ shape: [1, 1], data: [[64.01 / 255]] }, 1, 1, { x: 0, y: 0, width: 1, height: 1 });
  const looks = { view: "overlay", colormap: "jet", weight: 0.8, emphasize: false };
  lay(out, image, half, { ...looks, blend: "add" });
  assert.deepEqual([...out], [100, 255, 204, 255]); // (0, 128, 255) · 0.8 + the image
  lay(out, image, half, { ...looks, blend: "mix", weight: 0.5 });
  assert.deepEqual([...out], [50, 164, 128, 255]);
});

test("a signed map has the middle colour at 0 and leaves the picture alone there", () => {
  const image = Uint8ClampedArray.of(...Array(5).fill([200, 100, 0, 255]).flat());
  const map = enlarge({ shape: [1, 5], data: [[-1, -0.5, 0, 0.5, 1]], signed: true }, 5, 1, { x: 0, y: 0, width: 5, height: 1 });
  assert.deepEqual([...map].map((step) => Number(valueOf(step, true).toFixed(3))), [-1, -0.5, 0, 0.5, 1]);
  const looks = { view: "map", colormap: "gray", blend: "mix", weight: 1, emphasize: false };
  const out = new Uint8ClampedArray(20);
  const reds = () => [0, 1, 2, 3, 4].map((pixel) => out[pixel * 4]);
  lay(out, image, map, looks, true);
  assert.deepEqual(reds(), [1, 64, 128, 191, 255]); // the server's own levels, in src/picture/overlay.rs
  lay(out, image, map, { ...looks, emphasize: true }, true);
  assert.deepEqual([reds()[0], reds()[2], reds()[4]], [1, 128, 255]);
  for (const blend of ["add", "mix"]) {
    lay(out, image, map, { ...looks, view: "overlay", colormap: "rdbu", blend }, true);
    assert.deepEqual([...out.slice(8, 12)], [200, 100, 0, 255], blend);
  }
  const table = colors("rdbu");
  assert.deepEqual([...out.slice(16, 19)], [...table.slice(765, 768)]);
  assert.deepEqual([...out.slice(0, 3)], [...table.slice(3, 6)]);
});
