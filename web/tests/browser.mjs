// Chromium with the page in it: against the server at CAMLENS_URL or, without it, the stub.
//
// CAMLENS_IMAGE names the picture to use; without it a small one is drawn here.
// SHOTS=DIR keeps a screenshot of each test's end.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe } from "node:test";
import { chromium } from "playwright-core";
import { png, start } from "./stub.mjs";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 120_000);
/** Few enough for Score-CAM on a large model and a small machine. */
const CHANNELS = "8";

export const picture = process.env.CAMLENS_IMAGE
  ? { name: "picture.png", mimeType: "image/png", buffer: readFileSync(process.env.CAMLENS_IMAGE) }
  : { name: "picture.png", mimeType: "image/png", buffer: png(320, 240, (x, y) => (Math.hypot(x - 0.6, y - 0.5) < 0.25 ? [210, 120, 40] : [60 + 90 * y, 120, 160 - 60 * x])) };

/** A group of tests, each with a fresh tab; what goes wrong in the console fails it, and so does a request elsewhere. */
export function inBrowser(title, define) {
  const skip = existsSync(CHROMIUM) ? false : `there is no browser at ${CHROMIUM} (Debian: apt-get install chromium)`;
  describe(title, { skip, concurrency: false, timeout: PATIENCE_MS * 4 }, () => {
    const tab = new Tab();
    let stub, browser, complaints, strangers, name;

    before(async () => {
      if (process.env.CAMLENS_URL) tab.base = process.env.CAMLENS_URL.replace(/\/$/, "");
      else {
        stub = await start();
        tab.base = `http://127.0.0.1:${stub.address().port}`;
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
      tab.page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
      tab.page.setDefaultTimeout(PATIENCE_MS);
      await tab.page.addInitScript(listen);
      complaints = [];
      strangers = [];
      tab.page.on("pageerror", (error) => complaints.push(String(error)));
      tab.page.on("console", (message) => {
        // A refused request is also a line in the console; the tests look at those themselves.
        if (["error", "warning"].includes(message.type()) && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
      });
      tab.page.on("request", (request) => {
        const { protocol, origin } = new URL(request.url());
        if (!["blob:", "data:"].includes(protocol) && origin !== new URL(tab.base).origin) strangers.push(request.url());
      });
    });
    afterEach(async () => {
      await tab.shot(name.replace(/\W+/g, "-"));
      await tab.page.close();
      assert.deepEqual(complaints, [], "nothing in the console");
      assert.deepEqual(strangers, [], "no request leaves the origin");
    });

    define(tab);
  });
}

/** Runs in the page, before its own scripts: keeps what is asked with a form, and what comes back. */
function listen() {
  const send = window.fetch;
  window.heard = [];
  window.fetch = async (path, init) => {
    const response = await send(path, init);
    if (init?.body instanceof FormData) {
      const asked = Object.fromEntries([...init.body].filter(([, value]) => typeof value === "string"));
      window.heard.push({ asked, status: response.status, text: response.clone().text() });
    }
    return response;
  };
}

/** One open page and what the tests do with it. */
class Tab {
  page;
  base;

  async shot(name) {
    if (process.env.SHOTS) await this.page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
  }

  /** A frame, so that a repaint that was asked for has happened. */
  painted() {
    return this.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }

  quiet() {
    return this.page.waitForSelector("#stage:not([aria-busy])");
  }

  /** The answer to the next request of this path. */
  answered(path) {
    return this.page.waitForResponse((response) => response.url().includes(path) && response.request().method() === "POST");
  }

  /** Does something and waits for its map. Gives what was asked, as the form's fields, and the JSON that came. */
  async asks(change) {
    const before = await this.page.evaluate(() => window.heard.length);
    await change();
    await this.page.waitForFunction((count) => window.heard.length > count, before);
    await this.quiet();
    await this.painted();
    const { asked, status, text } = await this.page.evaluate(async (at) => ({ ...window.heard[at], text: await window.heard[at].text }), before);
    const events = Object.fromEntries([...text.matchAll(/^event: (.*)\ndata: (.*)$/gm)].map(([, event, data]) => [event, data]));
    return { asked, status, answer: JSON.parse(events.result ?? events.problem ?? text) };
  }

  /** How many different colours a canvas shows, counted on a coarse grid. */
  colorsOn(selector) {
    return this.page.$eval(selector, (canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4 * 97) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
      return seen.size;
    });
  }

  pixels(selector = "#canvas") {
    return this.page.$eval(selector, (canvas) => canvas.toDataURL());
  }

  /** Controls that a screen reader would have no name for. */
  nameless() {
    return this.page.$$eval("input, select, button", (controls) => controls
      .filter((control) => !(control.labels?.length || control.getAttribute("aria-label") || control.textContent.trim()))
      .map((control) => control.outerHTML));
  }

  /** Whether there is nothing to scroll sideways. */
  async fits() {
    const [wide, visible] = await this.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wide <= visible, `${wide} px are wanted where ${visible} are`);
  }

  async open() {
    await this.page.goto(this.base);
    await this.page.waitForSelector("#layer:not([disabled])");
    await this.page.locator("summary", { hasText: "More" }).click();
    await this.page.fill("#max-channels", CHANNELS);
  }

  async openWithPicture() {
    await this.open();
    await this.page.setInputFiles("#file", picture);
    await this.page.waitForSelector("#predictions li");
    await this.quiet();
    await this.painted();
  }
}
