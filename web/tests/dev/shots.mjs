// Screenshots of the page to look at: first visit, result, comparison, phone, dark, 200 % zoom,
// error. URL is the page's address, by default that of a stub started here.
//
// node dev/shots.mjs [FOLDER]

import { mkdirSync } from "node:fs";
import { chromium } from "playwright-core";
import { CHROMIUM, FLAGS, image } from "../browser.mjs";
import { start } from "../stub/server.mjs";

const folder = process.argv[2] ?? "shots";
mkdirSync(folder, { recursive: true });
const stub = process.env.CAMLENS_URL ? null : await start();
const base = process.env.CAMLENS_URL ?? `http://127.0.0.1:${stub.address().port}`;
const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });

async function shot(name, options, path, act = async () => {}, fullPage = false) {
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, ...options });
  page.on("pageerror", (error) => console.error(name, String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) console.error(name, message.text());
  });
  await page.goto(base + path);
  await page.waitForSelector("#model-card:not([hidden])", { timeout: 20_000 });
  await page.waitForTimeout(400);
  try {
    await act(page);
    await page.waitForTimeout(350);
  } catch (error) {
    console.error(name, error.message);
  }
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage });
  await page.close();
}

const sample = async (page) => {
  if (await page.locator(".sample").count() === 0) await page.setInputFiles("#file", image);
  else await page.locator(".sample").first().click();
  await page.waitForSelector("#predictions li");
  await idle(page);
};
const idle = (page) => page.waitForSelector("#stage:not([aria-busy])", { timeout: 300_000 });
const openAll = async (page) => {
  await sample(page);
  await page.click("#more-methods");
};
const running = async (page) => {
  await page.locator(".sample").first().click();
  await page.waitForSelector("#run:not([hidden])", { timeout: 60_000 });
  await page.waitForTimeout(900);
};
const picker = async (page) => {
  await sample(page);
  await page.click("#choose-other");
};
const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true };
const zoomed = { viewport: { width: 720, height: 450 }, deviceScaleFactor: 2 };
const wide = { viewport: { width: 1920, height: 1080 } };
const dark = { colorScheme: "dark" };
const forced = { forcedColors: "active" };

const all = {
  first: [{}, "/"],
  "first-wide": [wide, "/"],
  "first-dark": [dark, "/"],
  "first-phone": [phone, "/", undefined, true],
  result: [{}, "/", sample],
  "result-wide": [wide, "/", sample],
  "result-full": [{}, "/", sample, true],
  "result-dark": [dark, "/", sample],
  "result-phone": [phone, "/", sample, true],
  "result-zoom": [zoomed, "/", sample, true],
  "result-forced": [forced, "/", sample],
  wipe: [{}, "/?view=wipe", sample],
  side: [wide, "/?view=side", sample],
  compare: [
    wide, "/?compare=methods&methods=gradcam,gradcam%2B%2B,layercam,xgradcam,hirescam,eigencam",
    sample,
  ],
  "compare-layers": [{}, "/?compare=layers", sample],
  "compare-classes": [dark, "/", async (page) => {
    await sample(page);
    await page.click('#modes label:has([value="classes"])');
    await idle(page);
  }],
  "compare-phone": [phone, "/?compare=layers", sample, true],
  scorecam: [{}, "/?method=scorecam", async (page) => {
    await page.locator(".sample").first().click();
    await page.waitForTimeout(2600);
  }],
  cancelled: [{}, "/?method=scorecam", async (page) => {
    await page.locator(".sample").first().click();
    await page.waitForTimeout(2600);
    await page.click("#cancel");
  }],
  estimate: [{}, "/?method=scorecam&budget=24", sample],
  "all-methods": [{}, "/", async (page) => {
    await sample(page);
    await page.click("#more-methods");
    await page.mouse.wheel(0, 500);
  }],
  ...Object.fromEntries(Object.entries({ "": {}, "-wide": wide, "-phone": phone }).flatMap(
    ([name, size]) => ["light", "dark"].flatMap((colorScheme) => {
      const options = { ...size, colorScheme };
      const full = name === "-phone";
      const end = `${name}-${colorScheme}`;
      return [
        [`open${end}`, [options, "/", openAll, full]],
        [`open-full${end}`, [options, "/", openAll, true]],
        [`cropped${end}`, [options, "/?model=cropped&view=map&method=eigencam", sample]],
        [`running${end}`, [options, "/?compare=methods", running]],
        [`picker${end}`, [options, "/", picker]],
        [`other-sample${end}`, [options, "/", async (page) => {
          await page.locator(".sample").last().click();
          await page.waitForSelector("#predictions li");
          await idle(page);
        }]],
      ];
    }),
  )),
  signed: [dark, "/?method=gradcam&signed=true", sample],
  "other-model": [{}, "/", async (page) => {
    await page.locator(".sample").last().click();
    await page.waitForSelector("#predictions li");
    await idle(page);
  }],
  error: [{}, "/", async (page) => {
    await page.setInputFiles("#file", {
      name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("not a picture"),
    });
    await page.waitForSelector("#alert:not([hidden])");
  }],
};
const wanted = process.env.ONLY?.split(",");
for (const [name, [options, ...rest]] of Object.entries(all)) {
  if (!wanted || wanted.includes(name)) await shot(name, options, ...rest);
}
await browser.close();
stub?.closeAllConnections();
stub?.close();
