// Back and Forward lead to pictures, too: each entry of the history keeps the one it was for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { image, inBrowser } from "./browser.mjs";

inBrowser("the history", (tab) => {
  const fileName = () => tab.page.textContent("#file-name");
  const upload = async (name) => {
    await tab.requestBy(() => tab.page.setInputFiles("#file", { ...image, name }));
  };
  const isWelcome = async () => (
    await tab.page.isVisible("#welcome") && await tab.page.isHidden("#result")
  );
  const goBack = async () => {
    await tab.page.goBack();
    await tab.repainted();
  };

  for (const query of ["", "method=gradcam"]) {
    test(`Back after the name of the page brings the picture back: ${query || "/"}`, async () => {
      await tab.openWithImage(query);
      const [before, search] = [await tab.pixels(), new URL(tab.page.url()).search];
      await tab.page.click("#brand");
      assert.ok(await isWelcome());
      await goBack();
      assert.equal(new URL(tab.page.url()).search, search);
      await tab.shown();
      assert.equal(await fileName(), "image.png");
      assert.equal(await tab.pixels(), before);
      await tab.page.goForward();
      await tab.page.waitForSelector("#welcome:not([hidden])");
      assert.ok(await isWelcome());
      await goBack();
      await tab.shown();
      // What came back is kept as what was chosen.
      await tab.page.reload();
      await tab.shown();
      assert.equal(await fileName(), "image.png");
    });
  }

  test("Back leads to the picture before, and from the first one to the first page", async () => {
    await tab.openWithImage("");
    await upload("second.png");
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    await goBack();
    assert.equal(await fileName(), "second.png");
    await goBack();
    await tab.shown();
    assert.equal(await fileName(), "image.png");
    await goBack();
    assert.ok(await isWelcome());
    await tab.page.reload();
    await tab.page.waitForSelector("#layer:not([disabled])", { state: "attached" });
    assert.ok(await isWelcome(), "a reload of the first page stays there");
  });

  test("Back from the guide and a reload keep the picture", async () => {
    await tab.openWithImage("method=gradcam");
    await tab.page.goto(`${tab.base}/docs`);
    await goBack();
    await tab.shown();
    assert.equal(await fileName(), "image.png");
    await tab.page.reload();
    await tab.shown();
    assert.equal(await fileName(), "image.png");
  });

  test("the link to the picture changes none", async () => {
    await tab.openWithImage();
    await tab.page.focus(".skip");
    await tab.page.keyboard.press("Enter");
    await tab.repainted();
    assert.equal(await fileName(), "image.png");
    assert.ok(await tab.page.isVisible("#result"));
  });

  test("a file that is no picture leaves no entry with it", async () => {
    await tab.open("");
    const buffer = Buffer.from("not an image");
    await tab.page.setInputFiles("#file", { name: "a.txt", mimeType: "text/plain", buffer });
    await tab.page.waitForSelector("#alert:not([hidden])");
    await tab.page.waitForSelector("#welcome:not([hidden])");
    await tab.openWithImage("");
    await goBack();
    assert.ok(await isWelcome());
  });
});
