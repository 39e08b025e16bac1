// What a map costs: the same words before and after, and no time that nothing has measured.

import assert from "node:assert/strict";
import { test } from "node:test";
import { passesOf, plannedPasses } from "../js/lib/methods.js";
import { passText, percent, sentence } from "../js/lib/text.js";
import { Estimate } from "../js/run/estimate.js";
import { image, inBrowser } from "./browser.mjs";

const LAYER = { tensor: "late", shape: [1280, 7, 7] };
const EARLY = { tensor: "early", shape: [320, 14, 14] };
const WHOLE = { maxChannels: "", budget: null, convention: "paper" };
const NO_PASSES = { forward: 0, masked: 0, tail: 0, skipped: 0 };
const response = (method, passes, timing) => (
  { method, passes: { ...NO_PASSES, ...passes }, timing_ms: timing, target: {}, heatmap: {} }
);
const request = (method, settings = WHOLE, layers = [LAYER]) => (
  { model: "m", method, layers, settings }
);

test("a plan and its response name the same passes in the same words", () => {
  const cases = {
    "gradcam++": [{ forward: 1 }, "1 forward, 1 backward pass"],
    "eigencam": [{ forward: 1 }, "1 forward pass"],
    "reciprocam": [{ forward: 1, tail: 49 }, "1 forward, 49 tail passes"],
    "smoothgradcam++": [{ forward: 1, masked: 20 }, "1 forward, 1 backward, 20 noisy passes"],
  };
  for (const [method, [passes, text]] of Object.entries(cases)) {
    assert.equal(passText(plannedPasses(method, [LAYER], WHOLE)), text);
    assert.equal(passText(passesOf(response(method, passes))), text);
  }
  const planned = passText(plannedPasses("scorecam", [LAYER], WHOLE));
  assert.equal(planned, "1 forward, up to 1,280 masked passes");
  const some = passesOf(response("scorecam", { forward: 1, masked: 900, skipped: 380 }));
  assert.equal(passText(some), "1 forward, 900 masked passes (380 skipped)");
  const ofClasses = passText(plannedPasses("gradcam", [LAYER], WHOLE, 3));
  assert.equal(ofClasses, "1 forward, 3 backward passes");
  const cached = passText(passesOf(response("gradcam", {})));
  assert.equal(cached, "no passes, all results were cached");
});

test("the time of a forward pass is no estimate for Score-CAM; its own first response is", () => {
  const estimate = new Estimate();
  const plain = response("gradcam++", { forward: 1 }, { forward: 40, explain: 1 });
  estimate.record(request("gradcam++"), plain);
  assert.equal(estimate.of("m", "scorecam", [LAYER], WHOLE).ms, 0);
  assert.equal(estimate.budgetFor("m", [LAYER], WHOLE, 2000), 32);
  // 32 of the passes: the others cost as much, but how many are needed is not known yet.
  const quick = { ...WHOLE, budget: 32 };
  const some = response("scorecam", { masked: 32, skipped: 1248 }, { explain: 160 });
  estimate.record(request("scorecam", quick), some, 32);
  assert.deepEqual(estimate.of("m", "scorecam", [LAYER], WHOLE), { ms: 6400, isLimit: true });
  assert.equal(estimate.budgetFor("m", [LAYER], WHOLE, 2000), 400);
  // All of them, half of which were not needed.
  const all = response("scorecam", { masked: 640, skipped: 640 }, { explain: 1920 });
  estimate.record(request("scorecam"), all, 640);
  assert.deepEqual(estimate.of("m", "scorecam", [LAYER], WHOLE), { ms: 1920, isLimit: false });
  assert.equal(estimate.of("m", "scorecam", [LAYER], quick).ms, 96);
  assert.equal(estimate.budgetFor("m", [LAYER], WHOLE, 2000), 32, "all passes are as quick");
  assert.deepEqual(estimate.of("m", "scorecam", [EARLY], WHOLE), { ms: 960, isLimit: true });
  assert.equal(estimate.of("other", "scorecam", [LAYER], WHOLE).ms, 0, "per model");
});

test("cached results and other methods' passes change no estimate", () => {
  const saved = [];
  const estimate = new Estimate([], (entries) => saved.push(entries));
  estimate.record(
    request("scorecam"), response("scorecam", { masked: 1280 }, { explain: 1280 }), 1280,
  );
  const before = estimate.of("m", "scorecam", [LAYER], WHOLE);
  const cached = response("scorecam", { skipped: 1280 }, { explain: 9 });
  estimate.record(request("scorecam"), cached, 1280);
  estimate.record(
    request("smoothgradcam++"), response("smoothgradcam++", { masked: 20 }, { explain: 4000 }), 20,
  );
  assert.deepEqual(estimate.of("m", "scorecam", [LAYER], WHOLE), before);
  estimate.record(
    request("ablationcam"), response("ablationcam", { tail: 1281 }, { explain: 500 }), 1281,
  );
  assert.equal(estimate.of("m", "ablationcam", [EARLY], WHOLE).ms, 0, "an earlier tail is longer");
  const reloaded = new Estimate(JSON.parse(JSON.stringify(saved.at(-1))));
  assert.deepEqual(reloaded.of("m", "scorecam", [LAYER], WHOLE), before);
});

