// A method of many passes first: the classes are there before its map, and without it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { image, inBrowser } from "./browser.mjs";

inBrowser("a long run first", (tab) => {
  /** Lets no request for a map come to an end: the service may be fast. */
  const holdMaps = () => tab.page.route("**/v1/explain", () => {});

  const names = () => tab.page.$$eval("#predictions .bar-name", (all) => (
    all.map((one) => one.textContent)
  ));

  async function openHeld(query = "method=scorecam") {
    await holdMaps();
    await tab.open(query);
    await tab.page.setInputFiles("#file", image);
    await tab.page.waitForSelector("#predictions li");
    // The map is still being computed.
    await tab.page.waitForSelector("#run:not([hidden])");
  }

  for (const method of ["scorecam", "ablationcam", "reciprocam"]) {
    test(`the classes are known while it runs: ${method}`, async () => {
      await openHeld(`method=${method}`);
      assert.ok((await names()).length > 1);
      assert.equal(await tab.page.getAttribute("#class-panel", "data-empty"), "false");
    });
  }

  test("a method of one pass asks for its map alone", async () => {
    let count = 0;
    await tab.page.route("**/v1/predict", (route) => { count++; return route.continue(); });
    await tab.openWithImage("");
    assert.equal(count, 0);
  });

  test("after a cancel classes and details stay, and Classes compares them", async () => {
    await openHeld();
    const listed = await names();
    await tab.page.click("#cancel");
    assert.deepEqual(await names(), listed);
    assert.match(await tab.page.textContent("#facts"), /^Class.*Probability.*MethodScore-CAM/);
    await tab.selectMode("classes");
    await tab.page.waitForSelector(".pane");
    assert.deepEqual(
      await tab.page.$$eval(".pane button", (all) => all.map((one) => one.textContent)),
      listed.slice(0, 3),
    );
    assert.ok(await tab.page.isChecked('input[name="mode"][value="classes"]'));
    await tab.page.click("#cancel");
  });

  test("Classes waits for the classes where they are not known, and starts no run", async () => {
    await holdMaps();
    let answer;
    const held = new Promise((resolve) => { answer = resolve; });
    await tab.page.route("**/v1/predict", async (route) => {
      await held;
      await route.continue();
    });
    await tab.open("method=scorecam");
    await tab.page.setInputFiles("#file", image);
    await tab.page.click("#cancel");
    await tab.selectMode("classes");
    assert.ok(await tab.page.isHidden("#run"), "no run without classes");
    answer();
    await tab.page.waitForSelector(".pane");
    assert.equal(await tab.page.locator(".pane").count(), 3);
    await tab.page.click("#cancel");
  });

  test("where the classes cannot be had the page says why, and the mode is the one before",
    async () => {
      await holdMaps();
      await tab.page.route("**/v1/predict", (route) => (
        route.fulfill({ status: 503, json: { title: "The service is busy", status: 503 } })
      ));
      await tab.open("method=scorecam");
      await tab.page.setInputFiles("#file", image);
      await tab.page.click("#cancel");
      await tab.selectMode("classes");
      await tab.page.waitForSelector("#alert:not([hidden])");
      assert.equal(await tab.page.textContent("#alert-title"), "The service is busy");
      assert.ok(await tab.page.isChecked('input[name="mode"][value="single"]'));
    });
});
