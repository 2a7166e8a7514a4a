// Opens a page so often in a browser of its own, and prints the milliseconds until each was interactive, as JSON.
import { createRequire } from "node:module";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { chromium } = createRequire(join(process.env.MODULES, "x.js"))("playwright-core");
const [url, rounds] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), "midwatch-bench-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});
const times = [];
for (let n = 0; n < Number(rounds); n++) {
  const page = await context.newPage();
  await page.goto(url);
  // The scripts have run, the page answers, and it follows the journal.
  await page.waitForFunction(() => document.querySelector("#live")?.classList.contains("on"), undefined, { polling: "raf" });
  times.push(await page.evaluate(() => performance.now()));
  await page.close();
}
await context.close();
rmSync(profile, { recursive: true, force: true });
console.log(JSON.stringify(times.map((time) => Math.round(time * 10) / 10)));
