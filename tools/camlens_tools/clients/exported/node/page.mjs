// Opens index.html in Chromium, gives it a picture, and writes the red channel of its canvas.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, normalize } from "node:path";
import { chromium } from "playwright-core";

const TYPES = {
  ".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm",
};
const server = createServer(({ url }, response) => {
  const path = normalize(url === "/" ? "/index.html" : url);
  try {
    const body = readFileSync(`.${path}`);
    response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
}).listen(0, "127.0.0.1");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"],
});
const page = await browser.newPage();
page.on("pageerror", (error) => console.error(error));
page.on("console", (message) => console.error(message.text()));
await page.goto(`http://127.0.0.1:${server.address().port}/`);
// The page listens once the model is loaded.
await page.waitForFunction(() => document.querySelector("input").onchange !== null);
await page.locator("input").setInputFiles(process.argv[2]);
await page.waitForFunction(() => document.querySelector("p").textContent.startsWith("class"));
const red = await page.evaluate(() => {
  const { width, height } = document.querySelector("canvas");
  const context = document.querySelector("canvas").getContext("2d");
  return [...context.getImageData(0, 0, width, height).data].filter((_, index) => index % 4 === 0);
});
process.stdout.write(Buffer.from(red));
await browser.close();
server.close();
