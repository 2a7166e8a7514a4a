// Who is let in, and whose requests count.
import { accessible, check, facts, isLive, same, scenario, shot } from "./lib.mjs";

const { url, readOnly, token, runs } = facts;

await scenario("access", async (page, context) => {
  const run = `${url}/runs/${runs["sleep-1"]}`;
  await page.goto(`${run}?only=trouble`);
  await page.waitForURL(/login/);
  await accessible(page);
  await shot(page, "login");
  page.expects = true;
  await page.locator("input[name=token]").fill("wrong-horse-battery-staple");
  await page.locator("input[name=name]").fill("ann");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("[role=alert]").waitFor();
  page.expects = false;
  await page.locator("input[name=token]").fill(token);
  await page.locator("input[name=name]").fill("ann");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL(/only=trouble/);
  await isLive(page);
  const cookie = (await context.cookies()).find(({ name }) => name === "midwatch_session");
  check(cookie.httpOnly && cookie.sameSite === "Strict", "the cookie is out of reach");
  check(!cookie.value.includes(token), "the cookie is not the token");

  // Who logged in is named in the journal.
  await page.locator("#do-pause > summary").click();
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await page.locator(".note", { hasText: "paused" }).waitFor();
  await page.locator(".entry", { hasText: "by ann" }).waitFor();

  // Without cookie or token: nothing.
  const bare = (path, options = {}) => fetch(url + path, { redirect: "manual", ...options });
  same((await bare("/")).status, 303, "a page without a session");
  for (const path of ["/api/v1/runs", "/api/v1/openapi.json", `/api/v1/runs/${runs["sleep-1"]}`]) {
    same((await bare(path)).status, 401, `${path} without a token`);
  }
  same((await bare("/live/runs")).status, 303, "live changes without a session");
  same((await bare("/api/v1/runs", { headers: { authorization: "Bearer wrong-horse-battery-staple" } })).status, 401, "a wrong token");
  same((await bare("/api/v1/runs", { headers: { authorization: `Bearer ${token}` } })).status, 200, "the token");

  // Another site's page cannot act, with the reader's cookie or not; nor can a form without our word.
  const post = (headers, body = "csrf=") => context.request.post(`${run}/cancel`, {
    headers: { "content-type": "application/x-www-form-urlencoded", ...headers }, data: body, maxRedirects: 0,
  });
  same((await post({ origin: "https://evil.example", "sec-fetch-site": "cross-site" })).status(), 403, "a cross-site form");
  same((await post({ origin: "null" })).status(), 403, "a form from nowhere");
  same((await post({ origin: url })).status(), 403, "a form without the word");
  same((await post({ origin: url }, "csrf=0123456789abcdef0123456789abcdef")).status(), 403, "a form with a wrong word");

  // A name that somebody else points here is not answered.
  const { request } = await import("node:http");
  const named = (host) => new Promise((done) => {
    const { hostname, port } = new URL(readOnly);
    request({ hostname, port, path: "/", headers: { host } }, (answer) => { answer.resume(); done(answer.statusCode); }).end();
  });
  same(await named("evil.example"), 403, "a foreign name");
  same(await named("localhost"), 200, "localhost");

  // Log out.
  await page.getByRole("button", { name: "log out" }).click();
  await page.waitForURL(/login/);
  await page.goto(run);
  await page.waitForURL(/login/);

  // Read only: no forms, and no orders.
  await page.goto(`${readOnly}/runs/${runs["sleep-2"]}`);
  same(await page.locator("#actions form").count(), 0, "forms on a read-only page");
  const refused = await fetch(`${readOnly}/api/v1/runs/${runs["sleep-2"]}/cancel`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  same(refused.status, 403, "an order to a read-only console");

  // Headers that keep a page to itself.
  const answer = await bare("/login");
  const policy = answer.headers.get("content-security-policy");
  check(policy.includes("default-src 'none'") && !policy.includes("unsafe"), "the policy allows nothing inline");
  same(answer.headers.get("x-content-type-options"), "nosniff", "types are not guessed");
});
