// Opens the page in Chromium, from the server at CAMLENS_URL or else from the stub.
//
// CAMLENS_IMAGE is the image file to upload; by default, a small generated one.
// SHOTS=DIR saves a screenshot at the end of each test.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { after, afterEach, before, beforeEach, describe } from "node:test";
import { chromium } from "playwright-core";
import { png } from "./png.mjs";
import { start } from "./stub/server.mjs";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const TIMEOUT_MS = Number(process.env.TIMEOUT_MS ?? 120_000);
/** A limit that keeps Score-CAM short with a large model on a small machine. */
const MAX_CHANNELS = "8";

function disc(x, y) {
  return Math.hypot(x - 0.6, y - 0.5) < 0.25 ? [210, 120, 40] : [60 + 90 * y, 120, 160 - 60 * x];
}

export const image = {
  name: "image.png",
  mimeType: "image/png",
  buffer: process.env.CAMLENS_IMAGE
    ? readFileSync(process.env.CAMLENS_IMAGE)
    : png(320, 240, disc),
};

/**
 * Defines a group of tests, each in a new tab. A test fails if the console reports an error or a
 * warning, or if the page sends a request to another origin.
 */
export function inBrowser(title, define) {
  const skip = existsSync(CHROMIUM)
    ? false
    : `there is no browser at ${CHROMIUM} (Debian: apt-get install chromium)`;
  describe(title, { skip, concurrency: false, timeout: TIMEOUT_MS * 10 }, () => {
    const tab = new Tab();
    let stub, browser, messages, foreignRequests, name;

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
      tab.page.setDefaultTimeout(TIMEOUT_MS);
      await tab.page.addInitScript(recordRequests);
      messages = [];
      foreignRequests = [];
      tab.page.on("pageerror", (error) => messages.push(String(error)));
      tab.page.on("console", (message) => {
        // The console also lists error responses; the tests check those themselves.
        if (message.text().startsWith("Failed to load resource")) return;
        if (["error", "warning"].includes(message.type())) messages.push(message.text());
      });
      tab.page.on("request", (request) => {
        const { protocol, origin } = new URL(request.url());
        if (["blob:", "data:"].includes(protocol) || origin === new URL(tab.base).origin) return;
        foreignRequests.push(request.url());
      });
    });
    afterEach(async () => {
      await tab.screenshot(name.replace(/\W+/g, "-"));
      await tab.page.close();
      assert.deepEqual(messages, [], "nothing in the console");
      assert.deepEqual(foreignRequests, [], "no request leaves the origin");
    });

    define(tab);
  });
}

/**
 * Runs in the page before its own scripts: records each form that it posts for a map or a picture,
 * and the response.
 */
function recordRequests() {
  const send = window.fetch;
  window.exchanges = [];
  window.fetch = async (path, init) => {
    const response = await send(path, init);
    if (init?.body instanceof FormData && path !== "/v1/predict") {
      const texts = [...init.body].filter(([, value]) => typeof value === "string");
      const { status } = response;
      // Cancelled before its end, a response has no text.
      const text = response.clone().text().catch(() => "{}");
      window.exchanges.push({ options: Object.fromEntries(texts), status, text });
    }
    return response;
  };
}

/** One open page, with helpers for the tests. */
class Tab {
  page;
  base;

  async screenshot(name) {
    if (!process.env.SHOTS) return;
    await this.page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
  }

  /** Waits for two frames, so that a requested repaint has happened. */
  repainted() {
    return this.page.evaluate(() => new Promise((resolve) => {
      requestAnimationFrame(() => requestAnimationFrame(resolve));
    }));
  }

  /** Waits until no request is running. */
  idle() {
    return this.page.waitForSelector("#stage:not([aria-busy])", { state: "attached" });
  }

  /** The response to the next `POST` to this path. */
  nextResponse(path) {
    return this.page.waitForResponse((response) => (
      response.url().includes(path) && response.request().method() === "POST"
    ));
  }

  /** How many forms the page has posted. */
  exchangeCount() {
    return this.page.evaluate(() => window.exchanges.length);
  }

  /** The nth form that the page posted, as `options`, with the status and JSON of its response. */
  async exchange(nth) {
    const { options, status, text } = await this.page.evaluate(async (at) => {
      const exchange = window.exchanges.at(at);
      return { ...exchange, text: await exchange.text };
    }, nth);
    const events = Object.fromEntries(
      [...text.matchAll(/^event: (.*)\ndata: (.*)$/gm)].map(([, event, data]) => [event, data]),
    );
    return { options, status, response: JSON.parse(events.result ?? events.problem ?? text) };
  }

  /** Runs an action that requests a map, waits for the map, and returns the exchange. */
  async requestBy(action) {
    const before = await this.exchangeCount();
    await action();
    await this.page.waitForFunction((count) => window.exchanges.length > count, before);
    await this.idle();
    await this.repainted();
    return this.exchange(before);
  }

  /** How many different colours a canvas shows, counted on a coarse grid. */
  colorsOn(selector) {
    return this.page.$eval(selector, (canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      const seen = new Set();
      for (let i = 0; i < data.length; i += 4 * 97) {
        seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
      }
      return seen.size;
    });
  }

  pixels(selector = "#canvas") {
    return this.page.$eval(selector, (canvas) => canvas.toDataURL());
  }

  /** The controls that have no name for a screen reader. */
  unnamedControls() {
    return this.page.$$eval("input, select, button, a[href]", (controls) => {
      const isNamed = (control) => (
        control.labels?.length || control.getAttribute("aria-label") || control.textContent.trim()
      );
      return controls.filter((one) => !isNamed(one)).map((one) => one.outerHTML);
    });
  }

  /** Asserts that the page does not scroll sideways. */
  async assertFits() {
    const [content, window] = await this.page.evaluate(() => (
      [document.documentElement.scrollWidth, innerWidth]
    ));
    assert.ok(content <= window, `the content is ${content} px wide, the window ${window} px`);
  }

  /** Opens the page. `query` holds settings; Score-CAM stays short unless they say otherwise. */
  async open(query = `max_channels=${MAX_CHANNELS}`) {
    await this.page.goto(`${this.base}/?${query}`);
    await this.page.waitForSelector("#layer:not([disabled])", { state: "attached" });
  }

  async openWithImage(query) {
    await this.open(query);
    await this.page.setInputFiles("#file", image);
    await this.shown();
  }

  /** Waits until the picture has its map. */
  async shown() {
    await this.page.waitForSelector("#predictions li");
    await this.idle();
    await this.repainted();
  }

  /** Opens the part of the panel with the less common options. */
  async openOptions() {
    const isOpen = await this.page.$eval("#options", (options) => options.open);
    if (!isOpen) await this.page.click("#options summary");
  }

  /** Selects a method, one of the first three or another. */
  async selectMethod(method) {
    const input = this.page.locator(`input[name="method"][value="${method}"]`);
    if (!await input.isVisible()) await this.page.click("#more-methods");
    await input.check();
  }

  /** Switches to one map or to a kind of comparison. */
  selectMode(mode) {
    return this.page.check(`input[name="mode"][value="${mode}"]`);
  }

  selectView(view) {
    return this.page.check(`input[name="view"][value="${view}"]`);
  }

  /** The code that the page shows in a language. */
  async code(language) {
    await this.page.check(`input[name="language"][value="${language}"]`);
    return this.page.textContent("#code");
  }
}
