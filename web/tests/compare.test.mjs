// Comparisons of methods and layers, Score-CAM's estimate, and maps that are cancelled.

import assert from "node:assert/strict";
import { test } from "node:test";
import { sameMaps } from "../js/state/support.js";
import { inBrowser } from "./browser.mjs";

test("methods that agree are those that all layers name, as far as they are shown", () => {
  const group = ["gradcam", "hirescam", "xgradcam"];
  const [pooled, other] = [{ same_maps: [group] }, { same_maps: [] }];
  assert.deepEqual(sameMaps([pooled], ["hirescam"]), [group]);
  assert.deepEqual(sameMaps([pooled, pooled], ["gradcam"]), [group]);
  assert.deepEqual(sameMaps([pooled], ["xgradcam", "scorecam", "gradcam"]), [["gradcam", "xgradcam"]]);
  assert.deepEqual(sameMaps([pooled], ["gradcam", "scorecam"]), []);
  assert.deepEqual(sameMaps([pooled], ["scorecam"]), []);
  assert.deepEqual(sameMaps([pooled, other], ["gradcam"]), []);
  assert.deepEqual(sameMaps([{}], ["gradcam"]), []);
});

inBrowser("comparisons", (tab) => {
  const keys = () => tab.page.$$eval(".pane", (panes) => panes.map((pane) => pane.dataset.key));
  const allDone = () => tab.page.waitForFunction(() => {
    const panes = [...document.querySelectorAll(".pane")];
    return panes.length > 1 && panes.every(({ dataset }) => (
      !["waiting", "running"].includes(dataset.status)
    ));
  });

  test("methods stand side by side, and one of them can be shown alone", async () => {
    await tab.openWithImage();
    await tab.selectMode("methods");
    await allDone();
    await tab.repainted();
    assert.deepEqual(await keys(), ["gradcam", "gradcam++", "scorecam"]);
    for (const method of await keys()) {
      const colors = await tab.colorsOn(`.pane[data-key="${method}"] canvas`);
      assert.ok(colors > 20, `${method} is visible`);
    }
    assert.match(await tab.page.textContent("#code"), /\/v1\/compare/);
    await tab.requestBy(() => tab.selectMethod("layercam"));
    assert.deepEqual(await keys(), ["gradcam", "gradcam++", "scorecam", "layercam"]);
    await tab.page.uncheck('input[name="method"][value="scorecam"]');
    await allDone();
    assert.deepEqual(await keys(), ["gradcam", "gradcam++", "layercam"]);
    await tab.page.click('.pane[data-key="gradcam"] button');
    await tab.page.waitForSelector(".picture");
    assert.ok(await tab.page.isChecked('input[name="method"][value="gradcam"]'));
    await tab.idle();
  });

  test("methods with the same map on this layer are named", async () => {
    await tab.openWithImage("compare=methods&methods=gradcam,hirescam,gradcam%2B%2B");
    await allDone();
    const text = await tab.page.textContent("#agreement");
    assert.equal(text, "Grad-CAM and HiResCAM give the same map on this layer.");
  });

  test("layers stand side by side", async () => {
    await tab.openWithImage();
    await tab.selectMode("layers");
    await allDone();
    const names = await keys();
    assert.ok(names.length >= 2);
    const boxes = await tab.page.$$eval("#layer-checks input:checked", (all) => (
      all.map(({ value }) => value)
    ));
    assert.deepEqual([...names].sort(), [...boxes].sort());
    const sizes = await tab.page.evaluate(async () => Promise.all(
      window.exchanges.map(async ({ text }) => (await text).match(/"layer":"([^"]+)"/)?.[1]),
    ));
    for (const name of names) assert.ok(sizes.includes(name), name);
    await tab.page.uncheck(`#layer-checks input[value="${names[0]}"]`);
    await tab.idle();
    assert.equal((await tab.page.locator(".figures figure").count()), names.length - 1);
  });

  test("a slow method shows partial maps and the remaining time", async () => {
    await tab.openWithImage(`max_channels=${process.env.SLOW_CHANNELS ?? "512"}`);
    const before = await tab.pixels();
    await tab.selectMethod("scorecam");
    await tab.page.waitForFunction(() => (
      document.querySelector("#canvas").ariaLabel.includes("in progress")
    ));
    await tab.repainted();
    assert.notEqual(await tab.pixels(), before);
    assert.ok(await tab.page.isDisabled("#download"), "there is no complete map yet");
    await tab.page.waitForFunction(() => (
      /^\d+ of \d+, .* left$/.test(document.querySelector("#run-time").textContent)
    ));
    await tab.idle();
    assert.match(await tab.page.textContent("#facts"), /Score-CAM/);
    assert.ok(!(await tab.page.getAttribute("#canvas", "aria-label")).includes("in progress"));
  });

  test("a cancelled map stays, marked as partial and without an alert", async () => {
    await tab.openWithImage("max_channels=512");
    await tab.selectMethod("scorecam");
    await tab.page.waitForFunction(() => (
      document.querySelector("#canvas").ariaLabel.includes("in progress")
    ));
    await tab.page.click("#cancel");
    await tab.repainted();
    assert.ok(await tab.page.isHidden("#run"));
    assert.ok(await tab.page.isHidden("#alert"));
    assert.match(await tab.page.textContent("#remark"), /partial map, from \d+ of \d+ passes/);
    assert.match(await tab.page.getAttribute("#canvas", "aria-label"), /partial/);
    assert.ok(await tab.colorsOn("#canvas") > 20, "the map stays");
    assert.ok(await tab.page.isDisabled("#download"));
    // Its own numbers, and none of the map before.
    assert.match(await tab.page.textContent("#facts"), /MethodScore-CAM.*\d+ of \d+ passes, then/);
  });

  test("a request that is cancelled before its first map can be run again", async () => {
    await tab.openWithImage();
    // Blocks the request, so that the test does not depend on the server's speed.
    let isBlocked = true;
    await tab.page.route("**/v1/explain", async (route) => {
      if (!isBlocked) await route.continue();
    });
    await tab.selectMethod("scorecam");
    await tab.page.click("#cancel");
    assert.match(await tab.page.textContent("#remark"), /^\s*Cancelled\./);
    assert.ok(await tab.page.isHidden("#alert"));
    isBlocked = false;
    await tab.page.click("#continue");
    await tab.page.waitForFunction(() => (
      document.querySelector("#facts").textContent.includes("Score-CAM")
    ));
    assert.ok(await tab.page.isHidden("#remark"));
  });

  test("Score-CAM offers an estimate, which says how far it can be trusted", async () => {
    await tab.openWithImage("");
    await tab.selectMethod("scorecam");
    const quick = tab.page.locator('input[name="budget"][value="quick"]');
    const { options, response } = await tab.requestBy(() => quick.check());
    assert.ok(Number(options.budget) >= 8);
    assert.ok(response.passes.masked <= Number(options.budget));
    if (response.heatmap.estimate) {
      const { correlation, at_least: least } = response.heatmap.estimate;
      const about = await tab.page.textContent("#verdict-about");
      assert.ok(about.includes(`an estimate, correlated ${correlation.toFixed(2)}`), about);
      assert.ok((await tab.page.textContent("#facts")).includes(least.toFixed(3)));
    }
    assert.ok(tab.page.url().includes(`budget=${options.budget}`));
    await tab.openOptions();
    await tab.page.selectOption("#convention", "pytorch-grad-cam");
    assert.ok(await quick.isDisabled());
    const why = await quick.getAttribute("aria-description");
    assert.match(why, /softmax over all channels/);
    await tab.page.click("#cancel");
  });
});