test("a tiny probability has one text, also where it was rounded to 0", () => {
  const texts = [0, 1e-30, 0.0004, 0.00099].map(percent);
  assert.deepEqual(new Set(texts), new Set(["< 0.1 %"]));
  assert.deepEqual([percent(0.001), percent(0.5), percent(1)], ["0.1 %", "50.0 %", "100.0 %"]);
});

inBrowser("cost", (tab) => {
  const cost = (method) => tab.page.textContent(`[data-method="${method}"] .cost`);

  test("the list and the details name the same passes", async () => {
    await tab.openWithImage();
    assert.equal(await cost("gradcam++"), "1 forward, 1 backward pass");
    const facts = await tab.page.textContent("#facts");
    assert.match(facts, /Passes(1 forward, 1 backward pass|no passes)/);
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    await tab.selectMode("methods");
    await tab.page.waitForFunction(() => (
      document.querySelectorAll('.pane[data-status="done"]').length === 3
    ));
    const notes = await tab.page.$$eval(".pane .soft", (all) => all.map((one) => one.textContent));
    for (const note of notes) assert.match(note, /^(1 forward|no passes|\d+ masked).* ?pass/);
  });

  test("no time is named for Score-CAM before one was measured; then a true one", async () => {
    // A picture of which the service has nothing in its cache.
    const picture = (seed) => tab.page.evaluate(async (seed) => {
      const canvas = new OffscreenCanvas(320, 240);
      const context = canvas.getContext("2d");
      for (let i = 0; i < 60; i++) {
        context.fillStyle = `hsl(${(seed + i * 47) % 360} 70% ${20 + i}%)`;
        context.fillRect((i * 83 + seed) % 300, (i * 29) % 220, 40, 30);
      }
      return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    }, seed);
    const upload = async (seed) => tab.page.setInputFiles("#file", {
      ...image, name: "a.png", mimeType: "image/png", buffer: Buffer.from(await picture(seed)),
    });
    const seed = Math.floor(Math.random() * 1e6);
    await tab.open("max_channels=256");
    await upload(seed);
    await tab.shown();
    assert.match(await cost("scorecam"), /^1 forward, up to 256 masked passes$/);
    const first = await tab.requestBy(() => tab.selectMethod("scorecam"));
    const text = await tab.page.textContent("#budget");
    const [, how, number, unit] = text.match(/Exact, (about|under) ([\d.]+) (s|min)$/) ?? [];
    assert.ok(how, text);
    const named = Number(number) * { s: 1000, min: 60_000 }[unit];
    assert.equal(first.status, 200);
    const second = await tab.requestBy(() => upload(seed + 1));
    const { explain } = second.response.timing_ms;
    const isNear = how === "under"
      ? explain < 2000
      : named > explain / 2.5 && named < explain * 2.5;
    assert.ok(isNear, `${named} ms named, ${explain} ms taken`);
    // Another tab's reload keeps it.
    await tab.page.reload();
    await tab.shown();
    assert.match(await tab.page.textContent("#budget"), /Exact, (about|under)/);
  });

  test("the total is told as soon as it is known, and never a total of nothing", async () => {
    const events = (total) => [
      ["started", {}], ["progress", { method: "scorecam", done: 0, total, remaining_s: null }],
    ].map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join("");
    await tab.openWithImage();
    for (const [total, expected] of [[0, /^$|^[\d.]+ (ms|s)$/], [512, /^0 of 512$/]]) {
      // A stream that stays open after these events.
      await tab.page.evaluate((text) => {
        const send = window.fetch;
        window.fetch = async (path, init) => {
          if (!(init?.body instanceof FormData)) return send(path, init);
          window.fetch = send;
          const body = new ReadableStream({
            start: (controller) => {
              controller.enqueue(new TextEncoder().encode(text));
              init.signal.addEventListener("abort", () => controller.error(init.signal.reason));
            },
          });
          return new Response(body, { headers: { "content-type": "text/event-stream" } });
        };
      }, events(total));
      await tab.selectMethod(total ? "gradcam" : "layercam");
      await tab.page.waitForSelector("#run:not([hidden])");
      await tab.page.waitForTimeout(400);
      assert.match(await tab.page.textContent("#run-time"), expected);
      assert.doesNotMatch(await tab.page.textContent("#run"), /0\/0|of 0/);
      await tab.page.click("#cancel");
    }
  });
});

test("a sentence starts with a capital, unless with the name of a model or file", () => {
  for (const [text, written] of Object.entries({
    "the map is empty": "The map is empty.",
    "vgg16-mri is slow": "vgg16-mri is slow.",
    "model.onnx has two outputs.": "model.onnx has two outputs.",
    "blocks/conv is unknown": "blocks/conv is unknown.",
    "": "",
  })) {
    assert.equal(sentence(text), written);
  }
});
