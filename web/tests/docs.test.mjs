// The documentation page, against the real contract.

import assert from "node:assert/strict";
import { test } from "node:test";
import { image, inBrowser } from "./browser.mjs";

inBrowser("the documentation", (tab) => {
  test("the documentation lists every operation and problem, without dead links", async () => {
    await tab.page.goto(`${tab.base}/docs#problem-invalid-option`);
    await tab.page.waitForSelector("#explain");
    const target = await tab.page.evaluate(() => document.querySelector(":target")?.id);
    assert.equal(target, "problem-invalid-option");
    const contract = await (await fetch(`${tab.base}/openapi.json`)).json();
    const operations = Object.values(contract.paths).flatMap((verbs) => Object.values(verbs));
    const dead = await tab.page.$$eval('a[href^="#"]', (links) => (
      links.map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id))
    ));
    assert.deepEqual(dead, []);
    const ids = [
      ...operations.map(({ operationId }) => operationId),
      ...Object.keys(contract.components.examples),
    ];
    const missing = await tab.page.evaluate((ids) => (
      ids.filter((id) => !document.getElementById(id))
    ), ids);
    assert.deepEqual(missing, []);
  });

  test("the documentation names each model, what it is for, and the notice of the default", async () => {
    await tab.page.goto(`${tab.base}/docs`);
    await tab.page.waitForSelector("#models-here");
    const { default: id, details } = await (await fetch(`${tab.base}/v1/models`)).json();
    const text = await tab.page.textContent("#models-here");
    for (const model of details) {
      for (const known of [model.id, model.title, model.domain]) {
        assert.ok(text.includes(known ?? ""), `${known} in ${text}`);
      }
      const notice = (model.notice ?? "").slice(1);
      assert.ok(text.includes(notice), `${notice} in ${text}`);
    }
    const { notice } = details.find((model) => model.id === id);
    const shown = await tab.page.locator("#models-here > .notice").allTextContents();
    assert.equal(shown.length, notice ? 1 : 0);
  });

  test("the documentation's forms send the request that they show", async () => {
    const text = (selector) => tab.page.textContent(selector);
    await tab.page.goto(`${tab.base}/docs`);
    await tab.page.waitForSelector("#explain");

    await tab.page.click("#listModels .try-it summary");
    await tab.page.click("#listModels .try button[type=submit]");
    await tab.page.waitForSelector("#listModels .outcome .status");
    assert.equal(await text("#listModels .outcome .status"), "200");
    assert.match(await text("#listModels .outcome"), /"default":/);

    await tab.page.click("#explain .try-it summary");
    await tab.page.setInputFiles("#try-explain-image", image);
    await tab.page.selectOption("#try-explain-method", "gradcam");
    await tab.page.click("#explain .try button[type=submit]");
    await tab.page.waitForSelector("#explain .outcome img");
    assert.match(await text("#explain .outcome"), /camlens-method: gradcam/);
    const command = /^curl -sS '.*\/v1\/explain\?method=gradcam' -F image=@image\.png/;
    assert.match(await text("#explain .curl code"), command);

    await tab.page.fill("#try-explain-target", "no such class");
    await tab.page.click("#explain .try button[type=submit]");
    await tab.page.waitForSelector("#explain .outcome .status.bad");
    assert.equal(await text("#explain .outcome .status"), "422");
  });
});
