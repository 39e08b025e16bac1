// axe finds nothing, in any state, theme or width; everything works with a keyboard alone.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { image, inBrowser } from "./browser.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const SAMPLES = [
  { file: "a.jpg", title: "A picture", credit: "Somebody", license: "CC0", model: "other" },
];

inBrowser("accessibility", (tab) => {
  async function assertAccessible(state) {
    // `evaluate` is not bound by the page's content security policy; a script element would be.
    await tab.page.evaluate(axe);
    const { violations } = await tab.page.evaluate(() => window.axe.run());
    const found = violations.map(({ id, nodes }) => (
      `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`
    ));
    assert.deepEqual(found, [], state);
  }

  const STATES = {
    "first visit": () => tab.open(),
    "one map": () => tab.openWithImage(),
    "all methods and options": async () => {
      await tab.openWithImage();
      await tab.page.click("#more-methods");
      await tab.openOptions();
    },
    "side by side": () => tab.openWithImage("view=side"),
    "slider": () => tab.openWithImage("view=wipe"),
    "comparison": async () => {
      await tab.openWithImage("compare=layers&max_channels=8");
      await tab.idle();
    },
    "Score-CAM": () => tab.openWithImage("method=scorecam&max_channels=8"),
    "map": () => tab.openWithImage("view=map"),
    "running": async () => {
      await tab.openWithImage("compare=layers&max_channels=8");
      await tab.page.route("**/v1/explain", () => {});
      await tab.selectMethod("eigencam");
      await tab.page.waitForSelector("#run:not([hidden])");
    },
    "change picture": async () => {
      await tab.openWithImage();
      await tab.page.route("**/samples", (route) => route.fulfill({ json: SAMPLES }));
      await tab.page.reload();
      await tab.shown();
      await tab.page.click("#choose-other");
      await tab.page.waitForSelector("#picker .sample");
    },
    "sample of another model": async () => {
      await tab.page.route("**/samples", (route) => route.fulfill({ json: SAMPLES }));
      await tab.page.route("**/samples/*", (route) => route.fulfill({ body: image.buffer }));
      await tab.page.route("**/v1/models", async (route) => {
        const json = await (await route.fetch()).json();
        json.details.push({ ...json.details[0], id: "other", title: "Other", ready: true });
        await route.fulfill({ json });
      });
      await tab.open();
      await tab.page.click("#sample-list .sample");
      await tab.shown();
      assert.ok(await tab.page.isVisible("#sample-note"));
    },
    "class list": async () => {
      await tab.openWithImage();
      await tab.page.click("#target");
    },
    "contrast class": async () => {
      await tab.openWithImage();
      await tab.openOptions();
      await tab.page.click("#contrast");
      await tab.page.waitForSelector("#contrast-list:not([hidden])");
    },
    "unknown contrast class": async () => {
      await tab.openWithImage();
      await tab.openOptions();
      await tab.page.fill("#contrast", "foo bar");
      await tab.page.press("#contrast", "Tab");
      await tab.page.waitForSelector("#contrast-error");
    },
    "cancelled": async () => {
      await tab.page.route("**/v1/explain", () => {});
      await tab.open("method=scorecam");
      await tab.page.setInputFiles("#file", image);
      await tab.page.waitForSelector("#predictions li");
      await tab.page.waitForSelector("#run:not([hidden])");
      await tab.page.click("#cancel");
    },
    "error": async () => {
      await tab.open();
      const buffer = Buffer.from("not an image");
      await tab.page.setInputFiles("#file", { name: "a.txt", mimeType: "text/plain", buffer });
      await tab.page.waitForSelector("#alert:not([hidden])");
    },
  };
  for (const [name, open] of Object.entries(STATES)) {
    test(`axe finds nothing: ${name}`, async () => {
      await open();
      await assertAccessible("light");
      await tab.page.emulateMedia({ colorScheme: "dark" });
      await tab.repainted();
      await assertAccessible("dark");
      await tab.page.setViewportSize({ width: 360, height: 740 });
      await tab.repainted();
      await assertAccessible("phone");
      await tab.assertFits();
    });
  }

  const guide = JSON.parse(readFileSync(new URL("../../docs/guide/pages.json", import.meta.url)));
  const PAGES = {
    "/docs": "#explain",
    "/docs with a form open": "#explain",
    ...Object.fromEntries(guide.map(({ file }) => (
      [`/docs/guide/${file.replace(".md", ".html")}`, "main"]
    ))),
  };
  for (const [name, selector] of Object.entries(PAGES)) {
    const skip = name.startsWith("/docs/guide") && !process.env.CAMLENS_URL
      ? "the stub has no guide" : false;
    test(`axe finds nothing: ${name}`, { skip }, async () => {
      await tab.page.goto(`${tab.base}${name.split(" ")[0]}`);
      await tab.page.waitForSelector(selector);
      if (name.includes("form")) await tab.page.click("#explain .try-it summary");
      for (const colorScheme of ["light", "dark"]) {
        await tab.page.emulateMedia({ colorScheme });
        await tab.repainted();
        await assertAccessible(colorScheme);
      }
      await tab.page.setViewportSize({ width: 360, height: 740 });
      await tab.repainted();
      await assertAccessible("phone");
      await tab.assertFits();
    });
  }

  test("/docs fits a narrow screen and its controls have names", async () => {
    await tab.page.setViewportSize({ width: 360, height: 740 });
    await tab.page.goto(`${tab.base}/docs`);
    await tab.page.waitForSelector("#explain");
    await tab.assertFits();
    assert.deepEqual(await tab.unnamedControls(), []);
  });

  test("at 200 % zoom everything fits", async () => {
    await tab.page.setViewportSize({ width: 640, height: 450 });
    await tab.openWithImage();
    await tab.assertFits();
    await tab.selectMode("methods");
    await tab.idle();
    await tab.assertFits();
  });

  test("every control has a name", async () => {
    await tab.openWithImage();
    await tab.page.click("#more-methods");
    assert.deepEqual(await tab.unnamedControls(), []);
  });

  test("the keyboard alone selects a method, a view and a class", async () => {
    await tab.openWithImage();
    const { page } = tab;
    await page.focus('input[name="method"]:checked');
    await tab.requestBy(() => page.keyboard.press("ArrowDown"));
    assert.equal(await page.evaluate(() => document.activeElement.name), "method");
    await page.focus('input[name="view"]:checked');
    await page.keyboard.press("ArrowRight");
    assert.ok(await page.isChecked('input[name="view"][value="wipe"]'));
    const last = await page.getAttribute("#predictions li:last-child button", "data-index");
    await page.focus("#target");
    await page.keyboard.type(last);
    await tab.requestBy(() => page.keyboard.press("Enter"));
    assert.equal(await page.getAttribute("#target", "aria-expanded"), "false");
    assert.match(await page.textContent("#facts"), new RegExp(`^Class.*\\b${last}\\b`));
  });

  test("with reduced motion nothing moves; forced colours show the selection", async () => {
    await tab.page.emulateMedia({ reducedMotion: "reduce", forcedColors: "active" });
    await tab.openWithImage();
    const moving = await tab.page.evaluate(() => (
      [...document.querySelectorAll("*")].filter((one) => (
        getComputedStyle(one).transitionDuration !== "0s"
      )).length
    ));
    assert.equal(moving, 0);
    const [chosen, other] = await tab.page.$$eval("#views label span", (spans) => (
      spans.slice(0, 2).map((span) => getComputedStyle(span).backgroundColor)
    ));
    assert.notEqual(chosen, other);
  });

  test("a drop is a picture, too", async () => {
    await tab.open();
    const data = await tab.page.evaluateHandle(({ bytes, name }) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
      return transfer;
    }, { bytes: [...image.buffer], name: image.name });
    await tab.page.dispatchEvent("#drop", "drop", { dataTransfer: data });
    await tab.shown();
  });
});
