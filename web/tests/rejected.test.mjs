// An option that cannot be: the field says so and offers what can be, and the last map stays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { INITIAL_STATE } from "../js/state/initial.js";
import { settingsFor } from "../js/state/settings.js";
import { inBrowser } from "./browser.mjs";

test("a contrast class of an address is an index, or none", () => {
  const model = {
    labels: ["tench", "crane, heron"], output: { classes: 2 }, methods: { gradcam: {} },
    layers: [{ name: "conv", methods: ["gradcam"] }],
  };
  const contrastOf = (contrast) => (
    settingsFor(model, { ...INITIAL_STATE.settings, contrast }).contrast
  );
  assert.deepEqual(["1", "heron", "foo bar", "7", ""].map(contrastOf), ["1", "1", "", "", ""]);
});

inBrowser("a rejected option", (tab) => {
  const focusedId = () => tab.page.evaluate(() => document.activeElement.id);
  const nameOf = (nth) => tab.page.textContent(`#predictions li:nth-child(${nth}) .bar-name`);

  async function openWithContrast() {
    await tab.openWithImage();
    await tab.openOptions();
    return { pixels: await tab.pixels(), verdict: await tab.page.textContent("#verdict") };
  }

  async function assertKept({ pixels, verdict }) {
    assert.equal(await tab.page.textContent("#verdict"), verdict);
    assert.equal(await tab.pixels(), pixels, "the map stays");
    assert.ok(await tab.page.isVisible("#details"));
  }

  for (const key of ["Tab", "Enter"]) {
    test(`a contrast class that does not exist is told at the field: ${key}`, async () => {
      const before = await openWithContrast();
      const count = await tab.exchangeCount();
      await tab.page.fill("#contrast", "foo bar");
      await tab.page.press("#contrast", key);
      assert.match(await tab.page.textContent("#contrast-error"), /no class “foo bar”/);
      assert.equal(await tab.page.getAttribute("#contrast", "aria-invalid"), "true");
      assert.match(await tab.page.getAttribute("#contrast", "aria-describedby"), /contrast-error/);
      assert.equal(await tab.page.inputValue("#contrast"), "foo bar", "to be corrected");
      const colors = await tab.page.evaluate(() => {
        const [field, error] = ["contrast", "contrast-error"].map((id) => (
          getComputedStyle(document.getElementById(id))
        ));
        return [field.borderTopColor, error.color];
      });
      assert.equal(colors[0], colors[1], "the field has the colour of the error");
      await tab.idle();
      await tab.repainted();
      await assertKept(before);
      assert.equal(await tab.exchangeCount(), count, "no request");
      await tab.page.fill("#contrast", "");
      assert.equal(await tab.page.locator("#contrast-error").count(), 0);
      assert.equal(await tab.page.getAttribute("#contrast", "aria-invalid"), null);
    });
  }

  test("the field offers the search of Find a class", async () => {
    await openWithContrast();
    const name = await nameOf(2);
    await tab.page.click("#contrast");
    assert.equal(await tab.page.textContent("#contrast-list li:first-child"), "No contrast");
    await tab.page.fill("#contrast", name.slice(0, -1));
    const listed = await tab.page.$$eval("#contrast-list li span", (all) => (
      all.map((one) => one.textContent)
    ));
    assert.ok(listed.includes(name), String(listed));
    await tab.page.fill("#contrast", name);
    const { options, response } = await tab.requestBy(() => tab.page.press("#contrast", "Enter"));
    assert.equal(response.contrast.index, Number(options.contrast));
    assert.equal(await tab.page.inputValue("#contrast"), name);
    assert.equal(await focusedId(), "contrast");
    // Clearing the field removes the contrast.
    await tab.page.fill("#contrast", "");
    await tab.idle();
    assert.doesNotMatch(await tab.page.textContent("#verdict-about"), /rather than/);
  });

  test("a name that is left in the field counts, and Escape takes an error back", async () => {
    await openWithContrast();
    const name = await nameOf(2);
    await tab.page.fill("#contrast", name.toUpperCase());
    const { response } = await tab.requestBy(() => tab.page.press("#contrast", "Tab"));
    assert.ok(response.contrast);
    assert.equal(await tab.page.inputValue("#contrast"), name);
    await tab.page.fill("#contrast", "foo bar");
    await tab.page.press("#contrast", "Enter");
    await tab.page.press("#contrast", "ArrowDown");
    await tab.page.press("#contrast", "Escape");
    assert.equal(await tab.page.inputValue("#contrast"), name);
    assert.equal(await tab.page.locator("#contrast-error").count(), 0);
  });

  for (const [status, option] of [[422, "negate"], [400, "score"], [503, undefined]]) {
    test(`the last map stays when the service refuses another: ${status}`, async () => {
      const before = await openWithContrast();
      await tab.page.route("**/v1/explain", (route) => {
        const json = { title: "Refused", status, detail: "it cannot be", option };
        return route.fulfill({ status, contentType: "application/problem+json", json });
      });
      await tab.requestBy(() => tab.page.selectOption("#score", "probability"));
      assert.equal(await tab.page.textContent("#alert-title"), "Refused");
      await tab.repainted();
      await assertKept(before);
      assert.ok(await tab.page.isDisabled("#download"), "it would fail, too");
      assert.match(await tab.page.textContent("#export-note"), /no map of these settings/);
      assert.doesNotMatch(await tab.page.textContent("#status"), /ready/);
      await tab.page.unroute("**/v1/explain");
      await tab.requestBy(() => tab.page.selectOption("#score", "logit"));
      assert.ok(await tab.page.isHidden("#alert"));
      assert.ok(await tab.page.isEnabled("#download"));
    });
  }
});
