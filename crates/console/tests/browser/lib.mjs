// What all scenarios share: a browser of their own, and the rules that hold on every page.
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(join(process.env.MODULES, "x.js"));
const { chromium } = require("playwright-core");
const axe = readFileSync(join(process.env.MODULES, "axe-core/axe.min.js"), "utf8");

export const facts = JSON.parse(process.env.FACTS);
const shots = process.env.SHOTS;

export function check(is, what) {
  if (!is) throw new Error(`not so: ${what}`);
}

export function same(found, expected, what) {
  check(found === expected, `${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
}

/** A browser of its own, with an empty profile. */
async function launch(options) {
  const profile = mkdtempSync(join(tmpdir(), "midwatch-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM,
    headless: true,
    viewport: { width: 1280, height: 900 },
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
    ...options,
  });
  return { context, profile };
}

/** Reads with a browser that runs no script. */
export async function withoutScripts(read) {
  const { context, profile } = await launch({ javaScriptEnabled: false });
  try {
    await read(context.pages()[0] ?? (await context.newPage()));
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** Runs a scenario with a browser; whatever a page may not do fails it. */
export async function scenario(name, run) {
  const { context, profile } = await launch({});
  const trouble = [];
  const own = new Set([facts.url, facts.readOnly].filter(Boolean).map((url) => new URL(url).host));
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (!own.has(url.host) && !["data:", "blob:", "about:"].includes(url.protocol)) trouble.push(`external request: ${url}`);
  });
  const watch = (page) => {
    page.setDefaultTimeout(20000);
    page.on("console", (message) => {
      if (message.type() === "error" && !page.expects) trouble.push(`console error on ${page.url()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => trouble.push(`script error on ${page.url()}: ${error}`));
    page.on("dialog", (dialog) => { trouble.push(`dialog on ${page.url()}`); dialog.dismiss(); });
  };
  context.on("page", watch);
  context.pages().forEach(watch);
  try {
    const page = context.pages()[0] ?? (await context.newPage());
    await run(page, context);
    check(trouble.length === 0, trouble.join("\n"));
    console.log(`${name}: passed`);
  } catch (error) {
    console.error(`${name}: ${error.stack}\n${trouble.join("\n")}`);
    await context.pages().at(-1)?.screenshot({ path: join(shots, `failed-${name}.png`) }).catch(() => {});
    process.exitCode = 1;
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

export const shot = (page, name, fullPage = false) => page.screenshot({ path: join(shots, `${name}.png`), fullPage });

/** No serious violation of what axe knows. */
export async function accessible(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const bad = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  const told = bad.map((violation) => `${violation.id}: ${violation.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join(" | ")}`);
  check(bad.length === 0, `axe on ${page.url()}\n${told.join("\n")}`);
}

/** The page is live: what changes from now on will be seen. */
export const isLive = (page) => page.waitForFunction(() => document.querySelector("#live")?.classList.contains("on"));
