// Nothing hides anything else, and no column leaves a hole beside it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inBrowser } from "./browser.mjs";

const SIZES = [[1440, 900], [1920, 1080], [390, 844]];
const overlaps = (one, other) => (
  one.x < other.x + other.width && other.x < one.x + one.width
    && one.y < other.y + other.height && other.y < one.y + one.height
);

inBrowser("layout", (tab) => {
  const boxes = async (selector) => {
    const found = await tab.page.locator(selector).all();
    return (await Promise.all(found.map((one) => one.boundingBox()))).filter(Boolean);
  };
  const box = (selector) => tab.page.locator(selector).boundingBox();

  for (const query of ["compare=methods", "view=side&method=scorecam"]) {
    test(`the progress card hides no caption, and no picture moves: ${query}`, async () => {
      await tab.openWithImage(`max_channels=8&${query}`);
      const idle = new Map();
      for (const [width, height] of SIZES) {
        await tab.page.setViewportSize({ width, height });
        idle.set(width, await boxes(".frame"));
      }
      // A request that stays open, so that the test does not depend on the server's speed.
      await tab.page.route("**/v1/explain", () => {});
      await tab.openOptions();
      await tab.page.fill("#max-channels", "9");
      await tab.page.press("#max-channels", "Enter");
      await tab.page.waitForSelector("#run:not([hidden])");
      await tab.page.evaluate(() => scrollTo(0, 0));
      for (const [width, height] of SIZES) {
        await tab.page.setViewportSize({ width, height });
        const [run, captions] = [await box("#run"), await boxes("figcaption")];
        assert.ok(captions.length >= 3);
        for (const caption of captions) assert.ok(!overlaps(run, caption), `${width} px wide`);
        const widths = (await boxes(".frame")).map((frame) => Math.round(frame.width));
        assert.deepEqual(widths, idle.get(width).map((frame) => Math.round(frame.width)));
      }
      await tab.page.click("#cancel");
    });
  }

  for (const query of ["", "compare=methods", "view=side"]) {
    test(`no hole opens under the picture: ${query || "one map"}`, async () => {
      await tab.openWithImage(`max_channels=8&${query}`);
      await tab.page.click("#more-methods");
      await tab.openOptions();
      for (const [width, height] of [[1280, 800], [1440, 900], [1600, 900], [1920, 1080]]) {
        await tab.page.setViewportSize({ width, height });
        await tab.page.focus("#choose-other");
        await tab.page.evaluate(() => scrollTo(0, 0));
        const [stage, code] = [await box("#stage"), await box("#export-card")];
        const gap = code.y - stage.y - stage.height;
        assert.ok(gap >= 0 && gap < 100, `${gap} px at a width of ${width}`);
        const panels = await boxes(".workspace .panel, #stage");
        for (const [at, one] of panels.entries()) {
          for (const other of panels.slice(at + 1)) assert.ok(!overlaps(one, other));
        }
        // What does not fit is within reach, with the picture in view.
        await tab.page.focus("#emphasize");
        const [last, picture] = [await box("#emphasize"), (await boxes(".frame"))[0]];
        assert.ok(last.y >= 0 && last.y + last.height <= height, `the last control: ${last.y}`);
        assert.ok(picture.y >= 0 && picture.y < height / 2, `the picture: ${picture.y}`);
      }
    });
  }
});
