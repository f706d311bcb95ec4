// What pages.cjs and report.cjs stand on: the browser, the views that a page is looked at in, axe, and the count of what held.
"use strict";

const fs = require("node:fs");
const { chromium } = require("playwright-core");
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const CHROMIUM = process.env.CHROMIUM || "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const VIEWS = [
  { name: "phone", width: 360, height: 740, colorScheme: "light" },
  { name: "phone-dark", width: 360, height: 740, colorScheme: "dark" },
  { name: "tablet", width: 768, height: 1024, colorScheme: "light" },
  { name: "desktop", width: 1280, height: 900, colorScheme: "light" },
  { name: "desktop-dark", width: 1280, height: 900, colorScheme: "dark" },
];
const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

let checks = 0;
let failed = 0;

function expect(holds, what) {
  checks += 1;
  if (!holds) {
    failed += 1;
    console.log(`FAIL ${what}`);
  }
}

// axe is a script of its own, which the policy of a page may rightly forbid: it runs beside it.
async function findings(page) {
  await page.evaluate(axe);
  return page.evaluate((tags) => window.axe.run(document, { runOnly: { type: "tag", values: tags } }), AXE_TAGS);
}

// Runs `looks` with a browser and ends the program: with 1 if anything failed.
async function run(out, looks) {
  try {
    fs.mkdirSync(out, { recursive: true });
    const browser = await chromium.launch({ executablePath: CHROMIUM, headless: true, args: FLAGS });
    await looks(browser);
    await browser.close();
    console.log(`${checks} checks, ${failed} failed`);
    process.exit(failed ? 1 : 0);
  } catch (error) {
    console.log(`FAIL ${error.stack}`);
    process.exit(1);
  }
}

module.exports = { VIEWS, expect, findings, run };
