// Text that wants to be more than text, in every place where others write.
import { check, facts, isLive, same, scenario, shot } from "./lib.mjs";

const { url, runs } = facts;

await scenario("hostile", async (page) => {
  const paths = ["/", "/runs", "/cost", "/cost?by=step", "/cost?by=target", "/cost?by=tenant", "/stalls", "/workflows"];
  for (const run of runs) paths.push(`/runs/${run}`);
  for (const run of runs.slice(0, 4)) paths.push(`/runs/${run}/events`);
  const nasty = encodeURIComponent("\"><script>window.pwned=1</script>");
  paths.push(`/runs?text=${nasty}&workflow=${nasty}&tenant=${nasty}`, `/cost?workflow=${nasty}`, `/runs?note=${nasty}`);
  for (const path of paths) {
    await page.goto(url + path);
    if (path === "/" || path.endsWith(runs[0])) await isLive(page);
    await page.evaluate(() => document.querySelectorAll("details").forEach((details) => { details.open = true; }));
    const found = await page.evaluate(() => ({
      pwned: window.pwned,
      foreign: document.querySelectorAll("main script, main iframe, main img, main [onerror], main [onload], main [onmouseover], main form[action^=http]").length,
      links: [...document.querySelectorAll("a[href]")].filter((a) => !/^(https?|)$/.test(new URL(a.href).protocol.replace(":", ""))).length,
    }));
    same(found.pwned, undefined, `nothing ran on ${path}`);
    same(found.foreign, 0, `nothing foreign on ${path}`);
    same(found.links, 0, `links that are none on ${path}`);
  }
  await page.goto(`${url}/runs`);
  check((await page.locator("table.runs").textContent()).includes("<script>window.pwned=1</script>"), "the text is shown as text");
  await shot(page, "hostile-runs");
});
