// The two pages as they are used: a picture, its map, the ways to look at it, and what can go wrong.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { inBrowser, picture } from "./browser.mjs";

inBrowser("the pages", (tab) => {
  test("a picture gets a map, predictions and the numbers", async () => {
    await tab.openWithPicture();
    assert.ok(await tab.colorsOn("#canvas") > 20, "the canvas shows more than one colour");
    assert.ok(await tab.page.locator("#predictions li").count() >= 1);
    assert.match(await tab.page.textContent("#facts"), /Layer.*Map\d+ × \d+.*Passes1 forward/s);
    assert.match(await tab.page.textContent("#status"), /: the map is here\.|no map to draw/);
    assert.match(await tab.page.textContent("#curl"), new RegExp(`^curl -fsS '${tab.base}/v1/explain\\?`));
  });

  test("how the map looks changes at once, without the server", async () => {
    await tab.openWithPicture();
    let asked = 0;
    tab.page.on("request", () => { asked++; });
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
      await tab.painted();
      const now = await tab.pixels();
      assert.notEqual(now, last, `${change} shows`);
      last = now;
    }
    assert.equal(asked, 0);
    assert.match(await tab.page.textContent("#curl"), /colormap=viridis.*blend=mix|blend=mix.*colormap=viridis/);
  });

  test("another method, layer and class are asked for", async () => {
    await tab.openWithPicture();
    const first = await tab.page.textContent("#facts");

    let response = tab.answered("/v1/explain");
    await tab.page.check('input[name="method"][value="scorecam"]');
    await response;
    await tab.quiet();
    assert.match(await tab.page.textContent("#facts"), /Score-CAM/);

    const layers = await tab.page.$$eval("#layer option", (options) => options.map(({ value }) => value));
    const other = layers.find((layer) => !first.includes(`Layer${layer}`));
    response = tab.answered("/v1/explain");
    await tab.page.check('input[name="method"][value="gradcam"]');
    await response;
    await tab.quiet();
    if (other) {
      response = tab.answered("/v1/explain");
      await tab.page.selectOption("#layer", other);
      await response;
      await tab.quiet();
      assert.ok((await tab.page.textContent("#facts")).includes(`Layer${other}`));
    }

    if (await tab.page.locator("#predictions li").count() > 1) {
      response = tab.answered("/v1/explain");
      const second = await tab.page.getAttribute("#predictions li:nth-child(2) button", "data-index");
      await tab.page.locator("#predictions button").nth(1).click();
      await response;
      await tab.quiet();
      assert.match(await tab.page.textContent("#facts"), new RegExp(`^Class.*\\b${second}\\b.*Probability`));
      assert.equal(await tab.page.getAttribute("#predictions li:nth-child(2) button", "aria-pressed"), "true");
    }
  });

  test("a class is found by typing and picked with the keyboard", async () => {
    await tab.openWithPicture();
    const wanted = await tab.page.$eval("#predictions li:last-child button", (button) => button.dataset.index);
    const response = tab.answered("/v1/explain");
    await tab.page.focus("#target");
    await tab.page.keyboard.type(wanted);
    await tab.page.keyboard.press("Enter");
    await response;
    await tab.quiet();
    assert.match(await tab.page.textContent("#facts"), new RegExp(`^Class.*\\b${wanted}\\b.*Probability`));
    assert.equal(await tab.page.getAttribute("#target", "aria-expanded"), "false");
  });

  test("what was asked before is shown again without asking", async () => {
    await tab.openWithPicture();
    const response = tab.answered("/v1/explain");
    await tab.page.check('input[name="method"][value="gradcam"]');
    await response;
    await tab.quiet();
    let asked = 0;
    tab.page.on("request", () => { asked++; });
    await tab.page.check('input[name="method"][value="gradcam++"]');
    await tab.page.waitForFunction(() => document.querySelector("#facts").textContent.includes("Grad-CAM++"));
    assert.equal(asked, 0);
  });

  test("the methods side by side", async () => {
    await tab.openWithPicture();
    await tab.page.check('input[name="mode"][value="compare"]');
    await tab.page.waitForFunction(() => {
      const notes = [...document.querySelectorAll(".pane .soft")];
      return notes.length === 3 && notes.every((note) => !/^(Waiting|At work)/.test(note.textContent));
    });
    await tab.quiet();
    await tab.painted();
    for (const method of ["gradcam", "gradcam++", "scorecam"]) {
      assert.ok(await tab.colorsOn(`.pane[data-key="${method}"] canvas`) > 20, `${method} is drawn`);
    }
    assert.match(await tab.page.textContent("#curl"), /\/v1\/compare/);
    await tab.page.click('.pane[data-key="gradcam"] button');
    await tab.page.waitForSelector("#single:not([hidden])");
    await tab.quiet();
  });

  test("the server's picture is saved", async () => {
    await tab.openWithPicture();
    const [download] = await Promise.all([tab.page.waitForEvent("download"), tab.page.click("#download")]);
    assert.equal(download.suggestedFilename(), "picture-gradcampp.png");
    assert.deepEqual([...readFileSync(await download.path()).subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
  });

  test("a slow map grows while it is made, with the time that is left", async () => {
    await tab.openWithPicture();
    const before = await tab.pixels();
    await tab.page.fill("#max-channels", process.env.SLOW_CHANNELS ?? "96");
    await tab.page.check('input[name="method"][value="scorecam"]');
    await tab.page.waitForFunction(() => document.querySelector("#canvas").getAttribute("aria-label").includes("not finished yet"));
    await tab.painted();
    assert.notEqual(await tab.pixels(), before);
    await tab.page.waitForFunction(() => /^\d+ of \d+, .* left$/.test(document.querySelector("#run-time").textContent));
    const [done, total] = (await tab.page.textContent("#run-time")).match(/\d+/g).map(Number);
    assert.ok(done > 0 && done < total);
    assert.ok(Math.abs(await tab.page.$eval("#run-bar", (bar) => bar.value) - done / total) < 0.25);
    await tab.shot("growing");
    await tab.quiet();
    assert.match(await tab.page.textContent("#facts"), /Score-CAM/);
    assert.ok(!(await tab.page.getAttribute("#canvas", "aria-label")).includes("not finished"));
  });

  test("where nothing knows of streams, the answer just comes", async () => {
    await tab.page.route("**/v1/explain", (route) => route.continue({ headers: { ...route.request().headers(), accept: "application/json" } }));
    await tab.openWithPicture();
    assert.match(await tab.page.textContent("#status"), /: the map is here\.|no map to draw/);
  });

  test("a stream that breaks off is said to have", async () => {
    await tab.page.route("**/v1/explain", (route) => route.fulfill({ contentType: "text/event-stream", body: "event: started\ndata: {}\n\nevent: resu" }));
    await tab.open();
    await tab.page.setInputFiles("#file", picture);
    await tab.page.waitForSelector("#alert:not([hidden])");
    assert.equal(await tab.page.textContent("#alert-title"), "The answer broke off");
    assert.ok(await tab.page.isVisible("#again"));
  });

  test("a slow answer can be cancelled, and asked for again", async () => {
    await tab.openWithPicture();
    // Held back, so that the test does not depend on how fast the server is.
    let hold = true;
    await tab.page.route("**/v1/explain", async (route) => {
      if (hold) return;
      await route.continue();
    });
    await tab.page.check('input[name="method"][value="scorecam"]');
    await tab.page.click("#cancel");
    assert.equal(await tab.page.textContent("#alert-title"), "Stopped");
    assert.ok(await tab.page.isHidden("#run"));
    hold = false;
    await tab.page.click("#again");
    await tab.page.waitForFunction(() => document.querySelector("#facts").textContent.includes("Score-CAM"));
    assert.ok(await tab.page.isHidden("#alert"));
  });

  test("a file that is no image is refused in words, and the next one works", async () => {
    await tab.open();
    await tab.page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("not an image") });
    await tab.page.waitForSelector("#alert:not([hidden])");
    assert.equal(await tab.page.textContent("#alert-title"), "The image type is not accepted");
    assert.notEqual(await tab.page.textContent("#alert-detail"), "");
    await tab.page.setInputFiles("#file", picture);
    await tab.page.waitForSelector("#predictions li");
    assert.ok(await tab.page.isHidden("#alert"));
  });

  for (const path of ["/", "/docs"]) {
    test(`${path} fits a narrow screen`, async () => {
      await tab.page.setViewportSize({ width: 360, height: 740 });
      await tab.page.goto(tab.base + path);
      if (path === "/") {
        await tab.page.waitForSelector("#layer:not([disabled])");
        await tab.page.setInputFiles("#file", picture);
        await tab.page.waitForSelector("#predictions li");
      } else await tab.page.waitForSelector("#explain");
      await tab.fits();
    });

    test(`${path} has a name for every control`, async () => {
      await tab.page.goto(tab.base + path);
      await tab.page.waitForSelector(path === "/" ? "#layer:not([disabled])" : "#explain");
      assert.deepEqual(await tab.nameless(), []);
    });
  }

  test("the documentation lists every endpoint and problem, and its links lead somewhere", async () => {
    await tab.page.goto(`${tab.base}/docs#problem-invalid-option`);
    await tab.page.waitForSelector("#explain");
    assert.equal(await tab.page.evaluate(() => document.querySelector(":target")?.id), "problem-invalid-option");
    const contract = await (await fetch(`${tab.base}/openapi.json`)).json();
    const operations = Object.values(contract.paths).flatMap((verbs) => Object.values(verbs)).map(({ operationId }) => operationId);
    const problems = Object.keys(contract.components.examples);
    const dead = await tab.page.$$eval('a[href^="#"]', (links) => links.map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id)));
    assert.deepEqual(dead, []);
    const missing = await tab.page.evaluate((ids) => ids.filter((id) => !document.getElementById(id)), [...operations, ...problems]);
    assert.deepEqual(missing, []);
  });

  test("the documentation's forms send what they show", async () => {
    await tab.page.goto(`${tab.base}/docs`);
    await tab.page.waitForSelector("#explain");

    await tab.page.click("#listModels .try-it summary");
    await tab.page.click("#listModels .try button[type=submit]");
    await tab.page.waitForSelector("#listModels .outcome .status");
    assert.equal(await tab.page.textContent("#listModels .outcome .status"), "200");
    assert.match(await tab.page.textContent("#listModels .outcome"), /"default":/);

    await tab.page.click("#explain .try-it summary");
    await tab.page.setInputFiles("#try-explain-image", picture);
    await tab.page.selectOption("#try-explain-method", "gradcam");
    await tab.page.click("#explain .try button[type=submit]");
    await tab.page.waitForSelector("#explain .outcome img");
    assert.match(await tab.page.textContent("#explain .outcome"), /camlens-method: gradcam/);
    assert.match(await tab.page.textContent("#explain .curl code"), /^curl -sS '.*\/v1\/explain\?method=gradcam' -F image=@picture\.png/);

    await tab.page.fill("#try-explain-target", "no such class");
    await tab.page.click("#explain .try button[type=submit]");
    await tab.page.waitForSelector("#explain .outcome .status.bad");
    assert.equal(await tab.page.textContent("#explain .outcome .status"), "422");
  });
});
