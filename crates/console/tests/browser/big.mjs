// A run with 100,000 events: opened, zoomed by dragging and by keys, paged, searched for trouble.
import { accessible, check, facts, isLive, scenario, shot } from "./lib.mjs";

const { url, runs } = facts;

await scenario("big", async (page) => {
  for (const [name, run] of Object.entries(runs)) {
    const begun = Date.now();
    await page.goto(`${url}/runs/${run}`);
    await isLive(page);
    console.log(`  ${name}: live after ${Date.now() - begun} ms, in a debug build`);
    const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
    check(nodes < 20000, `${nodes} elements on the page`);
    check((await page.locator(".entries > div").count()) <= 100, "no more than a page of entries");
    await shot(page, `big-${name}`);
    await accessible(page);

    // Dragging over the map chooses what is shown.
    const box = await page.locator("#map svg.bar").first().boundingBox();
    await page.mouse.move(box.x + box.width * 0.4, box.y + 5);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.45, box.y + 5, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/w=\d+-\d+/);
    const width = () => { const [a, b] = new URL(page.url()).searchParams.get("w").split("-"); return b - a; };
    const dragged = width();
    await page.locator("h1").click();
    await page.keyboard.press("+");
    await page.waitForURL((address) => { const [a, b] = address.searchParams.get("w").split("-"); return b - a < dragged; });
    await shot(page, `big-${name}-zoomed`);
    await page.keyboard.press("0");
    await page.waitForURL((address) => !address.searchParams.has("w"));

    // Only trouble, and its pages.
    await page.locator(".tabs a", { hasText: "only trouble" }).click();
    await page.waitForURL(/only=trouble/);
    const failed = page.locator(".entries .says.bad, .entries .faint", { hasText: "failed" });
    check((await failed.count()) > 10, "failures are listed");
    await page.locator(".pager a", { hasText: /earlier|later/ }).first().click();
    await page.waitForURL(/page=/);
    check((await page.locator(".entries > div").count()) > 0, "another page of failures");
    // The last event has its place.
    await page.goto(`${url}/runs/${run}/events?at=${name === "ten" ? 9000 : 90000}`);
    check((await page.locator("tr.target").count()) === 1, "the event is on its page");
  }
});
