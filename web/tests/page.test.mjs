// The page in normal use: samples, a picture, its map, the views, errors.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { image, inBrowser } from "./browser.mjs";

inBrowser("the page", (tab) => {
  const facts = () => tab.page.textContent("#facts");
  const waitForFact = (text) => tab.page.waitForFunction((text) => (
    document.querySelector("#facts").textContent.includes(text)
  ), text);

  /** Counts the requests to the API from now on. */
  function countRequests() {
    const counter = { requests: 0 };
    tab.page.on("request", (request) => {
      if (new URL(request.url()).pathname.startsWith("/v1/")) counter.requests++;
    });
    return counter;
  }

  test("a first visit says what comes back, and names the model", async () => {
    await tab.open();
    assert.match(await tab.page.textContent(".lead"), /predictions and a heat map/);
    const { default: id } = await (await fetch(`${tab.base}/v1/models`)).json();
    const model = await (await fetch(`${tab.base}/v1/models/${id}`)).json();
    assert.equal(await tab.page.textContent("#model-title"), model.title ?? id);
    if (model.domain) {
      assert.ok((await tab.page.textContent("#model-about")).includes(model.domain));
    }
    assert.ok(await tab.page.isHidden("#result"));
  });

  test("a click on a sample gives a map; each sample has its credit", async (context) => {
    const response = await fetch(`${tab.base}/samples`);
    const samples = response.ok ? await response.json() : [];
    if (samples.length === 0) return context.skip("this service has no samples");
    await tab.open();
    await tab.page.waitForSelector(".sample");
    const cards = await tab.page.$$eval(".sample", (all) => all.map((one) => one.textContent));
    assert.equal(cards.length, samples.length);
    for (const [at, { title, credit, license }] of samples.entries()) {
      assert.ok(cards[at].includes(title) && cards[at].includes(credit), cards[at]);
      assert.ok(cards[at].includes(license), cards[at]);
    }
    await tab.page.click(".sample");
    await tab.shown();
    assert.ok(await tab.colorsOn("#canvas") > 20);
    assert.ok(await tab.page.isHidden("#welcome"));
    // The name leads back to the samples.
    await tab.page.click("#brand");
    assert.ok(await tab.page.isVisible("#welcome"));
    assert.ok(await tab.page.isHidden("#result"));
  });

  test("a service without samples shows no place for them", async () => {
    await tab.page.route("**/samples", (route) => route.fulfill({ json: [] }));
    await tab.open();
    assert.ok(await tab.page.isHidden("#samples"));
    assert.ok(await tab.page.isVisible("#choose"));
  });

  test("a picture gets a map, predictions and details", async () => {
    await tab.openWithImage();
    assert.ok(await tab.colorsOn("#canvas") > 20, "the canvas shows more than one colour");
    assert.ok(await tab.page.locator("#predictions li").count() >= 1);
    assert.match(await facts(), /Layer.*Map\d+ × \d+.*Passes\d+ forward/s);
    assert.match(await tab.page.textContent("#status"), /: the map is ready\.|map is empty/);
    const { response } = await tab.exchange(-1);
    const name = response.target.label ?? `class ${response.target.index}`;
    assert.equal(await tab.page.textContent("#verdict"), name);
    const curl = new RegExp(`^curl -fsS '${tab.base}/v1/explain`);
    assert.match(await tab.page.textContent("#code"), curl);
  });

  test("the picture stays in view while the controls scroll", async () => {
    await tab.openWithImage();
    await tab.page.click("#more-methods");
    await tab.page.locator("#options").scrollIntoViewIfNeeded();
    const box = await tab.page.locator("#canvas").boundingBox();
    const options = await tab.page.locator("#options").boundingBox();
    assert.ok(options.y >= 0 && options.y < 900, "the last controls are in view");
    assert.ok(box.y >= 0 && box.y + box.height <= 900, `the picture is at ${box.y}`);
    await tab.page.setViewportSize({ width: 390, height: 800 });
    await tab.page.evaluate(() => scrollTo(0, 0));
    const [picture, panel] = await Promise.all(
      ["#canvas", "#class-panel"].map((one) => tab.page.locator(one).boundingBox()),
    );
    assert.ok(picture.y + picture.height <= panel.y, "on a phone the controls are below");
  });

  test("a display option repaints the map without a request", async () => {
    await tab.openWithImage();
    await tab.openOptions();
    const counter = countRequests();
    let last = await tab.pixels();
    const changes = [
      () => tab.page.selectOption("#colormap", "viridis"),
      () => tab.page.fill("#weight", "0.3"),
      () => tab.page.selectOption("#blend", "add"),
      () => tab.page.check("#emphasize"),
      () => tab.selectView("map"),
      () => tab.selectView("original"),
    ];
    for (const change of changes) {
      await change();
      await tab.repainted();
      const now = await tab.pixels();
      assert.notEqual(now, last, `${change} is visible`);
      last = now;
    }
    assert.equal(counter.requests, 0);
    const options = /colormap=viridis.*blend=add|blend=add.*colormap=viridis/;
    assert.match(await tab.page.textContent("#code"), options);
  });

  test("the default overlay is the server's own", async () => {
    await tab.openWithImage();
    assert.equal(await tab.page.textContent("#weight-text"), "50 %");
    assert.doesNotMatch(await tab.page.textContent("#code"), /blend|weight|colormap/);
  });

  test("input, map and overlay stand side by side", async () => {
    await tab.openWithImage();
    const overlay = await tab.pixels();
    await tab.selectView("side");
    await tab.repainted();
    const captions = await tab.page.$$eval(".figure-name", (all) => (
      all.map((one) => one.textContent)
    ));
    assert.deepEqual(captions, ["Input", "Map", "Overlay"]);
    const colors = [];
    for (const key of ["original", "map", "overlay"]) {
      colors.push(await tab.pixels(`[data-key="${key}"] canvas`));
    }
    assert.equal(new Set(colors).size, 3, "three different pictures");
    assert.equal(colors[2], overlay);
    await tab.assertFits();
  });

  test("a slider uncovers the picture, by mouse and by keyboard", async () => {
    await tab.openWithImage();
    const sides = () => tab.page.$eval("#canvas", (canvas) => {
      const context = canvas.getContext("2d");
      const at = (x) => [...context.getImageData(x * canvas.width, 40, 1, 1).data].join();
      return [at(0.25), at(0.75)];
    });
    const overlay = await sides();
    await tab.selectView("original");
    await tab.repainted();
    const picture = await sides();
    await tab.selectView("wipe");
    await tab.repainted();
    assert.deepEqual(await sides(), [picture[0], overlay[1]], "the picture is on the left");
    const box = await tab.page.locator(".split").boundingBox();
    await tab.page.mouse.click(box.x + box.width * 0.1, box.y + box.height / 2);
    await tab.repainted();
    assert.deepEqual(await sides(), overlay);
    await tab.page.focus(".split");
    await tab.page.keyboard.press("End");
    await tab.repainted();
    assert.deepEqual(await sides(), picture);
  });

  test("another method, layer or class is requested", async () => {
    await tab.openWithImage();
    const first = await facts();
    await tab.requestBy(() => tab.selectMethod("scorecam"));
    assert.match(await facts(), /Score-CAM/);
    const layers = await tab.page.$$eval("#layer option", (all) => all.map(({ value }) => value));
    const other = layers.find((layer) => !first.includes(`Layer${layer}`));
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    if (other) {
      await tab.requestBy(() => tab.page.selectOption("#layer", other));
      assert.ok((await facts()).includes(`Layer${other}`));
    }
    if (await tab.page.locator("#predictions li").count() > 1) {
      const button = "#predictions li:nth-child(2) button";
      const second = await tab.page.getAttribute(button, "data-index");
      await tab.requestBy(() => tab.page.click(button));
      assert.match(await facts(), new RegExp(`^Class.*\\b${second}\\b.*Probability`));
      assert.equal(await tab.page.getAttribute(button, "aria-pressed"), "true");
    }
  });

  test("a cached response is shown again without a request", async () => {
    await tab.openWithImage();
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    const counter = countRequests();
    await tab.selectMethod("gradcam++");
    await waitForFact("Grad-CAM++");
    assert.equal(counter.requests, 0);
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

  test("warnings of the response are visible", async () => {
    const warnings = [{ code: "preprocessing-guessed", detail: "the preprocessing is a guess" }];
    await tab.page.route("**/v1/explain", async (route) => {
      const headers = { ...route.request().headers(), accept: "application/json" };
      const response = await route.fetch({ headers });
      await route.fulfill({ json: { ...await response.json(), warnings } });
    });
    await tab.openWithImage();
    assert.ok(await tab.page.isVisible("#warnings"));
    assert.equal(await tab.page.textContent("#warnings"), "The preprocessing is a guess.");
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

  test("a file that is not an image is rejected, and the next image works", async () => {
    await tab.open();
    const buffer = Buffer.from("not an image");
    const notes = { name: "notes.txt", mimeType: "text/plain", buffer };
    const rejected = await tab.requestBy(() => tab.page.setInputFiles("#file", notes));
    assert.equal(rejected.status, 415);
    assert.ok(await tab.page.isVisible("#alert"));
    assert.equal(await tab.page.textContent("#alert-title"), rejected.response.title);
    assert.notEqual(await tab.page.textContent("#alert-detail"), "");
    assert.ok(await tab.page.isVisible("#choose"), "another picture can be chosen");
    await tab.page.setInputFiles("#file", image);
    await tab.shown();
    assert.ok(await tab.page.isHidden("#alert"));
  });
});
