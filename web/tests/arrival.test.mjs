// A picture that was chosen shows its map at once, wherever on the page it was chosen.

import assert from "node:assert/strict";
import { test } from "node:test";
import { image, inBrowser } from "./browser.mjs";

const SAMPLES = Array.from({ length: 6 }, (_, at) => (
  { file: `${at}.png`, title: `Picture ${at}`, credit: "Somebody", license: "CC0", model: "none" }
));

inBrowser("a chosen picture", (tab) => {
  /** Asserts that the picture starts within the window, and below the top of the result. */
  async function assertInView(height, message) {
    const [result, picture] = await Promise.all(
      ["#result", "#canvas"].map((one) => tab.page.locator(one).boundingBox()),
    );
    assert.ok(result.y >= -1 && result.y < height / 2, `${message}: the result is at ${result.y}`);
    assert.ok(picture.y >= 0 && picture.y < height * 0.75, `${message}: it is at ${picture.y}`);
  }

  const scrollDown = () => tab.page.evaluate(() => {
    scrollTo(0, document.documentElement.scrollHeight);
    return scrollY;
  });

  const transfer = () => tab.page.evaluateHandle(({ bytes, name }) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
    return data;
  }, { bytes: [...image.buffer], name: image.name });

  const ways = {
    paste: async () => tab.page.evaluate((clipboardData) => {
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    }, await transfer()),
    drop: async () => (
      tab.page.dispatchEvent("#code", "drop", { dataTransfer: await transfer() })
    ),
    file: () => tab.page.setInputFiles("#file", { ...image, name: "other.png" }),
  };

  for (const [width, height] of [[390, 844], [640, 400], [1440, 900]]) {
    test(`is in view after a click on any sample, at ${width} × ${height}`, async () => {
      await tab.page.setViewportSize({ width, height });
      await tab.page.route("**/samples", (route) => route.fulfill({ json: SAMPLES }));
      await tab.page.route("**/samples/*", (route) => route.fulfill({ body: image.buffer }));
      for (const at of [0, 5]) {
        await tab.open();
        if (await tab.page.isVisible("#result")) await tab.page.click("#brand");
        await tab.page.locator("#sample-list .sample").nth(at).click();
        await tab.shown();
        await assertInView(height, `sample ${at}`);
      }
    });

    for (const [way, choose] of Object.entries(ways)) {
      test(`is in view wherever the page was: ${way}, at ${width} × ${height}`, async () => {
        await tab.page.setViewportSize({ width, height });
        await tab.openWithImage();
        assert.ok(await scrollDown() > 200, "the page was scrolled");
        await tab.requestBy(choose);
        await assertInView(height, way);
      });
    }
  }

  test("chosen at the top of the page, it moves nothing: the header stays in view", async () => {
    await tab.openWithImage();
    assert.equal(await tab.page.evaluate(() => scrollY), 0);
  });
});
