// Both pages in normal use: an image, its map, the display options, errors, the documentation.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { image, inBrowser } from "./browser.mjs";

inBrowser("the pages", (tab) => {
  const facts = () => tab.page.textContent("#facts");
  const waitForFact = (text) => tab.page.waitForFunction((text) => (
    document.querySelector("#facts").textContent.includes(text)
  ), text);
  const selectMethod = (name) => tab.page.check(`input[name="method"][value="${name}"]`);

  /** Runs an action and waits for the response to its request. */
  async function explainBy(action) {
    const response = tab.nextResponse("/v1/explain");
    await action();
    await response;
    await tab.idle();
  }

  /** Counts the requests from now on. */
  function countRequests() {
    const counter = { requests: 0 };
    tab.page.on("request", () => { counter.requests++; });
    return counter;
  }

  test("an image gets a map, predictions and details", async () => {
    await tab.openWithImage();
    assert.ok(await tab.colorsOn("#canvas") > 20, "the canvas shows more than one colour");
    assert.ok(await tab.page.locator("#predictions li").count() >= 1);
    assert.match(await facts(), /Layer.*Map\d+ × \d+.*Passes1 forward/s);
    assert.match(await tab.page.textContent("#status"), /: the map is ready\.|map is empty/);
    const curl = new RegExp(`^curl -fsS '${tab.base}/v1/explain\\?`);
    assert.match(await tab.page.textContent("#curl"), curl);
  });

  test("a display option repaints the map without a request", async () => {
    await tab.openWithImage();
    const counter = countRequests();
    let last = await tab.pixels();
    const changes = [
      () => tab.page.selectOption("#colormap", "viridis"),
      () => tab.page.fill("#weight", "0.3"),
      () => tab.page.selectOption("#blend", "mix"),
      () => tab.page.check("#emphasize"),
      () => tab.page.check('input[name="view"][value="map"]'),
      () => tab.page.check('input[name="view"][value="original"]'),
    ];
    for (const change of changes) {
      await change();
      await tab.repainted();
      const now = await tab.pixels();
      assert.notEqual(now, last, `${change} is visible`);
      last = now;
    }
    assert.equal(counter.requests, 0);
    const options = /colormap=viridis.*blend=mix|blend=mix.*colormap=viridis/;
    assert.match(await tab.page.textContent("#curl"), options);
  });

  test("another method, layer or class is requested", async () => {
    await tab.openWithImage();
    const first = await facts();
    await explainBy(() => selectMethod("scorecam"));
    assert.match(await facts(), /Score-CAM/);

    const layers = await tab.page.$$eval("#layer option", (all) => all.map(({ value }) => value));
    const other = layers.find((layer) => !first.includes(`Layer${layer}`));
    await explainBy(() => selectMethod("gradcam"));
    if (other) {
      await explainBy(() => tab.page.selectOption("#layer", other));
      assert.ok((await facts()).includes(`Layer${other}`));
    }

    if (await tab.page.locator("#predictions li").count() > 1) {
      const button = "#predictions li:nth-child(2) button";
      const second = await tab.page.getAttribute(button, "data-index");
      await explainBy(() => tab.page.click(button));
      assert.match(await facts(), new RegExp(`^Class.*\\b${second}\\b.*Probability`));
      assert.equal(await tab.page.getAttribute(button, "aria-pressed"), "true");
    }
  });

  test("a class is found by typing and selected with the keyboard", async () => {
    await tab.openWithImage();
    const last = await tab.page.getAttribute("#predictions li:last-child button", "data-index");
    await explainBy(async () => {
      await tab.page.focus("#target");
      await tab.page.keyboard.type(last);
      await tab.page.keyboard.press("Enter");
    });
    assert.match(await facts(), new RegExp(`^Class.*\\b${last}\\b.*Probability`));
    assert.equal(await tab.page.getAttribute("#target", "aria-expanded"), "false");
  });

  test("a cached response is shown again without a request", async () => {
    await tab.openWithImage();
    await explainBy(() => selectMethod("gradcam"));
    const counter = countRequests();
    await selectMethod("gradcam++");
    await waitForFact("Grad-CAM++");
    assert.equal(counter.requests, 0);
  });

  test("a comparison shows the methods side by side", async () => {
    await tab.openWithImage();
    await tab.page.check('input[name="mode"][value="compare"]');
    await tab.page.waitForFunction(() => {
      const notes = [...document.querySelectorAll(".pane .soft")];
      const isPending = ({ textContent }) => /^(Waiting|Running)/.test(textContent);
      return notes.length === 3 && !notes.some(isPending);
    });
    await tab.idle();
    await tab.repainted();
    for (const method of ["gradcam", "gradcam++", "scorecam"]) {
      const colors = await tab.colorsOn(`.pane[data-key="${method}"] canvas`);
      assert.ok(colors > 20, `${method} is visible`);
    }
    assert.match(await tab.page.textContent("#curl"), /\/v1\/compare/);
    await tab.page.click('.pane[data-key="gradcam"] button');
    await tab.page.waitForSelector("#single:not([hidden])");
    await tab.idle();
  });

  test("the download is the server's picture", async () => {
    await tab.openWithImage();
    const [download] = await Promise.all([
      tab.page.waitForEvent("download"), tab.page.click("#download"),
    ]);
    assert.equal(download.suggestedFilename(), "image-gradcampp.png");
    const bytes = readFileSync(await download.path());
    assert.deepEqual([...bytes.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
  });

  test("a slow method shows partial maps and the remaining time", async () => {
    await tab.openWithImage();
    const before = await tab.pixels();
    await tab.page.fill("#max-channels", process.env.SLOW_CHANNELS ?? "96");
    await selectMethod("scorecam");
    await tab.page.waitForFunction(() => (
      document.querySelector("#canvas").ariaLabel.includes("in progress")
    ));
    await tab.repainted();
    assert.notEqual(await tab.pixels(), before);
    await tab.page.waitForFunction(() => (
      /^\d+ of \d+, .* left$/.test(document.querySelector("#run-time").textContent)
    ));
    const [done, total] = (await tab.page.textContent("#run-time")).match(/\d+/g).map(Number);
    assert.ok(done > 0 && done < total);
    const value = await tab.page.$eval("#run-bar", (bar) => bar.value);
    assert.ok(Math.abs(value - done / total) < 0.25);
    await tab.screenshot("partial-map");
    await tab.idle();
    assert.match(await facts(), /Score-CAM/);
    assert.ok(!(await tab.page.getAttribute("#canvas", "aria-label")).includes("in progress"));
  });

  test("a plain JSON response works where a proxy allows no event stream", async () => {
    await tab.page.route("**/v1/explain", (route) => {
      const headers = { ...route.request().headers(), accept: "application/json" };
      return route.continue({ headers });
    });
    await tab.openWithImage();
    assert.match(await tab.page.textContent("#status"), /: the map is ready\.|map is empty/);
  });

  test("a truncated event stream is reported", async () => {
    await tab.page.route("**/v1/explain", (route) => route.fulfill({
      contentType: "text/event-stream", body: "event: started\ndata: {}\n\nevent: resu",
    }));
    await tab.open();
    await tab.page.setInputFiles("#file", image);
    await tab.page.waitForSelector("#alert:not([hidden])");
    assert.equal(await tab.page.textContent("#alert-title"), "The response was cut off");
    assert.ok(await tab.page.isVisible("#retry"));
  });

  test("a slow request can be cancelled and retried", async () => {
    await tab.openWithImage();
    // Blocks the request, so that the test does not depend on the server's speed.
    let isBlocked = true;
    await tab.page.route("**/v1/explain", async (route) => {
      if (isBlocked) return;
      await route.continue();
    });
    await selectMethod("scorecam");
    await tab.page.click("#cancel");
    assert.equal(await tab.page.textContent("#alert-title"), "Cancelled");
    assert.ok(await tab.page.isHidden("#run"));
    isBlocked = false;
    await tab.page.click("#retry");
    await waitForFact("Score-CAM");
    assert.ok(await tab.page.isHidden("#alert"));
  });

  test("a file that is not an image is rejected, and the next image works", async () => {
    await tab.open();
    const buffer = Buffer.from("not an image");
    const notes = { name: "notes.txt", mimeType: "text/plain", buffer };
    const rejected = await tab.requestBy(() => tab.page.setInputFiles("#file", notes));
    assert.equal(rejected.status, 415);
    assert.ok(await tab.page.isVisible("#alert"));
    assert.equal(await tab.page.textContent("#alert-title"), rejected.response.title);
    assert.notEqual(await tab.page.textContent("#alert-detail"), "");
    await tab.page.setInputFiles("#file", image);
    await tab.page.waitForSelector("#predictions li");
    assert.ok(await tab.page.isHidden("#alert"));
  });

  for (const path of ["/", "/docs"]) {
    test(`${path} fits a narrow screen`, async () => {
      await tab.page.setViewportSize({ width: 360, height: 740 });
      await tab.page.goto(tab.base + path);
      if (path === "/") {
        await tab.page.waitForSelector("#layer:not([disabled])");
        await tab.page.setInputFiles("#file", image);
        await tab.page.waitForSelector("#predictions li");
      } else await tab.page.waitForSelector("#explain");
      await tab.assertFits();
    });

    test(`every control of ${path} has a name`, async () => {
      await tab.page.goto(tab.base + path);
      await tab.page.waitForSelector(path === "/" ? "#layer:not([disabled])" : "#explain");
      assert.deepEqual(await tab.unnamedControls(), []);
    });
  }

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
