// Checks pages for accessibility by axe-core in a real browser: narrow and wide, light and dark, and as printed.
//
// Usage: NODE_PATH=node_modules node tools/check_page.cjs BROWSER PAGE...
// NODE_PATH names the folder with axe-core and puppeteer-core (`npm install axe-core puppeteer-core`); BROWSER is a
// Chromium. Prints a JSON list with an entry for every page and view: page, view, rules (how many were passed),
// violations (rule, impact, help and the first elements), and overflow (pixels by which the page is wider than its window).
"use strict";

const { readFileSync } = require("node:fs");
const { resolve } = require("node:path");
const { pathToFileURL } = require("node:url");
const puppeteer = require("puppeteer-core");

const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag2aaa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const VIEWS = [
  { width: 390, scheme: "light", media: "screen" },
  { width: 390, scheme: "dark", media: "screen" },
  { width: 1280, scheme: "light", media: "screen" },
  { width: 1280, scheme: "dark", media: "screen" },
  { width: 718, scheme: "light", media: "print" }, // A4 within the margins of Chromium
];

async function check(browser, page, { width, scheme, media }) {
  const tab = await browser.newPage();
  await tab.setBypassCSP(true); // a report runs no script but its own
  await tab.setViewport({ width, height: 900 });
  const features = [{ name: "prefers-color-scheme", value: scheme }];
  const session = await tab.createCDPSession();
  await session.send("Emulation.setEmulatedMedia", { media, features }); // puppeteer sets one and forgets the other
  await tab.goto(pathToFileURL(resolve(page)).href);
  const overflow = await tab.evaluate(() => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
    return document.documentElement.scrollWidth - document.documentElement.clientWidth;
  });
  for (const query of [media, `(prefers-color-scheme: ${scheme})`]) {
    if (!(await tab.evaluate((text) => matchMedia(text).matches, query))) throw new Error(`the page is not ${query}`);
  }
  await tab.evaluate(AXE);
  const found = await tab.evaluate((values) => axe.run({ runOnly: { type: "tag", values } }), RULES);
  await tab.close();
  const violations = found.violations.map(({ id, impact, help, nodes }) => ({
    rule: id, impact, help, elements: nodes.slice(0, 3).map((node) => node.html.slice(0, 200)),
  }));
  return { page, view: `${width} px, ${scheme}, ${media}`, rules: found.passes.length, violations, overflow };
}

async function main([executablePath, ...pages]) {
  const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    const entries = [];
    for (const page of pages) for (const view of VIEWS) entries.push(await check(browser, page, view));
    console.log(JSON.stringify(entries, null, 2));
  } finally {
    await browser.close();
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
