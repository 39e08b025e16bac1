// The address holds the settings and never the picture; a reload keeps the picture.

import assert from "node:assert/strict";
import { test } from "node:test";
import { pack, unpack } from "../js/state/session.js";
import { readAddress, writeAddress } from "../js/state/address.js";
import { INITIAL_STATE } from "../js/state/initial.js";
import { inBrowser } from "./browser.mjs";

test("bytes of any length are packed and come back", () => {
  for (const length of [0, 1, 2, 14, 15, 16, 1000]) {
    const bytes = Uint8Array.from({ length }, (_, at) => (at * 151 + 7) % 256);
    const text = pack(bytes);
    assert.equal(text.length, Math.ceil((length * 8) / 15));
    assert.ok([...text].every((letter) => letter.charCodeAt(0) < 0x8000), "no surrogates");
    assert.deepEqual(unpack(text, length), bytes);
  }
});

test("settings come back from the address, and defaults leave it empty", () => {
  assert.equal(writeAddress(INITIAL_STATE), "");
  const search = "?compare=methods&method=gradcam&methods=gradcam,layercam&layer=a,b"
    + "&target=281,285&convention=article&negate=true&max_channels=8&budget=24&view=wipe"
    + "&colormap=viridis&weight=0.3";
  const { settings, display, model } = readAddress(search);
  assert.equal(model, null);
  assert.deepEqual(settings.targets, [281, 285]);
  assert.deepEqual(settings.methods, ["gradcam", "layercam"]);
  assert.equal(settings.budget, 24);
  assert.equal(display.unsigned.colormap, "viridis");
  assert.equal(writeAddress({ ...INITIAL_STATE, settings, display }), search);
});

inBrowser("the address", (tab) => {
  const address = () => new URL(tab.page.url()).search;
  const waitForAddress = (text) => tab.page.waitForFunction((text) => (
    location.search.includes(text)
  ), text);

  test("it follows the controls, and back and forward follow it", async () => {
    await tab.openWithImage("");
    assert.equal(address(), "");
    const first = await tab.pixels();
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    assert.equal(address(), "?method=gradcam");
    await tab.page.selectOption("#colormap", "viridis");
    await tab.repainted();
    assert.equal(address(), "?method=gradcam&colormap=viridis");
    const last = await tab.pixels();
    await tab.page.goBack();
    await tab.page.goBack();
    await tab.page.waitForFunction((pixels) => (
      document.querySelector("#canvas").toDataURL() === pixels
    ), first);
    assert.ok(await tab.page.isChecked('input[value="gradcam++"]'));
    await tab.page.goForward();
    await tab.page.goForward();
    await tab.page.waitForFunction((pixels) => (
      document.querySelector("#canvas").toDataURL() === pixels
    ), last);
    assert.equal(await tab.page.inputValue("#colormap"), "viridis");
  });

  test("a reload keeps the picture and the settings", async () => {
    await tab.openWithImage("");
    await tab.requestBy(() => tab.page.click("#predictions li:nth-child(2) button"));
    const verdict = await tab.page.textContent("#verdict");
    const before = await tab.pixels();
    await tab.page.reload();
    await tab.shown();
    assert.equal(await tab.page.textContent("#verdict"), verdict);
    assert.equal(await tab.page.textContent("#file-name"), "image.png");
    await tab.page.waitForFunction((pixels) => (
      document.querySelector("#canvas").toDataURL() === pixels
    ), before);
  });

  test("an address opens with its settings, and what the model lacks is left out", async () => {
    await tab.openWithImage("method=gradcam&layer=no-such-layer&target=999999&view=map");
    assert.ok(await tab.page.isChecked('input[value="gradcam"]'));
    assert.ok(await tab.page.isChecked('input[name="view"][value="map"]'));
    const { options, status } = await tab.exchange(-1);
    assert.equal(status, 200);
    assert.equal(options.target, undefined);
    await tab.open("model=no-such-model");
    assert.match(await tab.page.textContent("#model-note"), /no model “no-such-model”/);
  });

  test("the picture is never in the address", async () => {
    await tab.openWithImage("");
    await tab.selectMode("methods");
    await waitForAddress("compare=methods");
    assert.doesNotMatch(tab.page.url(), /image|blob|data:/);
    await tab.idle();
  });
});
