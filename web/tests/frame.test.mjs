// What the model does not receive: the page speaks of a frame only where one is drawn, and an
// empty map leaves the picture as it was.

import assert from "node:assert/strict";
import { test } from "node:test";
import { isCropped } from "../js/map/resize.js";
import { inBrowser } from "./browser.mjs";

test("a picture of the input's shape is cropped only by the crop ratio", () => {
  const input = { fit: "crop", size: [224, 224], crop_ratio: 1 };
  assert.equal(isCropped({ width: 451, height: 300 }, input), true);
  assert.equal(isCropped({ width: 300, height: 300 }, input), false);
  assert.equal(isCropped({ width: 300, height: 300 }, { ...input, crop_ratio: 0.875 }), true);
  assert.equal(isCropped({ width: 451, height: 300 }, { ...input, fit: "stretch" }), false);
});

const FRAMED = "The model receives only what is framed.";
const CENTRE = "The model receives only the centre of the picture.";

inBrowser("what the model does not receive", (tab) => {
  /** A model that crops. */
  async function croppingModel() {
    const { details } = await (await fetch(`${tab.base}/v1/models`)).json();
    for (const { id } of details.filter(({ ready }) => ready)) {
      const model = await (await fetch(`${tab.base}/v1/models/${id}`)).json();
      if (model.input.fit === "crop") return id;
    }
    throw new Error("no model crops");
  }

  const openCropped = async (query = "") => (
    tab.openWithImage(`model=${await croppingModel()}&method=eigencam${query}`)
  );
  const readout = () => tab.page.textContent("#readout");
  const pictureBox = () => tab.page.locator(".frame").first().boundingBox();

  /** From now on every map is empty. */
  const emptyMaps = () => tab.page.route("**/v1/explain", async (route) => {
    const headers = { ...route.request().headers(), accept: "application/json" };
    const json = await (await route.fetch({ headers })).json();
    Object.assign(json.heatmap, {
      empty: true, max: 0, data: json.heatmap.data.map((row) => row.map(() => 0)),
    });
    await route.fulfill({ json });
  });

  test("the page speaks of a frame in the views that draw one", async () => {
    await openCropped("&weight=0");
    for (const view of ["overlay", "map", "side", "wipe"]) {
      await tab.selectView(view);
      assert.equal(await readout(), FRAMED, view);
    }
    await tab.page.focus(".split");
    await tab.page.keyboard.press("End");
    assert.equal(await readout(), CENTRE, "the slider uncovers the whole picture");
    await tab.selectView("original");
    assert.equal(await readout(), CENTRE, "the picture alone");
    await tab.selectMode("layers");
    await tab.page.waitForSelector(".pane");
    assert.equal(await readout(), CENTRE, "several pictures");
    await tab.selectView("overlay");
    await tab.idle();
    assert.equal(await readout(), FRAMED, "several maps");
  });

  test("before a map and with an empty one there is no frame, and no word of it", async () => {
    await emptyMaps();
    await openCropped();
    assert.ok(await tab.page.isVisible("#remark"));
    assert.equal(await readout(), CENTRE);
    await tab.page.route("**/v1/explain", () => {});
    await tab.page.reload();
    await tab.page.waitForSelector("#run:not([hidden])");
    assert.equal(await readout(), CENTRE);
    await tab.page.click("#cancel");
  });

  test("the picture keeps its size when the map is empty or is cancelled", async () => {
    await tab.page.setViewportSize({ width: 1440, height: 900 });
    await openCropped();
    const { width, y } = await pictureBox();
    await emptyMaps();
    await tab.requestBy(() => tab.selectMethod("random"));
    assert.ok(await tab.page.isVisible("#remark"));
    assert.equal((await pictureBox()).width, width);
    assert.equal((await pictureBox()).y, y);
    const remark = await tab.page.locator("#remark").boundingBox();
    assert.ok(remark.y + remark.height <= 900, "the reason is in view");
    await tab.page.route("**/v1/explain", () => {});
    await tab.selectMethod("scorecam");
    await tab.page.waitForSelector("#run:not([hidden])");
    await tab.page.click("#cancel");
    assert.ok(await tab.page.isVisible("#remark"));
    assert.equal((await pictureBox()).width, width);
  });
});
