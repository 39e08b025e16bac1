// The samples: they keep the model, say for which one they were made, and stay within reach.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inBrowser } from "./browser.mjs";

inBrowser("samples", (tab) => {
  /** The samples, and one that was made for another model than the default, by its number. */
  async function samplesOf() {
    const response = await fetch(`${tab.base}/samples`);
    const samples = response.ok ? await response.json() : [];
    const { default: own, details } = await (await fetch(`${tab.base}/v1/models`)).json();
    const isReady = (model) => details.some(({ id, ready }) => id === model && ready);
    const isOther = ({ model }) => model !== own && isReady(model);
    return { samples, own, other: samples.findIndex(isOther) };
  }

  const openSamples = async (context) => {
    const found = await samplesOf();
    if (found.samples.length === 0) {
      context.skip("this service has no samples");
      return null;
    }
    // A method that every model has, and that takes one pass.
    await tab.open("method=eigencam");
    await tab.page.waitForSelector("#sample-list .sample");
    return found;
  };

  test("a sample of another model keeps the model and offers the switch", async (context) => {
    const found = await openSamples(context);
    if (!found) return;
    if (found.other < 0) return context.skip("all samples are for one model");
    const { own, samples, other } = found;
    const { title, model } = samples[other];
    await tab.page.locator("#sample-list .sample").nth(other).click();
    await tab.shown();
    assert.equal(await tab.page.inputValue("#model"), own, "the model is the visitor's choice");
    assert.equal((await tab.exchange(-1)).options.model, own);
    assert.ok((await tab.page.textContent("#sample-text")).includes(title));
    await tab.requestBy(() => tab.page.click("#sample-switch"));
    assert.equal(await tab.page.inputValue("#model"), model);
    assert.ok(await tab.page.isHidden("#sample-note"));
    const exchange = await tab.exchange(-1);
    assert.equal(exchange.options.model, model);
  });

  test("a chosen model stays, and its own samples need no note", async (context) => {
    const found = await openSamples(context);
    if (!found) return;
    if (found.other < 0) return context.skip("all samples are for one model");
    const { samples, other, own } = found;
    await tab.page.selectOption("#model", samples[other].model);
    await tab.page.locator("#sample-list .sample").nth(other).click();
    await tab.shown();
    assert.equal(await tab.page.inputValue("#model"), samples[other].model);
    assert.ok(await tab.page.isHidden("#sample-note"));
    const first = samples.findIndex(({ model }) => model === own);
    await tab.page.click("#choose-other");
    await tab.page.locator("#picker .sample").nth(first).click();
    await tab.shown();
    assert.equal(await tab.page.inputValue("#model"), samples[other].model);
    assert.ok(await tab.page.isVisible("#sample-note"));
  });

  test("Change picture leads back to the samples, by mouse and by keyboard", async (context) => {
    const found = await openSamples(context);
    if (!found) return;
    const { page } = tab;
    await page.locator("#sample-list .sample").first().click();
    await tab.shown();
    await page.click("#choose-other");
    assert.ok(await page.isVisible("#picker"));
    assert.equal(await page.locator("#picker .sample").count(), found.samples.length);
    const [chooser] = await Promise.all([
      page.waitForEvent("filechooser"), page.click("#choose-file"),
    ]);
    assert.ok(chooser, "a file can be chosen, too");
    await page.keyboard.press("Escape");
    assert.ok(await page.isHidden("#picker"));
    assert.equal(await page.evaluate(() => document.activeElement.id), "choose-other");
    await page.keyboard.press("Enter");
    await page.locator("#picker .sample").nth(1).focus();
    await tab.requestBy(() => page.keyboard.press("Enter"));
    assert.ok(await page.isHidden("#picker"));
    assert.equal(await page.textContent("#file-name"), found.samples[1].file);
  });

  test("without samples Change picture opens the file dialog at once", async () => {
    await tab.page.route("**/samples", (route) => route.fulfill({ json: [] }));
    await tab.openWithImage();
    const [chooser] = await Promise.all([
      tab.page.waitForEvent("filechooser"), tab.page.click("#choose-other"),
    ]);
    assert.ok(chooser);
    assert.ok(await tab.page.isHidden("#picker"));
  });
});
