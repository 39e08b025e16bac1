// What can be asked besides one class of one layer: several classes, several layers, for and
// against in one map; and that what the service refuses is said at the control.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inBrowser } from "./browser.mjs";

inBrowser("asking for more", (tab) => {
  const tick = (nth) => tab.page.locator("#predictions input").nth(nth);
  const ticked = () => tab.page.$$eval("#predictions input:checked", (boxes) => boxes.map(({ id }) => Number(id.replace("tick-", ""))));
  const wrong = (control) => tab.page.textContent(`#${control}-wrong`);

  /** That a control is marked as wrong, and by which words a screen reader is told why. */
  async function isRefused(control, words) {
    const text = await wrong(control);
    assert.match(text, words);
    assert.equal(await tab.page.getAttribute(`#${control}`, "aria-invalid"), "true");
    assert.ok((await tab.page.getAttribute(`#${control}`, "aria-describedby")).split(" ").includes(`${control}-wrong`));
    assert.ok((await tab.page.textContent("#alert-detail")).includes(text), "the alert says it too");
  }

  /** The first model with more classes than one request takes, chosen. */
  async function chooseManyClasses() {
    const { models } = await (await fetch(`${tab.base}/v1/models`)).json();
    for (const { id } of models.filter(({ ready }) => ready)) {
      const model = await (await fetch(`${tab.base}/v1/models/${id}`)).json();
      if (model.output.classes < 20 || model.labels.length === 0) continue;
      if (await tab.page.inputValue("#model") !== id) await tab.asks(() => tab.page.selectOption("#model", id));
      return model;
    }
    throw new Error("no model has twenty classes");
  }

  /** The grey levels that a canvas shows at the middle of each of the map's cells. */
  const levels = (selector, [rows, columns]) => tab.page.$eval(selector, (canvas, [rows, columns]) => {
    const context = canvas.getContext("2d");
    return Array.from({ length: rows * columns }, (_, cell) => {
      const x = Math.floor(((cell % columns + 0.5) / columns) * canvas.width);
      const y = Math.floor(((Math.floor(cell / columns) + 0.5) / rows) * canvas.height);
      return context.getImageData(x, y, 1, 1).data[0];
    });
  }, [rows, columns]);

  test("several classes stand side by side, each with its own map, name and score", async () => {
    await tab.openWithPicture();
    await tab.page.check('input[name="view"][value="map"]');
    await tab.page.selectOption("#colormap", "gray");
    const { asked, answer } = await tab.asks(() => tick(1).check());
    const [first, second] = answer.predictions;
    assert.equal(asked.target, `${first.index},${second.index}`, "both in one request");
    assert.ok(await tab.page.isHidden("#single"));
    assert.equal(await tab.page.locator(".pane").count(), 2);
    const distance = (shown, map) => shown.reduce((sum, level, at) => sum + Math.abs(level - 255 * map[at]), 0) / map.length;
    for (const { target, heatmap } of answer.maps) {
      const pane = `.pane[data-key="${target.index}"]`;
      assert.equal(await tab.page.textContent(`${pane} button`), target.label ?? `class ${target.index}`);
      const share = target.probability < 0.001 ? "< 0.1 %" : `${(100 * target.probability).toFixed(1)} %`;
      assert.equal(await tab.page.textContent(`${pane} .soft`), `${share}, logit ${target.logit.toFixed(2)}`);
      assert.ok((await tab.page.getAttribute(`${pane} canvas`, "aria-label")).includes(share));
      const shown = await levels(`${pane} canvas`, heatmap.shape);
      const other = answer.maps.find((map) => map.target.index !== target.index);
      const [own, foreign] = [heatmap, other.heatmap].map(({ data }) => distance(shown, data.flat()));
      assert.ok(own < 4 && own < foreign / 2, `its own map: ${own} levels away, the other's ${foreign}`);
    }
    assert.match(await tab.page.textContent("#facts"), /^Classes.*Probabilities.*Largest values/s);
    assert.match(await tab.page.textContent("#status"), /: the maps are here\.$/);
    assert.match(await tab.page.textContent("#curl"), new RegExp(`target=${first.index},${second.index}`));
    const [download] = await Promise.all([tab.page.waitForEvent("download"), tab.page.click("#download")]);
    assert.equal(await download.failure(), null);
  });

  test("classes are ticked and unticked with the keyboard, and one always stays", async () => {
    await tab.openWithPicture();
    await tick(0).focus();
    await tab.page.keyboard.press("Space");
    assert.ok(await tick(0).isChecked(), "the only one cannot be taken away");
    assert.equal(await tick(0).getAttribute("aria-disabled"), "true");
    await tick(1).focus();
    await tab.asks(() => tab.page.keyboard.press("Space"));
    assert.equal((await ticked()).length, 2);
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), await tick(1).getAttribute("id"), "the focus stays");
    await tab.page.keyboard.press("Space");
    await tab.quiet();
    assert.equal((await ticked()).length, 1);
    assert.ok(await tab.page.isVisible("#single"));
    await tick(1).check();
    await tab.asks(() => tick(0).uncheck());
    assert.deepEqual(await ticked(), [Number((await tick(1).getAttribute("id")).replace("tick-", ""))]);
    assert.deepEqual([await tick(0).getAttribute("aria-disabled"), await tick(1).getAttribute("aria-disabled")], [null, "true"]);
  });

  test("a class that is not among the first is found by name, and one alone is a click away", async () => {
    await tab.openWithPicture();
    const model = await chooseManyClasses();
    const top = await tab.page.$$eval("#predictions button", (rows) => rows.map((row) => Number(row.dataset.index)));
    const wanted = model.labels.findIndex((label, index) => !top.includes(index) && model.labels.filter((one) => one.includes(label)).length === 1);
    await tab.page.focus("#beside");
    await tab.page.keyboard.type(model.labels[wanted]);
    const { asked, answer } = await tab.asks(() => tab.page.keyboard.press("Enter"));
    assert.equal(asked.target, `${top[0]},${wanted}`);
    assert.equal(await tab.page.inputValue("#beside"), "");
    assert.equal(await tab.page.locator("#predictions li").count(), top.length + 1);
    assert.equal(answer.maps[1].target.label, model.labels[wanted]);
    await tab.asks(() => tab.page.click(`.pane[data-key="${wanted}"] button`));
    assert.ok(await tab.page.isVisible("#single"));
    assert.equal(await tab.page.inputValue("#target"), model.labels[wanted]);

    // Taken out, its row goes; whoever works with the keyboard is left where it can come back.
    await tick(0).check();
    await tab.quiet();
    await tab.page.focus(`#tick-${wanted}`);
    await tab.page.keyboard.press("Space");
    await tab.quiet();
    assert.equal(await tab.page.locator("#predictions li").count(), top.length);
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), "beside");
  });

  test("an eleventh class is refused in words, and taken out again", async () => {
    await tab.openWithPicture();
    const model = await chooseManyClasses();
    const rows = () => tab.page.$$eval("#predictions button", (all) => all.map((row) => Number(row.dataset.index)));
    const top = await rows();
    for (let nth = 1; nth < top.length; nth++) await tab.asks(() => tick(nth).check());
    const more = model.labels.map((_, index) => index).filter((index) => !top.includes(index)).slice(0, 11 - top.length);
    let last;
    for (const index of more) {
      await tab.page.fill("#beside", String(index));
      last = await tab.asks(() => tab.page.keyboard.press("Enter"));
    }
    assert.equal(last.status, 400);
    await isRefused("beside", /10/);
    assert.equal((await ticked()).length, 11, "what was asked for stays, to be put right");
    await tab.asks(() => tab.page.uncheck(`#tick-${top[1]}`));
    assert.equal(await tab.page.locator(".pane").count(), 10);
    assert.equal(await tab.page.locator(".wrong").count(), 0);
    assert.ok(await tab.page.isHidden("#alert"));
    assert.equal(await tab.page.getAttribute("#beside", "aria-invalid"), null);
  });

  test("methods are compared on one class, and the page says which", async () => {
    await tab.openWithPicture();
    await tab.asks(() => tick(1).check());
    const [first] = await ticked();
    await tab.page.check('input[name="mode"][value="compare"]');
    await tab.page.waitForSelector('.pane[data-key="gradcam"]');
    assert.deepEqual(await ticked(), [first]);
    assert.match(await tab.page.textContent("#mode-note"), /one class at a time/);
    await tab.quiet();
    // What no method takes is said at the control, too.
    await tab.page.fill("#contrast", "no such class");
    await tab.page.keyboard.press("Enter");
    await tab.page.waitForSelector("#contrast-wrong");
    await isRefused("contrast", /no class/);
    assert.equal(await tab.page.locator(".pane .soft", { hasText: "no class" }).count(), 3);
    await tab.page.fill("#contrast", "");
    await tab.page.keyboard.press("Enter");
    await tab.quiet();
    await tick(1).check();
    await tab.quiet();
    assert.ok(await tab.page.isChecked('input[name="mode"][value="single"]'));
    assert.equal(await tab.page.textContent("#mode-note"), "");
    assert.equal(await tab.page.locator(".pane").count(), 2);
  });

  test("layers are fused by keyboard; one that stands twice is refused, and can be left out", async () => {
    await tab.openWithPicture();
    const before = await tab.pixels();
    const model = await (await fetch(`${tab.base}/v1/models/${await tab.page.inputValue("#model")}`)).json();
    const first = await tab.page.inputValue("#layer");
    await tab.page.focus("#fuse");
    const { asked, answer } = await tab.asks(() => tab.page.keyboard.press("Enter"));
    const added = tab.page.locator("#more-layers select");
    const second = await added.inputValue();
    assert.equal(await tab.page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Layer 2");
    const shape = (name) => model.layers.find((layer) => [layer.alias, layer.name].includes(name)).shape;
    assert.ok(shape(second)[1] > shape(first)[1], "a finer layer is offered");
    assert.equal(asked.layer, `${first},${second}`);
    assert.deepEqual(answer.heatmap.shape, model.input.size);
    assert.match(await tab.page.textContent("#facts"), new RegExp(`Layers${first}, ${second}`));
    assert.ok(await tab.page.isVisible("#layer-hint"));
    assert.notEqual(await tab.pixels(), before);
    assert.ok((await tab.page.textContent("#curl")).includes(`layer=${first},${second}`));
    assert.deepEqual(await tab.nameless(), []);

    const refused = await tab.asks(() => added.selectOption(first));
    assert.equal(refused.status, 400);
    await isRefused("layer", /twice/);
    await tab.page.locator("#more-layers button").focus();
    await tab.page.keyboard.press("Enter");
    await tab.page.waitForFunction((was) => document.querySelector("#canvas").toDataURL() === was, before);
    assert.equal(await tab.page.locator("#more-layers select, .wrong").count(), 0);
    assert.equal(await tab.page.evaluate(() => document.activeElement.id), "fuse");
  });

  test("for and against in one map has colours of its own, and says which is which", async () => {
    await tab.openWithPicture();
    await tab.asks(() => tab.page.check('input[name="method"][value="gradcam"]'));
    await tab.page.selectOption("#colormap", "viridis");
    const { asked, answer } = await tab.asks(() => tab.page.check("#signed"));
    assert.equal(asked.signed, "true");
    assert.equal(answer.heatmap.signed, true);
    assert.deepEqual(await Promise.all(["#colormap", "#blend", "#weight"].map((control) => tab.page.inputValue(control))), ["coolwarm", "mix", "0.8"]);
    assert.deepEqual([await tab.page.textContent("#ramp-low"), await tab.page.textContent("#ramp-high")], ["against", "for"]);
    assert.match(await tab.page.textContent("#facts"), /from −1 against to 1 for/);
    assert.match(await tab.page.textContent("#curl"), /signed=true/);
    assert.doesNotMatch(await tab.page.textContent("#curl"), /colormap|blend|weight/);

    // Red where it speaks for the class, blue where against it; the words under the pointer agree.
    await tab.page.check('input[name="view"][value="map"]');
    await tab.painted();
    const [rows, columns] = answer.heatmap.shape;
    const flat = answer.heatmap.data.flat();
    for (const [extreme, word, hot, cold] of [[Math.max(...flat), "for", 0, 2], [Math.min(...flat), "against", 2, 0]]) {
      assert.ok(word === "for" ? extreme > 0.1 : extreme < -0.1, `something speaks ${word} it: ${extreme}`);
      const cell = flat.indexOf(extreme);
      const at = [(cell % columns + 0.5) / columns, (Math.floor(cell / columns) + 0.5) / rows];
      const color = await tab.page.$eval("#canvas", (canvas, [x, y]) => (
        [...canvas.getContext("2d").getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1).data]
      ), at);
      assert.ok(color[hot] > color[cold], `${word}: ${color}`);
      await tab.page.locator("#canvas").scrollIntoViewIfNeeded();
      const box = await tab.page.locator("#canvas").boundingBox();
      await tab.page.mouse.move(box.x + at[0] * box.width, box.y + at[1] * box.height);
      assert.match(await tab.page.textContent("#readout"), new RegExp(`^Here: ${word === "for" ? "" : "−"}\\d\\.\\d\\d, ${word}$`));
    }

    await tab.page.selectOption("#colormap", "rdbu");
    assert.match(await tab.page.textContent("#curl"), /colormap=rdbu/);
    await tab.page.uncheck("#signed");
    await tab.quiet();
    assert.equal(await tab.page.inputValue("#colormap"), "viridis", "what was chosen for the other kind is back");
    await tab.page.check("#signed");
    await tab.quiet();
    assert.equal(await tab.page.inputValue("#colormap"), "rdbu");
  });

  test("a method without a sign refuses in words, and the next one answers", async () => {
    await tab.openWithPicture();
    const { status } = await tab.asks(() => tab.page.check("#signed"));
    assert.equal(status, 400);
    await isRefused("signed", /does not tell for from against/);
    const again = await tab.asks(() => tab.page.check('input[name="method"][value="gradcam"]'));
    assert.equal(again.answer.heatmap.signed, true);
    assert.equal(await tab.page.locator(".wrong").count(), 0);

    await tab.page.check('input[name="mode"][value="compare"]');
    await tab.page.waitForFunction(() => document.querySelector('.pane[data-key="gradcam++"] .soft')?.textContent.includes("does not tell for from against"));
    await tab.quiet();
    await tab.painted();
    assert.ok(await tab.colorsOn('.pane[data-key="gradcam"] canvas') > 20);
  });

  test("rather than another class, and what speaks against it", async () => {
    await tab.openWithPicture();
    await tab.asks(() => tab.page.check('input[name="method"][value="gradcam"]'));
    const rival = Number((await tick(1).getAttribute("id")).replace("tick-", ""));
    const contrast = (text) => async () => {
      await tab.page.fill("#contrast", text);
      await tab.page.keyboard.press("Enter");
    };
    const rather = await tab.asks(contrast(String(rival)));
    assert.equal(rather.answer.contrast.index, rival);
    assert.match(await tab.page.textContent("#facts"), /Rather than/);
    const refused = await tab.asks(contrast("no such class"));
    assert.equal(refused.status, 422);
    await isRefused("contrast", /no class/);
    await tab.page.fill("#contrast", "");
    await tab.page.keyboard.press("Enter");
    await tab.quiet();
    await tab.asks(() => tab.page.check("#negate"));
    assert.match(await tab.page.textContent("#facts"), /Showswhat speaks against it/);
    await tab.asks(() => tab.page.check('input[name="method"][value="scorecam"]'));
    await isRefused("negate", /negative of a probability/);
  });

  test("on a narrow screen classes still stand side by side, and everything fits and has a name", async () => {
    await tab.page.setViewportSize({ width: 360, height: 740 });
    await tab.openWithPicture();
    await tab.asks(() => tick(1).check());
    await tab.asks(() => tab.page.click("#fuse"));
    const tops = await tab.page.$$eval(".pane", (all) => all.map((pane) => pane.getBoundingClientRect().top));
    assert.equal(new Set(tops).size, 1);
    await tab.asks(() => tab.page.check("#signed"));
    await isRefused("signed", /./);
    await tab.fits();
    assert.deepEqual(await tab.nameless(), []);
  });
});
