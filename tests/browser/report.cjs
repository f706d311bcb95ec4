// Looks at pages of one file in a real browser and on paper: three widths, light and dark, A4 and Letter.
//
// node report.cjs PLAN.json OUT_FOLDER: the plan says which files there are, what they must show and on how many sheets
// they may go. Prints a line for each failure and ends with 1 if there is any. Screenshots and PDFs go to the folder.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { VIEWS, expect, findings, run } = require("./browser.cjs");

// What is inside of the margins, in CSS pixels: the window that the page has while it is printed.
const SHEETS = [
  { format: "A4", width: 688, height: 1009, colorScheme: "dark" },
  { format: "Letter", width: 710, height: 942, colorScheme: "light" },
];
// Each of these stands on one sheet.
const WHOLE = "figure, svg, tr, .numbers, .note, .part, tbody.whole";

const WAIT_MS = 120_000;

const [planFile, out] = process.argv.slice(2);
const plan = JSON.parse(fs.readFileSync(planFile, "utf8"));

async function open(browser, file, of, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const said = [];
  const address = pathToFileURL(file).href;
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) said.push(`console: ${message.text()}`);
  });
  page.on("request", (request) => {
    if (request.url() !== address) said.push(`asks for ${request.url()}`);
  });
  await page.goto(address, { waitUntil: "load" });
  const close = async () => {
    expect(said.length === 0, `${of}: ${said.join("; ")}`);
    await context.close();
  };
  return { page, close };
}

// What reaches over the right side, but for what may be scrolled by itself.
function tooWide() {
  const limit = document.documentElement.clientWidth;
  const over = [...document.querySelectorAll("body *")].filter(
    (element) => !element.closest("pre") && element.getBoundingClientRect().right > limit + 1);
  return over.slice(0, 3).map((element) => `${element.tagName}.${element.className} ${element.textContent.slice(0, 40)}`);
}

async function look(browser, view, wanted) {
  const of = `${wanted.name} (${view.name})`;
  const viewport = { width: view.width, height: view.height };
  const { page, close } = await open(browser, wanted.file, of, { viewport, colorScheme: view.colorScheme });
  const text = await page.evaluate(() => document.body.innerText);
  for (const shown of wanted.shows) expect(text.includes(shown), `${of}: does not show "${shown}"`);
  const scripts = await page.evaluate(() => document.scripts.length);
  expect(scripts === 0, `${of}: has ${scripts} scripts`);
  const wide = await page.evaluate(tooWide);
  expect(wide.length === 0, `${of}: wider than the window: ${wide.join(" | ")}`);
  const isDark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor !== "rgb(244, 246, 248)");
  expect(isDark === (view.colorScheme === "dark"), `${of}: is ${isDark ? "dark" : "light"}`);
  // Before axe comes in, which is a script of its own.
  await page.screenshot({ path: path.join(out, `${wanted.name}-${view.name}.png`), fullPage: true, timeout: WAIT_MS });
  const found = await findings(page);
  const told = found.violations.map((one) => `${one.id} (${one.nodes.length}): ${one.nodes[0].html.slice(0, 120)} ${one.nodes[0].any[0]?.message || ""}`);
  expect(told.length === 0, `${of}: axe: ${told.join(" | ")}`);
  expect(found.passes.length > 5, `${of}: axe looked at nothing`);
  await close();
}

// On paper: black on white whatever the screen has, nothing beside the sheet, nothing cut that has to stay whole.
async function print(browser, sheet, wanted) {
  const of = `${wanted.name} (${sheet.format})`;
  const viewport = { width: sheet.width, height: sheet.height };
  const { page, close } = await open(browser, wanted.file, of, { viewport, colorScheme: sheet.colorScheme });
  await page.emulateMedia({ media: "print", colorScheme: sheet.colorScheme });
  const wide = await page.evaluate(tooWide);
  expect(wide.length === 0, `${of}: wider than the sheet: ${wide.join(" | ")}`);
  const colours = await page.evaluate(() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]);
  expect(colours.join() === "rgb(0, 0, 0),rgb(255, 255, 255)", `${of}: is not black on white: ${colours}`);
  const cut = await page.evaluate(([whole, height]) => {
    const broken = [...document.querySelectorAll(whole)].filter(
      (element) => getComputedStyle(element).breakInside !== "avoid" || element.getBoundingClientRect().height > height);
    return broken.slice(0, 3).map((element) => `${element.tagName}.${element.getAttribute("class")}`);
  }, [WHOLE, sheet.height]);
  expect(cut.length === 0, `${of}: may be cut: ${cut.join(" | ")}`);
  const pale = await page.evaluate(() => [...document.querySelectorAll("svg, .swatch, .tag")].filter(
    (element) => getComputedStyle(element).printColorAdjust !== "exact").length);
  expect(pale === 0, `${of}: ${pale} coloured things may be printed without their colour`);
  await page.pdf({ path: path.join(out, `${wanted.name}-${sheet.format}.pdf`), format: sheet.format, preferCSSPageSize: false });
  await close();
}

run(out, async (browser) => {
  for (const wanted of plan) {
    for (const view of VIEWS) await look(browser, view, wanted);
    for (const sheet of SHEETS) await print(browser, sheet, wanted);
  }
});
