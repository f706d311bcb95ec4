// Looks at every page of the dashboard in a real browser: three widths, light and dark, with scripts and without.
//
// node pages.cjs BASE_URL PLAN.json OUT_FOLDER: the plan says which pages there are and what they must show. Prints a
// line for each failure and ends with 1 if there is any.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { VIEWS, expect, findings, run } = require("./browser.cjs");

const WAIT_MS = 60_000;

const [base, planFile, out] = process.argv.slice(2);
const plan = JSON.parse(fs.readFileSync(planFile, "utf8"));

function listen(page, of, wantedStatus = 200) {
  const said = [];
  page.on("console", (message) => {
    // The browser's own word on a page that is meant to be missing.
    const isMissing = wantedStatus !== 200 && message.text().includes(`status of ${wantedStatus}`);
    if (["error", "warning"].includes(message.type()) && !isMissing) said.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => said.push(`exception: ${error.message}`));
  page.on("requestfailed", (request) => said.push(`request: ${request.url()} ${request.failure()?.errorText}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(base)) said.push(`asks another host: ${request.url()}`);
  });
  return () => expect(said.length === 0, `${of}: ${said.join("; ")}`);
}

async function look(browser, view, wanted) {
  const context = await browser.newContext({
    viewport: { width: view.width, height: view.height }, colorScheme: view.colorScheme, bypassCSP: false,
  });
  const page = await context.newPage();
  const of = `${wanted.path} (${view.name})`;
  const isQuiet = listen(page, of, wanted.status);
  const answer = await page.goto(base + wanted.path, { waitUntil: "load" });
  expect(answer.status() === (wanted.status || 200), `${of}: status ${answer.status()}`);
  const policy = answer.headers()["content-security-policy"] || "";
  expect(policy.includes("default-src 'none'") && !policy.includes("unsafe"), `${of}: policy ${policy}`);
  for (const text of wanted.shows || []) {
    // What is read from the log comes a moment later, without loading the page again.
    const found = await page.waitForFunction((text) => document.body.innerText.includes(text), text, { timeout: WAIT_MS })
      .then(() => true, () => false);
    expect(found, `${of}: does not show "${text}"`);
  }
  const wide = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    const isOwn = (element) => !element.closest(".scroll, pre, .unseen, .skip");
    const over = [...document.querySelectorAll("body *")].filter(
      (element) => isOwn(element) && element.getBoundingClientRect().right > limit + 1);
    return over.slice(0, 3).map((element) => `${element.tagName}.${element.className} ${element.textContent.slice(0, 40)}`);
  });
  expect(wide.length === 0, `${of}: wider than the window: ${wide.join(" | ")}`);
  const found = await findings(page);
  const told = found.violations.map((one) => `${one.id} (${one.nodes.length}): ${one.nodes[0].html.slice(0, 120)} ${one.nodes[0].any[0]?.message || ""}`);
  expect(told.length === 0, `${of}: axe: ${told.join(" | ")}`);
  expect(found.passes.length > 5, `${of}: axe looked at nothing`);
  const name = wanted.path.replace(/[^a-z0-9]+/gi, "-").replace(/^-|-$/g, "").slice(0, 40) || "overview";
  await page.screenshot({ path: path.join(out, `${name}-${view.name}.png`), fullPage: true });
  isQuiet();
  await context.close();
}

// Without scripts every page says the same.
async function withoutScripts(browser, wanted) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(base + wanted.path, { waitUntil: "load" });
  const text = await page.locator("main").innerText();
  expect(text.trim().length > 40, `${wanted.path}: empty without scripts`);
  for (const shown of wanted.shows || []) expect(text.includes(shown), `${wanted.path}: without scripts it does not show "${shown}"`);
  await context.close();
}

// The keyboard alone: first the way past the navigation, then every link and field, each with a mark.
async function byKeyboard(browser) {
  const page = await (await browser.newContext()).newPage();
  await page.goto(base + "/", { waitUntil: "load" });
  await page.keyboard.press("Tab");
  expect(await page.evaluate(() => document.activeElement.textContent) === "Skip to the content", "the first stop is not the way past the navigation");
  await page.keyboard.press("Enter");
  expect(new URL(page.url()).hash === "#main", "the way past the navigation leads nowhere");
  await page.goto(base + "/message", { waitUntil: "load" });
  await page.locator("#id").focus();
  const mark = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  expect(mark !== "none", "a field that has the focus is not marked");
  await page.keyboard.type("nothing of ours");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/message?id=*");
  expect((await page.locator("main").innerText()).includes("26 letters and digits"), "a wrong id is not explained");
  await page.context().close();
}

// What happens meanwhile is shown without loading the page again, unless the updates are paused.
async function live(browser) {
  const page = await (await browser.newContext()).newPage();
  const isQuiet = listen(page, "live");
  await page.goto(base + "/", { waitUntil: "load" });
  await page.evaluate(() => { window.sameDocument = true; });
  const first = await page.locator("main").getAttribute("data-at");
  const changed = page.waitForFunction((first) => document.querySelector("main").dataset.at !== first, first, { timeout: WAIT_MS });
  expect(await changed.then(() => true, () => false), "the page does not stay up to date");
  expect(await page.evaluate(() => window.sameDocument === true), "the page was loaded again");
  await page.getByRole("button", { name: "Pause updates" }).click();
  expect((await page.getByRole("status").innerText()).startsWith("Paused"), "a pause is not told");
  isQuiet();
  await page.context().close();
}

run(out, async (browser) => {
  for (const wanted of plan) {
    for (const view of VIEWS) await look(browser, view, wanted);
    await withoutScripts(browser, wanted);
  }
  await byKeyboard(browser);
  await live(browser);
});
