// Every page, in light and dark, on a phone, with axe, without scripts, by keyboard.
import { accessible, check, facts, isLive, same, scenario, shot, withoutScripts } from "./lib.mjs";

const { url, facts: { runs } } = facts;
const pages = {
  now: "/", runs: "/runs", "runs-filtered": "/runs?status=failed,compensated&order=costliest", cost: "/cost",
  "cost-by-step": "/cost?by=step", "cost-by-day": "/cost?by=day", stalls: "/stalls", workflows: "/workflows", api: "/api",
  run: `/runs/${runs.story}`, "run-failed": "/runs/failed-refused-invalid_request-1", "run-stuck": "/runs/stuck-silent-1",
  events: `/runs/${runs.story}/events?at=7`,
};

await scenario("pages", async (page, context) => {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [name, path] of Object.entries(pages)) {
      // What differs from another page by its table alone is looked at once.
      if (scheme === "dark" && ["runs-filtered", "cost-by-step", "cost-by-day"].includes(name)) continue;
      const answer = await page.goto(url + path);
      same(answer.status(), 200, `status of ${path}`);
      same(await page.locator("h1").count(), 1, `headings of ${path}`);
      await accessible(page);
      await shot(page, `${name}-${scheme}`, true);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(wide <= 0, `${path} is ${wide} px wider than the window`);
    }
  }

  // The picture at the top of the README.
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1180, height: 1180 });
  await page.goto(url + pages.run);
  await isLive(page);
  await page.locator(".entry details").nth(1).locator("summary").click();
  await shot(page, "readme");

  await page.setViewportSize({ width: 390, height: 800 });
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(url + path);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    check(wide <= 0, `${path} is ${wide} px wider than a phone`);
    await shot(page, `${name}-phone`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });

  // The number of an event leads to the event.
  await page.goto(url + pages.run);
  await isLive(page);
  const event = page.locator("#verdict .ev").first();
  const number = await event.textContent();
  await event.click();
  await page.waitForURL(/events/);
  same((await page.locator("tr.target td").first().textContent()).trim(), number.trim(), "the event that was clicked");

  // What is under a secret's name is hidden, everywhere.
  for (const path of [pages.run, `/runs/${runs.story}/events?at=1`, `/api/v1/runs/${runs.story}`, `/api/v1/runs/${runs.story}/events`]) {
    const text = await (await context.request.get(url + path)).text();
    check(text.includes("paper-9") && !text.includes("s3cret"), `${path} hides the token`);
  }

  // The same words as the command line's verdict; how large a share is grows from one moment to the next.
  const words = (text) => text.replace(/\d+%/g, "%");
  const why = await (await context.request.get(`${url}/api/v1/runs/${runs.story}/why`)).json();
  await page.goto(url + pages.run);
  same(words(await page.locator("#verdict .headline").textContent()), words(why.headline), "the headline");
  const trace = await page.locator("#head a[href*='/trace/']").getAttribute("href");
  check(trace.endsWith(`/trace/${runs.story}`), `the trace's address, ${trace}`);

  // Keys.
  await page.keyboard.press("?");
  check(await page.locator("#help").isVisible(), "help opens");
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("r");
  await page.waitForURL(/\/runs$/);
  await page.keyboard.press("/");
  await page.keyboard.type("paper-9");
  await page.keyboard.press("Enter");
  await page.waitForURL(/text=paper-9/);
  same(await page.locator("table.runs tbody tr").count(), 1, "runs named paper-9");
  await page.locator("h1").click();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.waitForURL(new RegExp(runs.story));

  // Filters are in the address; pages follow one another without a gap or a repeat.
  await page.goto(`${url}/runs`);
  const seen = new Set();
  for (let n = 0; n < 50; n++) {
    const ids = await page.locator("table.runs tbody tr").evaluateAll((rows) => rows.map((row) => row.id));
    for (const id of ids) {
      check(!seen.has(id), `${id} is listed once`);
      seen.add(id);
    }
    const next = page.locator("nav.pager a[rel=next]");
    if (!(await next.count())) break;
    await next.click();
    await page.waitForURL(/after=/);
    await page.waitForLoadState();
  }
  const counted = await (await context.request.get(`${url}/api/v1/counts`)).json();
  same(seen.size, Object.values(counted.counts).reduce((a, b) => a + b), "runs on all pages");
  await page.goto(`${url}/runs?verdict=stuck&status=running`);
  check((await page.locator("table.runs tbody tr").count()) > 0, "runs that are stuck are found");

  // Costs as a file.
  const csv = await (await context.request.get(`${url}/cost.csv?by=model`)).text();
  check(csv.startsWith("model,runs,calls") && csv.split("\n").length > 3, "the CSV has lines");

  // Without scripts everything can be read.
  await withoutScripts(async (reader) => {
    await reader.goto(url + pages.run);
    check((await reader.locator(".entry").count()) > 5, "the timeline is there without scripts");
    check((await reader.locator("svg.bar rect").count()) > 5, "the bars are there without scripts");
  });

  // What is nowhere says so.
  page.expects = true;
  same((await page.goto(`${url}/runs/nobody-knows`)).status(), 404, "a run that is not there");
  same((await page.goto(`${url}/nowhere`)).status(), 404, "a page that is not there");
});
