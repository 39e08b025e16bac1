// The code that the page shows runs: curl, Python with requests, and JavaScript.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { LANGUAGES } from "../js/lib/snippets.js";
import { image, inBrowser } from "./browser.mjs";

const run = promisify(execFile);
const venv = new URL("../../.venv/bin/python", import.meta.url).pathname;
const PYTHON = process.env.PYTHON ?? (existsSync(venv) ? venv : "python3");
const RUNS = {
  curl: (file) => ["bash", [file]],
  python: (file) => [PYTHON, [file]],
  javascript: (file) => [process.execPath, [file]],
};
const EXTENSIONS = { curl: "sh", python: "py", javascript: "mjs" };

/** Runs code in an empty folder that holds the picture, and returns what it wrote. */
async function outputOf(language, code, output) {
  const folder = mkdtempSync(join(tmpdir(), "camlens-code-"));
  try {
    writeFileSync(join(folder, image.name), image.buffer);
    const file = join(folder, `code.${EXTENSIONS[language]}`);
    writeFileSync(file, code);
    const [command, args] = RUNS[language](file);
    await run(command, args, { cwd: folder });
    return readFileSync(join(folder, output));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("code with an API key reads it from the environment", () => {
  const request = {
    origin: "http://x", path: "/v1/explain", options: {}, fileName: "a.png", output: "b.png",
    needsKey: true,
  };
  for (const { write } of Object.values(LANGUAGES)) {
    assert.match(write(request), /Bearer \$?\{?.*CAMLENS_API_KEY/);
  }
});

inBrowser("the code", (tab) => {
  for (const language of Object.keys(RUNS)) {
    test(`${language} gives the picture that the page downloads`, async () => {
      await tab.openWithImage("method=gradcam&colormap=viridis&weight=0.4&view=overlay");
      const code = await tab.code(language);
      const [download] = await Promise.all([
        tab.page.waitForEvent("download"), tab.page.click("#download"),
      ]);
      const wanted = readFileSync(await download.path());
      const bytes = await outputOf(language, code, download.suggestedFilename());
      assert.deepEqual(bytes, wanted);
    });
  }

  test("a comparison's code runs, too", async () => {
    await tab.openWithImage("compare=methods&methods=gradcam,gradcam%2B%2B");
    await tab.idle();
    for (const language of Object.keys(RUNS)) {
      const bytes = await outputOf(language, await tab.code(language), "image-compare.png");
      assert.deepEqual([...bytes.subarray(0, 4)], [0x89, 0x50, 0x4e, 0x47], language);
    }
  });

  /** The note next to the download in each mode, with this view, of a model that crops or not. */
  async function notesOf(view, fit) {
    await tab.page.route(/\/v1\/models\/[^/]+$/, async (route) => {
      const json = await (await route.fetch()).json();
      Object.assign(json.input, { fit, crop_ratio: fit === "crop" ? 0.875 : undefined });
      await route.fulfill({ json });
    });
    await tab.openWithImage(`method=gradcam&methods=gradcam,layercam&view=${view}`);
    const notes = {};
    for (const mode of ["single", "methods", "layers", "classes"]) {
      await tab.selectMode(mode);
      await tab.idle();
      await tab.page.waitForSelector("#download:not([disabled])");
      notes[mode] = await tab.page.textContent("#export-note");
    }
    return notes;
  }
  const unmarked = /does not mark what the model does not receive: there it has the colour of 0\./;

  test("the note says what a download of maps lacks, in every mode", async () => {
    const { methods, ...others } = await notesOf("map", "crop");
    assert.match(methods, /several methods shows overlays, not the maps alone\./);
    assert.doesNotMatch(methods, unmarked);
    for (const [mode, note] of Object.entries(others)) assert.match(note, unmarked, mode);
  });

  test("the note says nothing of a crop where the model receives the whole picture", async () => {
    const { methods, ...others } = await notesOf("map", "stretch");
    assert.match(methods, /overlays/);
    for (const [mode, note] of Object.entries(others)) assert.doesNotMatch(note, unmarked, mode);
  });

  test("with the view Picture the note says that the download is the overlay", async () => {
    for (const [mode, note] of Object.entries(await notesOf("original", "crop"))) {
      assert.match(note, /overlay, not the picture alone/, mode);
    }
  });

  test("a cancelled map keeps the note on its code", async () => {
    await tab.openWithImage("view=original");
    await tab.page.route("**/v1/explain", () => {});
    await tab.selectMethod("scorecam");
    await tab.page.waitForSelector("#run:not([hidden])");
    await tab.page.click("#cancel");
    const note = await tab.page.textContent("#export-note");
    assert.match(note, /run it to the end first\. .*not the picture alone/);
  });

  test("one click copies it", async () => {
    await tab.page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await tab.openWithImage();
    const code = await tab.code("python");
    await tab.page.click("#copy");
    await tab.page.waitForFunction(() => (
      document.querySelector("#copy").textContent === "Copied"
    ));
    assert.equal(await tab.page.evaluate(() => navigator.clipboard.readText()), code);
  });
});
