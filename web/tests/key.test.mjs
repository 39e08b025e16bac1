// A service with API keys: the page asks for one, keeps it for the tab, and sends it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inBrowser } from "./browser.mjs";

const KEY = "red-0123456789abcdef";

inBrowser("API keys", (tab) => {
  /** Refuses requests without the key, as the service does. */
  async function protect() {
    const given = [];
    await tab.page.route("**/v1/**", async (route) => {
      const header = route.request().headers().authorization;
      given.push(header);
      if (header === `Bearer ${KEY}`) return route.continue();
      const problem = {
        type: "/docs#problem-unauthorized", title: "An API key is needed", status: 401,
        detail: "the API key is not valid",
      };
      return route.fulfill({ status: 401, contentType: "application/problem+json",
        body: JSON.stringify(problem) });
    });
    return given;
  }

  async function giveKey(key) {
    await tab.page.waitForSelector("#key-dialog[open]");
    await tab.page.fill("#key", key);
    await tab.page.keyboard.press("Enter");
  }

  test("the page asks, refuses a wrong key, and keeps the right one over a reload", async () => {
    const given = await protect();
    await tab.page.goto(tab.base);
    await giveKey("wrong-0123456789abcdef");
    await tab.page.waitForSelector("#key-error:not([hidden])");
    await giveKey(KEY);
    await tab.page.waitForSelector("#model-card");
    await tab.page.waitForSelector("#key-dialog:not([open])", { state: "attached" });
    assert.equal(given[0], undefined);
    await tab.page.reload();
    await tab.page.waitForSelector("#model-card");
    assert.ok(await tab.page.isHidden("#key-dialog"));
    assert.doesNotMatch(tab.page.url(), /0123456789/);
  });
});
