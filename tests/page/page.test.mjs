// The two pages in a real browser, against the server at CAMLENS_URL or, without it, the stub.
//
// CAMLENS_IMAGE names the picture to use; without it a small one is drawn here.
// SHOTS=DIR keeps a screenshot of each step.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { png, start } from "./stub.mjs";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 120_000);
/** Few enough for Score-CAM on a large model and a small machine. */
const CHANNELS = "8";

const skip = existsSync(CHROMIUM) ? false : `there is no browser at ${CHROMIUM} (Debian: apt-get install chromium)`;

const picture = process.env.CAMLENS_IMAGE
  ? { name: "picture.png", mimeType: "image/png", buffer: readFileSync(process.env.CAMLENS_IMAGE) }
  : { name: "picture.png", mimeType: "image/png", buffer: png(320, 240, (x, y) => (Math.hypot(x - 0.6, y - 0.5) < 0.25 ? [210, 120, 40] : [60 + 90 * y, 120, 160 - 60 * x])) };

describe("the pages", { skip, concurrency: false, timeout: PATIENCE_MS * 4 }, () => {
  let base, stub, browser, page, complaints, strangers, name;

  before(async () => {
    if (process.env.CAMLENS_URL) base = process.env.CAMLENS_URL.replace(/\/$/, "");
    else {
      stub = await start();
      base = `http://127.0.0.1:${stub.address().port}`;
    }
    browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    if (process.env.SHOTS) mkdirSync(process.env.SHOTS, { recursive: true });
  });
  after(async () => {
    await browser?.close();
    stub?.closeAllConnections();
    stub?.close();
  });

  beforeEach(async (context) => {
    name = context.name;
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.setDefaultTimeout(PATIENCE_MS);
    complaints = [];
    strangers = [];
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      // A refused request is also a line in the console; the tests look at those themselves.
      if (["error", "warning"].includes(message.type()) && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
    });
    page.on("request", (request) => {
      const { protocol, origin } = new URL(request.url());
      if (!["blob:", "data:"].includes(protocol) && origin !== new URL(base).origin) strangers.push(request.url());
    });
  });
  afterEach(async () => {
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/${name.replace(/\W+/g, "-")}.png`, fullPage: true });
    await page.close();
    assert.deepEqual(complaints, [], "nothing in the console");
    assert.deepEqual(strangers, [], "no request leaves the origin");
  });

  /** How many different colours a canvas shows, counted on a coarse grid. */
  const colorsOn = (selector) => page.$eval(selector, (canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4 * 97) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    return seen.size;
  });
  const pixels = (selector = "#canvas") => page.$eval(selector, (canvas) => canvas.toDataURL());
  /** A frame, so that a repaint that was asked for has happened. */
  const painted = () => page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  const quiet = () => page.waitForSelector("#stage:not([aria-busy])");
  const answered = (path) => page.waitForResponse((response) => response.url().includes(path) && response.request().method() === "POST");

  async function open() {
    await page.goto(base);
    await page.waitForSelector("#layer:not([disabled])");
    await page.locator("summary", { hasText: "More" }).click();
    await page.fill("#max-channels", CHANNELS);
  }
  async function openWithPicture() {
    await open();
    await page.setInputFiles("#file", picture);
    await page.waitForSelector("#predictions li");
    await quiet();
    await painted();
  }

  test("a picture gets a map, predictions and the numbers", async () => {
    await openWithPicture();
    assert.ok(await colorsOn("#canvas") > 20, "the canvas shows more than one colour");
    assert.ok(await page.locator("#predictions li").count() >= 1);
    assert.match(await page.textContent("#facts"), /Layer.*Map\d+ × \d+.*Passes1 forward/s);
    assert.match(await page.textContent("#status"), /: the map is here\.|no map to draw/);
    assert.match(await page.textContent("#curl"), new RegExp(`^curl -fsS '${base}/v1/explain\\?`));
  });

  test("how the map looks changes at once, without the server", async () => {
    await openWithPicture();
    let asked = 0;
    page.on("request", () => { asked++; });
    let last = await pixels();
    const changes = [
      () => page.selectOption("#colormap", "viridis"),
      () => page.fill("#weight", "0.3"),
      () => page.selectOption("#blend", "mix"),
      () => page.check("#emphasize"),
      () => page.check('input[name="view"][value="map"]'),
      () => page.check('input[name="view"][value="original"]'),
    ];
    for (const change of changes) {
      await change();
      await painted();
      const now = await pixels();
      assert.notEqual(now, last, `${change} shows`);
      last = now;
    }
    assert.equal(asked, 0);
    assert.match(await page.textContent("#curl"), /colormap=viridis.*blend=mix|blend=mix.*colormap=viridis/);
  });

  test("another method, layer and class are asked for", async () => {
    await openWithPicture();
    const first = await page.textContent("#facts");

    let response = answered("/v1/explain");
    await page.check('input[name="method"][value="scorecam"]');
    await response;
    await quiet();
    assert.match(await page.textContent("#facts"), /Score-CAM/);

    const layers = await page.$$eval("#layer option", (options) => options.map(({ value }) => value));
    const other = layers.find((layer) => !first.includes(`Layer${layer}`));
    response = answered("/v1/explain");
    await page.check('input[name="method"][value="gradcam"]');
    await response;
    await quiet();
    if (other) {
      response = answered("/v1/explain");
      await page.selectOption("#layer", other);
      await response;
      await quiet();
      assert.ok((await page.textContent("#facts")).includes(`Layer${other}`));
    }

    if (await page.locator("#predictions li").count() > 1) {
      response = answered("/v1/explain");
      const second = await page.getAttribute("#predictions li:nth-child(2) button", "data-index");
      await page.locator("#predictions button").nth(1).click();
      await response;
      await quiet();
      assert.match(await page.textContent("#facts"), new RegExp(`^Class.*\\b${second}\\b.*Probability`));
      assert.equal(await page.getAttribute("#predictions li:nth-child(2) button", "aria-pressed"), "true");
    }
  });

  test("a class is found by typing and picked with the keyboard", async () => {
    await openWithPicture();
    const wanted = await page.$eval("#predictions li:last-child button", (button) => button.dataset.index);
    const response = answered("/v1/explain");
    await page.focus("#target");
    await page.keyboard.type(wanted);
    await page.keyboard.press("Enter");
    await response;
    await quiet();
    assert.match(await page.textContent("#facts"), new RegExp(`^Class.*\\b${wanted}\\b.*Probability`));
    assert.equal(await page.getAttribute("#target", "aria-expanded"), "false");
  });

  test("what was asked before is shown again without asking", async () => {
    await openWithPicture();
    const response = answered("/v1/explain");
    await page.check('input[name="method"][value="gradcam"]');
    await response;
    await quiet();
    let asked = 0;
    page.on("request", () => { asked++; });
    await page.check('input[name="method"][value="gradcam++"]');
    await page.waitForFunction(() => document.querySelector("#facts").textContent.includes("Grad-CAM++"));
    assert.equal(asked, 0);
  });

  test("the methods side by side", async () => {
    await openWithPicture();
    await page.check('input[name="mode"][value="compare"]');
    await page.waitForFunction(() => {
      const notes = [...document.querySelectorAll(".pane .soft")];
      return notes.length === 3 && notes.every((note) => !/^(Waiting|At work)/.test(note.textContent));
    });
    await quiet();
    await painted();
    for (const method of ["gradcam", "gradcam++", "scorecam"]) {
      assert.ok(await colorsOn(`.pane[data-method="${method}"] canvas`) > 20, `${method} is drawn`);
    }
    assert.match(await page.textContent("#curl"), /\/v1\/compare/);
    await page.click('.pane[data-method="gradcam"] button');
    await page.waitForSelector("#single:not([hidden])");
    await quiet();
  });

  test("the server's picture is saved", async () => {
    await openWithPicture();
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
    assert.equal(download.suggestedFilename(), "picture-gradcampp.png");
    assert.deepEqual([...readFileSync(await download.path()).subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47]);
  });

  test("a slow map grows while it is made, with the time that is left", async () => {
    await openWithPicture();
    const before = await pixels();
    await page.fill("#max-channels", process.env.SLOW_CHANNELS ?? "96");
    await page.check('input[name="method"][value="scorecam"]');
    await page.waitForFunction(() => document.querySelector("#canvas").getAttribute("aria-label").includes("not finished yet"));
    await painted();
    assert.notEqual(await pixels(), before);
    await page.waitForFunction(() => /^\d+ of \d+, .* left$/.test(document.querySelector("#run-time").textContent));
    const [done, total] = (await page.textContent("#run-time")).match(/\d+/g).map(Number);
    assert.ok(done > 0 && done < total);
    assert.ok(Math.abs(await page.$eval("#run-bar", (bar) => bar.value) - done / total) < 0.25);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/growing.png` });
    await quiet();
    assert.match(await page.textContent("#facts"), /Score-CAM/);
    assert.ok(!(await page.getAttribute("#canvas", "aria-label")).includes("not finished"));
  });

  test("where nothing knows of streams, the answer just comes", async () => {
    await page.route("**/v1/explain", (route) => route.continue({ headers: { ...route.request().headers(), accept: "application/json" } }));
    await openWithPicture();
    assert.match(await page.textContent("#status"), /: the map is here\.|no map to draw/);
  });

  test("a stream that breaks off is said to have", async () => {
    await page.route("**/v1/explain", (route) => route.fulfill({ contentType: "text/event-stream", body: "event: started\ndata: {}\n\nevent: resu" }));
    await open();
    await page.setInputFiles("#file", picture);
    await page.waitForSelector("#alert:not([hidden])");
    assert.equal(await page.textContent("#alert-title"), "The answer broke off");
    assert.ok(await page.isVisible("#again"));
  });

  test("a slow answer can be cancelled, and asked for again", async () => {
    await openWithPicture();
    // Held back, so that the test does not depend on how fast the server is.
    let hold = true;
    await page.route("**/v1/explain", async (route) => {
      if (hold) return;
      await route.continue();
    });
    await page.check('input[name="method"][value="scorecam"]');
    await page.click("#cancel");
    assert.equal(await page.textContent("#alert-title"), "Stopped");
    assert.ok(await page.isHidden("#run"));
    hold = false;
    await page.click("#again");
    await page.waitForFunction(() => document.querySelector("#facts").textContent.includes("Score-CAM"));
    assert.ok(await page.isHidden("#alert"));
  });

  test("a file that is no image is refused in words, and the next one works", async () => {
    await open();
    await page.setInputFiles("#file", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("not an image") });
    await page.waitForSelector("#alert:not([hidden])");
    assert.equal(await page.textContent("#alert-title"), "The image type is not accepted");
    assert.notEqual(await page.textContent("#alert-detail"), "");
    await page.setInputFiles("#file", picture);
    await page.waitForSelector("#predictions li");
    assert.ok(await page.isHidden("#alert"));
  });

  for (const path of ["/", "/docs"]) {
    test(`${path} fits a narrow screen`, async () => {
      await page.setViewportSize({ width: 360, height: 740 });
      await page.goto(base + path);
      if (path === "/") {
        await page.waitForSelector("#layer:not([disabled])");
        await page.setInputFiles("#file", picture);
        await page.waitForSelector("#predictions li");
      } else await page.waitForSelector("#explain");
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360, "nothing to scroll sideways");
    });

    test(`${path} has a name for every control`, async () => {
      await page.goto(base + path);
      await page.waitForSelector(path === "/" ? "#layer:not([disabled])" : "#explain");
      const nameless = await page.$$eval("input, select, button", (controls) => controls
        .filter((control) => !(control.labels?.length || control.getAttribute("aria-label") || control.textContent.trim()))
        .map((control) => control.outerHTML));
      assert.deepEqual(nameless, []);
    });
  }

  test("the documentation lists every endpoint and problem, and its links lead somewhere", async () => {
    await page.goto(`${base}/docs#problem-invalid-option`);
    await page.waitForSelector("#explain");
    assert.equal(await page.evaluate(() => document.querySelector(":target")?.id), "problem-invalid-option");
    const contract = await (await fetch(`${base}/openapi.json`)).json();
    const operations = Object.values(contract.paths).flatMap((verbs) => Object.values(verbs)).map(({ operationId }) => operationId);
    const problems = Object.keys(contract.components.examples);
    const dead = await page.$$eval('a[href^="#"]', (links) => links.map((link) => link.hash.slice(1)).filter((id) => !document.getElementById(id)));
    assert.deepEqual(dead, []);
    const missing = await page.evaluate((ids) => ids.filter((id) => !document.getElementById(id)), [...operations, ...problems]);
    assert.deepEqual(missing, []);
  });

  test("the documentation's forms send what they show", async () => {
    await page.goto(`${base}/docs`);
    await page.waitForSelector("#explain");

    await page.click("#listModels .try-it summary");
    await page.click("#listModels .try button[type=submit]");
    await page.waitForSelector("#listModels .outcome .status");
    assert.equal(await page.textContent("#listModels .outcome .status"), "200");
    assert.match(await page.textContent("#listModels .outcome"), /"default":/);

    await page.click("#explain .try-it summary");
    await page.setInputFiles("#try-explain-image", picture);
    await page.selectOption("#try-explain-method", "gradcam");
    await page.click("#explain .try button[type=submit]");
    await page.waitForSelector("#explain .outcome img");
    assert.match(await page.textContent("#explain .outcome"), /camlens-method: gradcam/);
    assert.match(await page.textContent("#explain .curl code"), /^curl -sS '.*\/v1\/explain\?method=gradcam' -F image=@picture\.png/);

    await page.fill("#try-explain-target", "no such class");
    await page.click("#explain .try button[type=submit]");
    await page.waitForSelector("#explain .outcome .status.bad");
    assert.equal(await page.textContent("#explain .outcome .status"), "422");
  });
});
