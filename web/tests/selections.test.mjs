// Selections beyond one class of one layer: several classes, several layers, signed maps, contrast
// classes. Also checks that the page shows a problem at the control of the rejected option, and
// that an option that cannot work is disabled and says why.

import assert from "node:assert/strict";
import { test } from "node:test";
import { sentence } from "../js/lib/text.js";
import { visibleRect } from "../js/map/resize.js";
import { inBrowser } from "./browser.mjs";

inBrowser("selections", (tab) => {
  const checkBox = (nth) => tab.page.locator("#predictions input").nth(nth);
  const classOf = async (nth) => (
    Number((await checkBox(nth).getAttribute("id")).replace("tick-", ""))
  );
  const checkedClasses = () => tab.page.$$eval("#predictions input:checked", (boxes) => (
    boxes.map(({ id }) => Number(id.replace("tick-", "")))
  ));
  const listedClasses = () => tab.page.$$eval("#predictions button", (rows) => (
    rows.map((row) => Number(row.dataset.index))
  ));
  const focusedId = () => tab.page.evaluate(() => document.activeElement.id);
  const isSingle = () => tab.page.isVisible(".picture #canvas");
  const typeContrast = async (text) => {
    await tab.page.fill("#contrast", text);
    await tab.page.keyboard.press("Enter");
  };

  /** Asserts that a control shows the problem of its option, and that it is invalid by ARIA. */
  async function assertRejected(control, { response }, option = control) {
    assert.equal(response.option, option);
    const text = await tab.page.textContent(`#${control}-error`);
    assert.equal(text, sentence(response.detail));
    assert.equal(await tab.page.getAttribute(`#${control}`, "aria-invalid"), "true");
    const describedBy = await tab.page.getAttribute(`#${control}`, "aria-describedby");
    assert.ok(describedBy.split(" ").includes(`${control}-error`));
    assert.ok((await tab.page.textContent("#alert-detail")).includes(text), "also in the alert");
  }

  /** Selects the first model with more classes than one request accepts. */
  async function selectModelWithManyClasses() {
    const { details } = await (await fetch(`${tab.base}/v1/models`)).json();
    for (const { id } of details.filter(({ ready }) => ready)) {
      const model = await (await fetch(`${tab.base}/v1/models/${id}`)).json();
      if (model.output.classes < 20 || model.labels.length === 0) continue;
      if (await tab.page.inputValue("#model") !== id) {
        await tab.requestBy(() => tab.page.selectOption("#model", id));
      }
      return model;
    }
    throw new Error("no model has twenty classes");
  }

  /** The centres of a map's cells in the picture, 0..1, in reading order. */
  async function cellCentres({ model, image, heatmap: { shape: [rows, columns] } }) {
    const { input } = await (await fetch(`${tab.base}/v1/models/${model}`)).json();
    const rect = visibleRect(image.width, image.height, input);
    return Array.from({ length: rows * columns }, (_, cell) => [
      (rect.x + ((cell % columns + 0.5) / columns) * rect.width) / image.width,
      (rect.y + ((Math.floor(cell / columns) + 0.5) / rows) * rect.height) / image.height,
    ]);
  }

  /** The grey levels of a canvas at these places. */
  const levels = (selector, places) => tab.page.$eval(selector, (canvas, all) => {
    const context = canvas.getContext("2d");
    return all.map(([x, y]) => (
      context.getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1)
        .data[0]
    ));
  }, places);

  test("several classes appear side by side, each with its map, name and score", async () => {
    await tab.openWithImage();
    await tab.selectView("map");
    await tab.page.selectOption("#colormap", "gray");
    const { options, response } = await tab.requestBy(() => checkBox(1).check());
    const [first, second] = response.predictions;
    assert.equal(options.target, `${first.index},${second.index}`, "both in one request");
    assert.ok(!await isSingle());
    assert.equal(await tab.page.locator(".pane").count(), 2);
    const distance = (shown, map) => (
      shown.reduce((sum, level, at) => sum + Math.abs(level - 255 * map[at]), 0) / map.length
    );
    for (const { target, heatmap } of response.maps) {
      const pane = `.pane[data-key="${target.index}"]`;
      const name = target.label ?? `class ${target.index}`;
      assert.equal(await tab.page.textContent(`${pane} button`), name);
      const share = target.probability < 0.001
        ? "< 0.1 %"
        : `${(100 * target.probability).toFixed(1)} %`;
      const score = `${share}, logit ${target.logit.toFixed(2)}`;
      assert.equal(await tab.page.textContent(`${pane} .soft`), score);
      const label = await tab.page.getAttribute(`${pane} canvas`, "aria-label");
      assert.ok(label.includes(share));
      const shown = await levels(`${pane} canvas`, await cellCentres({ ...response, heatmap }));
      const other = response.maps.find((map) => map.target.index !== target.index);
      const [own, foreign] = [heatmap, other.heatmap]
        .map(({ data }) => distance(shown, data.flat()));
      const distances = `its own map is ${own} levels away, the other's ${foreign}`;
      assert.ok(own < 4 && own < foreign, distances);
    }
    assert.match(await tab.page.textContent("#facts"), /^Classes.*Probabilities.*Maxima/s);
    assert.match(await tab.page.textContent("#status"), /: the maps are ready\.$/);
    const curl = await tab.page.textContent("#code");
    assert.match(curl, new RegExp(`target=${first.index},${second.index}`));
    const [download] = await Promise.all([
      tab.page.waitForEvent("download"), tab.page.click("#download"),
    ]);
    assert.equal(await download.failure(), null);
  });

  test("the keyboard checks and unchecks classes, and one class stays checked", async () => {
    await tab.openWithImage();
    await checkBox(0).focus();
    await tab.page.keyboard.press("Space");
    assert.ok(await checkBox(0).isChecked(), "the only class cannot be unchecked");
    assert.equal(await checkBox(0).getAttribute("aria-disabled"), "true");
    await checkBox(1).focus();
    await tab.requestBy(() => tab.page.keyboard.press("Space"));
    assert.equal((await checkedClasses()).length, 2);
    assert.equal(await focusedId(), await checkBox(1).getAttribute("id"), "the focus stays");
    await tab.page.keyboard.press("Space");
    await tab.idle();
    assert.equal((await checkedClasses()).length, 1);
    assert.ok(await isSingle());
    await checkBox(1).check();
    await tab.requestBy(() => checkBox(0).uncheck());
    assert.deepEqual(await checkedClasses(), [await classOf(1)]);
    const disabled = [0, 1].map((nth) => checkBox(nth).getAttribute("aria-disabled"));
    assert.deepEqual(await Promise.all(disabled), [null, "true"]);
  });

  test("a class outside the predictions is found by name and can be shown alone", async () => {
    await tab.openWithImage();
    const model = await selectModelWithManyClasses();
    const top = await listedClasses();
    const isUnique = (label) => model.labels.filter((one) => one.includes(label)).length === 1;
    const added = model.labels.findIndex((label, index) => (
      !top.includes(index) && isUnique(label)
    ));
    await tab.requestBy(() => checkBox(1).check());
    await tab.page.focus("#target");
    await tab.page.keyboard.type(model.labels[added]);
    const { options, response } = await tab.requestBy(() => tab.page.keyboard.press("Enter"));
    assert.equal(options.target, `${top[0]},${top[1]},${added}`);
    assert.equal(await tab.page.inputValue("#target"), "");
    assert.equal(await tab.page.locator("#predictions li").count(), top.length + 1);
    assert.equal(response.maps[2].target.label, model.labels[added]);
    await tab.requestBy(() => tab.page.click(`.pane[data-key="${added}"] button`));
    assert.ok(await isSingle());
    assert.equal(await tab.page.inputValue("#target"), model.labels[added]);

    // Unchecking the class removes its row. The focus moves to where it can be added again.
    await checkBox(0).check();
    await tab.idle();
    await tab.page.focus(`#tick-${added}`);
    await tab.page.keyboard.press("Space");
    await tab.idle();
    assert.equal(await tab.page.locator("#predictions li").count(), top.length);
    assert.equal(await focusedId(), "target");
  });

  test("an eleventh class is rejected with a reason and can be removed", async () => {
    await tab.openWithImage();
    const model = await selectModelWithManyClasses();
    const top = await listedClasses();
    for (let nth = 1; nth < top.length; nth++) await tab.requestBy(() => checkBox(nth).check());
    const others = model.labels.map((_, index) => index).filter((index) => !top.includes(index));
    let last;
    for (const index of others.slice(0, 11 - top.length)) {
      await tab.page.fill("#target", String(index));
      last = await tab.requestBy(() => tab.page.keyboard.press("Enter"));
    }
    assert.equal(last.status, 400);
    await assertRejected("target", last);
    assert.equal((await checkedClasses()).length, 11, "the selection stays, to be corrected");
    await tab.requestBy(() => tab.page.uncheck(`#tick-${top[1]}`));
    assert.equal(await tab.page.locator(".pane").count(), 10);
    assert.equal(await tab.page.locator(".field-error").count(), 0);
    assert.ok(await tab.page.isHidden("#alert"));
    assert.equal(await tab.page.getAttribute("#target", "aria-invalid"), null);
  });

  test("a comparison of methods has one class", async () => {
    await tab.openWithImage();
    await tab.openOptions();
    await tab.requestBy(() => checkBox(1).check());
    const [first] = await checkedClasses();
    await tab.selectMode("methods");
    await tab.page.waitForSelector('.pane[data-key="gradcam"]');
    assert.deepEqual(await checkedClasses(), [first]);
    await tab.idle();
    const maps = await tab.page.$$eval(".pane canvas", (all) => all.map((one) => one.toDataURL()));
    // A problem that every method has appears at the control, and the maps stay.
    await tab.page.route("**/v1/explain", (route) => {
      const json = {
        title: "An option is not valid", status: 422, detail: "no contrast today",
        option: "contrast",
      };
      return route.fulfill({ status: 422, contentType: "application/problem+json", json });
    });
    const rejected = await tab.requestBy(async () => typeContrast(String(await classOf(1))));
    await tab.page.waitForSelector("#contrast-error");
    await assertRejected("contrast", rejected);
    assert.deepEqual(
      await tab.page.$$eval(".pane canvas", (all) => all.map((one) => one.toDataURL())), maps,
    );
    await tab.page.unroute("**/v1/explain");
    await typeContrast("");
    await tab.idle();
    await checkBox(1).check();
    await tab.idle();
    assert.ok(await tab.page.isChecked('input[name="mode"][value="classes"]'));
    assert.equal(await tab.page.locator(".pane").count(), 2);
  });

  test("the keyboard fuses layers; a duplicate layer is rejected and can be removed", async () => {
    await tab.openWithImage();
    const before = await tab.pixels();
    const id = await tab.page.inputValue("#model");
    const model = await (await fetch(`${tab.base}/v1/models/${id}`)).json();
    const first = await tab.page.inputValue("#layer");
    await tab.page.focus("#fuse");
    const { options, response } = await tab.requestBy(() => tab.page.keyboard.press("Enter"));
    const added = tab.page.locator("#more-layers select");
    const second = await added.inputValue();
    const focused = await tab.page.evaluate(() => document.activeElement.ariaLabel);
    assert.equal(focused, "Layer 2");
    const shape = (name) => (
      model.layers.find((layer) => [layer.alias, layer.name].includes(name)).shape
    );
    assert.ok(shape(second)[1] > shape(first)[1], "the added layer is finer");
    assert.equal(options.layer, `${first},${second}`);
    assert.deepEqual(response.heatmap.shape, model.input.size);
    const facts = await tab.page.textContent("#facts");
    assert.match(facts, new RegExp(`Layers${first}, ${second}`));
    assert.ok(await tab.page.isVisible("#layer-hint"));
    assert.notEqual(await tab.pixels(), before);
    assert.ok((await tab.page.textContent("#code")).includes(`layer=${first},${second}`));
    assert.deepEqual(await tab.unnamedControls(), []);

    const rejected = await tab.requestBy(() => added.selectOption(first));
    assert.equal(rejected.status, 400);
    await assertRejected("layer", rejected);
    await tab.page.locator("#more-layers button").focus();
    await tab.page.keyboard.press("Enter");
    await tab.page.waitForFunction((pixels) => (
      document.querySelector("#canvas").toDataURL() === pixels
    ), before);
    assert.equal(await tab.page.locator("#more-layers select, .field-error").count(), 0);
    assert.equal(await focusedId(), "fuse");
  });

  test("a signed map has its own colours and labels for both signs", async () => {
    await tab.openWithImage();
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    await tab.openOptions();
    await tab.page.selectOption("#colormap", "viridis");
    const { options, response } = await tab.requestBy(() => tab.page.check("#signed"));
    assert.equal(options.signed, "true");
    assert.equal(response.heatmap.signed, true);
    const controls = ["#colormap", "#blend", "#weight"].map((one) => tab.page.inputValue(one));
    assert.deepEqual(await Promise.all(controls), ["coolwarm", "mix", "0.8"]);
    const ends = ["#ramp-low", "#ramp-high"].map((one) => tab.page.textContent(one));
    assert.deepEqual(await Promise.all(ends), ["against", "for"]);
    assert.match(await tab.page.textContent("#facts"), /from −1 \(against\) to 1 \(for\)/);
    assert.match(await tab.page.textContent("#code"), /signed=true/);
    assert.doesNotMatch(await tab.page.textContent("#code"), /colormap|blend|weight/);

    // Evidence for the class is red, evidence against it blue, and the readout agrees.
    await tab.selectView("map");
    await tab.repainted();
    const compared = await tab.requestBy(async () => typeContrast(String(await classOf(1))));
    const values = compared.response.heatmap.data.flat();
    const centres = await cellCentres(compared.response);
    const extremes = [
      [Math.max(...values), "for", 0, 2],
      [Math.min(...values), "against", 2, 0],
    ];
    for (const [extreme, word, strong, weak] of extremes) {
      const hasEvidence = word === "for" ? extreme > 0.1 : extreme < -0.1;
      assert.ok(hasEvidence, `there is evidence ${word} the class: ${extreme}`);
      const [x, y] = centres[values.indexOf(extreme)];
      const color = await tab.page.$eval("#canvas", (canvas, [x, y]) => {
        const pixel = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
        return [...canvas.getContext("2d").getImageData(...pixel, 1, 1).data];
      }, [x, y]);
      assert.ok(color[strong] > color[weak], `${word}: ${color}`);
      await tab.page.locator("#canvas").scrollIntoViewIfNeeded();
      const box = await tab.page.locator("#canvas").boundingBox();
      await tab.page.mouse.move(box.x + x * box.width, box.y + y * box.height);
      const readout = new RegExp(`^Value: ${word === "for" ? "" : "−"}\\d\\.\\d\\d, ${word}$`);
      assert.match(await tab.page.textContent("#readout"), readout);
    }

    await tab.page.selectOption("#colormap", "rdbu");
    assert.match(await tab.page.textContent("#code"), /colormap=rdbu/);
    await tab.page.uncheck("#signed");
    await tab.idle();
    assert.equal(await tab.page.inputValue("#colormap"), "viridis", "restored for unsigned maps");
    await tab.page.check("#signed");
    await tab.idle();
    assert.equal(await tab.page.inputValue("#colormap"), "rdbu");
  });

  test("an option that cannot work is disabled, says why, and comes back", async () => {
    await tab.openWithImage();
    await tab.openOptions();
    assert.ok(await tab.page.isDisabled("#signed"));
    assert.match(await tab.page.textContent("#signed-why"), /^Grad-CAM\+\+ does not separate/);
    assert.equal(await tab.page.getAttribute("#signed", "aria-describedby"), "signed-why");
    assert.ok(await tab.page.isDisabled("#max-channels"));
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    const accepted = await tab.requestBy(() => tab.page.check("#signed"));
    assert.equal(accepted.response.heatmap.signed, true);
    await tab.selectMethod("gradcam++");
    await tab.idle();
    assert.ok(!await tab.page.isChecked("#signed"));
    const convention = tab.page.locator('#convention option[value="torch-cam"]');
    assert.ok(await convention.isDisabled());
    await tab.selectMethod("gradcam");
    await tab.idle();
    assert.ok(await tab.page.isChecked("#signed"), "the choice comes back");
    await tab.requestBy(() => tab.selectMethod("scorecam"));
    assert.ok(await tab.page.isDisabled("#negate"));
    assert.match(await tab.page.textContent("#negate-why"), /never negative/);
    await tab.requestBy(() => tab.page.selectOption("#score", "logit"));
    assert.ok(!await tab.page.isDisabled("#negate"));
    await tab.requestBy(() => tab.selectMethod("eigencam"));
    assert.ok(await tab.page.isDisabled("#contrast"));
    assert.ok(await tab.page.isDisabled('input[name="mode"][value="classes"]'));
    assert.match(await tab.page.textContent("#class-hint"), /the same map for every class/);
  });

  test("a model without gradients says which methods cannot work", async (context) => {
    const { details } = await (await fetch(`${tab.base}/v1/models`)).json();
    const models = await Promise.all(details.filter(({ ready }) => ready).map(async ({ id }) => (
      (await fetch(`${tab.base}/v1/models/${id}`)).json()
    )));
    const without = models.find(({ methods }) => !methods.gradcam.available);
    if (!without) return context.skip("every model here has gradients");
    await tab.openWithImage(`model=${without.id}&max_channels=8`);
    assert.ok(await tab.page.isDisabled('input[name="method"][value="gradcam"]'));
    const why = await tab.page.textContent("#about-gradcam");
    assert.ok(why.includes(without.methods.gradcam.reason), why);
  });

  test("a map can contrast two classes or show the evidence against one", async () => {
    await tab.openWithImage();
    await tab.openOptions();
    await tab.requestBy(() => tab.selectMethod("gradcam"));
    const other = await classOf(1);
    const contrasted = await tab.requestBy(() => typeContrast(String(other)));
    assert.equal(contrasted.response.contrast.index, other);
    assert.match(await tab.page.textContent("#facts"), /Contrast class/);
    const name = contrasted.response.contrast.label ?? `class ${other}`;
    assert.equal(await tab.page.inputValue("#contrast"), name);
    assert.ok((await tab.page.textContent("#verdict-about")).includes(`rather than ${name}`));
    await typeContrast("");
    await tab.idle();
    await tab.requestBy(() => tab.page.check("#negate"));
    assert.match(await tab.page.textContent("#facts"), /Showsevidence against the class/);
  });

  test("a cleared search means the predicted class, at once", async () => {
    await tab.openWithImage();
    const other = await classOf(1);
    await tab.requestBy(() => tab.page.click(`#class-${other}`));
    const name = await tab.page.textContent("#verdict");
    assert.equal(await tab.page.inputValue("#target"), name);
    await tab.page.fill("#target", "");
    await tab.idle();
    assert.notEqual(await tab.page.textContent("#verdict"), name);
    assert.deepEqual(await checkedClasses(), [await classOf(0)]);
  });

  test("two classes fit side by side on a narrow screen, with named controls", async () => {
    await tab.page.setViewportSize({ width: 360, height: 740 });
    await tab.openWithImage();
    await tab.requestBy(() => checkBox(1).check());
    await tab.requestBy(() => tab.page.click("#fuse"));
    const tops = await tab.page.$$eval(".pane", (panes) => (
      panes.map((pane) => pane.getBoundingClientRect().top)
    ));
    assert.equal(new Set(tops).size, 1);
    await tab.openOptions();
    await typeContrast("no such class");
    assert.ok(await tab.page.isVisible("#contrast-error"));
    await tab.assertFits();
    assert.deepEqual(await tab.unnamedControls(), []);
  });
});
