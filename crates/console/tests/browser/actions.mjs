// Every action on runs of an engine at work; each shows on the page without a reload, and in the journal with who did it.
import { check, facts, isLive, same, scenario, shot } from "./lib.mjs";

const { url, runs } = facts;

await scenario("actions", async (page, context) => {
  const api = async (path) => (await context.request.get(`${url}/api/v1${path}`)).json();
  const journal = async (id) => (await api(`/runs/${runs[id]}/events`)).events.map(({ event }) => event);
  const open = async (id) => {
    await page.goto(`${url}/runs/${runs[id]}`);
    await isLive(page);
  };
  const status = (word) => page.waitForFunction((word) => document.querySelector("h1 .status")?.textContent.includes(word), word);
  const says = (text) => page.locator(".note", { hasText: text }).waitFor();
  const unfold = (id) => page.locator(`#do-${id} > summary`).click();

  // A change from elsewhere is seen without a reload, and only what changed is replaced.
  await open("approve-3");
  await status("waiting");
  await page.evaluate(() => { window.stays = document.querySelector("#ends"); window.begun = performance.now(); window.entry = document.querySelector("#entries").firstElementChild; });
  const changed = page.evaluate(() => new Promise((done) => document.addEventListener("midwatch:changed", () => done(performance.now() - window.begun), { once: true })));
  await context.request.post(`${url}/api/v1/runs/${runs["approve-3"]}/pause`, { data: { reason: "from elsewhere" }, headers: { "x-midwatch-by": "a script" } });
  console.log(`  a change from elsewhere was seen after ${Math.round(await changed)} ms, the request included`);
  await status("paused");
  check(await page.evaluate(() => document.querySelector("#entries").firstElementChild === window.entry), "entries that did not change stay");
  check((await journal("approve-3")).some((event) => event.paused?.by === "a script"), "who paused is journaled");
  await shot(page, "run-paused");

  // What somebody is typing is not taken away.
  await unfold("signal");
  await page.locator("#do-signal input[name=name]").fill("half-typ");
  await context.request.post(`${url}/api/v1/runs/${runs["approve-3"]}/resume`, { data: {} });
  await status("waiting");
  same(await page.locator("#do-signal input[name=name]").inputValue(), "half-typ", "what was typed");

  // Approve.
  await open("approve-1");
  await shot(page, "run-waits-for-approval");
  await page.getByRole("button", { name: "Approve", exact: true }).click();
  await says("received");
  await status("completed");
  const approved = (await journal("approve-1")).find((event) => event.signal_received)?.signal_received;
  same(approved.payload.by, "ann", "who approved");

  // Turn down.
  await open("approve-2");
  await page.getByRole("button", { name: "Turn down", exact: true }).click();
  await status("completed");
  check((await page.locator("#ends").textContent()).includes("turned down by ann"), "the answer came through");

  // Pause with a reason, resume, cancel.
  await open("sleep-1");
  await unfold("pause");
  await page.locator("#do-pause input[name=reason]").fill("the bank is down");
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await says("paused");
  await status("paused");
  check((await journal("sleep-1")).some(({ paused }) => paused?.by === "ann" && paused.reason === "the bank is down"), "the reason is journaled");
  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await says("resumed");
  await status("waiting");
  await unfold("cancel");
  await page.getByRole("button", { name: "Cancel the run", exact: true }).click();
  await says("cancelled");
  await status("cancelled");

  // Signal by name.
  await open("sleep-2");
  await unfold("signal");
  await page.locator("#do-signal input[name=name]").fill("hello");
  await page.locator("#do-signal textarea").fill("{\"a\": 1}");
  await page.locator("#do-signal button").click();
  await says("signal hello received");
  await unfold("signal");
  await page.locator("#do-signal input[name=name]").fill("hello");
  await page.locator("#do-signal textarea").fill("no json");
  page.expects = true;
  await page.locator("#do-signal button").click();
  await page.locator("h1", { hasText: "Bad Request" }).waitFor();
  page.expects = false;

  // Raise a budget.
  await open("spend-1");
  await status("parked");
  await shot(page, "run-parked");
  await page.locator("#actions input[name=usd]").first().fill("2");
  await page.getByRole("button", { name: "Raise the budget and go on", exact: true }).click();
  await says("budget raised by $2.00");
  await status("completed");

  // Retry from the failed step.
  await open("order-1");
  await status("failed");
  await page.getByRole("button", { name: "Retry from the failed step", exact: true }).click();
  await says("is tried again");
  await status("completed");

  // Fork from a step.
  await unfold("fork");
  await page.getByRole("button", { name: "Fork", exact: true }).click();
  await says("forked");
  check(!page.url().includes(runs["order-1"]), "the new run is shown");
  await page.locator("#head dt", { hasText: "fork of" }).waitFor();

  // Answer a parked compensation.
  await open("trip-1");
  await status("parked");
  await page.getByRole("button", { name: "It was done by hand", exact: true }).click();
  await says("answered");
  await status("compensated");

  // Many at once: the number is said, and agreed to.
  await page.goto(`${url}/runs?workflow=sleeper&status=waiting`);
  await page.locator(".bulk a", { hasText: "pause" }).click();
  await page.locator("h1", { hasText: "pause 7 runs?" }).waitFor();
  await shot(page, "bulk");
  await page.getByRole("button", { name: "Yes, pause 7 runs", exact: true }).click();
  await says("pause of 7 runs: 7 done");
  await page.goto(`${url}/bulk/resume?workflow=sleeper`);
  await page.getByRole("button", { name: "Yes, resume 7 runs", exact: true }).click();
  await says("resume of 7 runs: 7 done");
  await page.goto(`${url}/bulk/cancel?text=sleep-8`);
  await context.request.post(`${url}/api/v1/runs/${runs["sleep-8"]}/cancel`, { data: {} });
  await page.getByRole("button", { name: "Yes, cancel 1 run", exact: true }).click();
  await page.locator(".alarm", { hasText: "Nothing was done" }).waitFor();

  await page.goto(url);
  await isLive(page);
  await shot(page, "now-live");
});
