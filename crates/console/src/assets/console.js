// What a page can do beyond being read: change while somebody stays, count ages on, zoom by dragging, keys.
// Everything is there without it, but for the living.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

  // Durations as the server writes them.
  function span(ms) {
    const s = Math.floor(ms / 1000);
    const two = (n) => String(n).padStart(2, "0");
    if (s < 1) return `${Math.max(0, Math.floor(ms))}ms`;
    if (s < 10) return `${s}.${two(Math.floor((ms % 1000) / 10))}s`;
    if (s < 60) return `${s}.${Math.floor((ms % 1000) / 100)}s`;
    if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`;
    if (s < 86400) return `${Math.floor(s / 3600)}h${two(Math.floor(s / 60) % 60)}m`;
    return `${Math.floor(s / 86400)}d${two(Math.floor(s / 3600) % 24)}h`;
  }

  // Seconds under a minute are not counted in fractions: nobody needs a flicker.
  const calm = (ms) => span(ms < 60000 ? Math.floor(ms / 1000) * 1000 : ms).replace(/\.0+s$/, "s").replace(/^0ms$/, "0s");

  function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function ages(root = document) {
    const now = Date.now();
    for (const time of $$("time[data-at]", root)) {
      const ms = now - Number(time.dataset.at) / 1000;
      put(time, ms >= 0 ? `${calm(ms)} ago` : `in ${calm(-ms)}`);
    }
    for (const time of $$("time[data-since]", root)) put(time, calm(now - Number(time.dataset.since) / 1000));
  }

  // In the reader's zone, in the order in which times sort.
  function local(at) {
    const two = (n) => String(n).padStart(2, "0");
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  }

  function moments(root = document) {
    for (const time of $$("time[data-moment]", root)) {
      const at = new Date(Number(time.dataset.moment) / 1000);
      time.title = at.toISOString();
      put(time, local(at));
    }
  }

  function settle(root) {
    ages(root);
    moments(root);
  }

  // Parts that changed take the place of the old ones; what the reader has opened, typed or chosen stays.
  function replace(element, hash, html) {
    const active = element.contains(document.activeElement) ? document.activeElement : null;
    if (active && active.matches("input, textarea, select")) return false;
    const changed = $$("input:not([type=hidden]), textarea", element).some((field) => field.value !== field.defaultValue);
    if (changed) return false;
    const open = $$("details[id]", element).map((details) => [details.id, details.open]);
    const focused = active && (active.id || (active.getAttribute("href") && `[href="${CSS.escape(active.getAttribute("href"))}"]`));
    element.innerHTML = html;
    element.dataset.hash = hash;
    for (const [id, is] of open) {
      const details = document.getElementById(id);
      if (details) details.open = is;
    }
    if (focused) (document.getElementById(focused) || (focused.startsWith("[") && $(focused, element)) || element).focus?.({ preventScroll: true });
    settle(element);
    return true;
  }

  function order(list, change) {
    let at = list.firstElementChild;
    for (const id of change.order) {
      let item = document.getElementById(id);
      const news = change.items[id];
      if (!item) {
        item = document.createElement("div");
        item.id = id;
      }
      if (news && item.dataset.hash !== news.hash) replace(item, news.hash, news.html);
      if (item === at) at = at.nextElementSibling;
      else list.insertBefore(item, at);
    }
    while (at) {
      const next = at.nextElementSibling;
      at.remove();
      at = next;
    }
    list.dataset.hash = change.hash;
  }

  function take(changes) {
    for (const change of changes) {
      const part = document.getElementById(change.id);
      if (!part || part.dataset.hash === change.hash) continue;
      if (change.order) order(part, change);
      else replace(part, change.hash, change.html);
    }
    document.dispatchEvent(new CustomEvent("midwatch:changed"));
  }

  function live() {
    const address = document.body.dataset.live;
    const sign = $("#live");
    if (!address || !sign) return;
    const say = (state, word) => {
      sign.className = `live ${state}`;
      put($("span:last-child", sign), word);
    };
    let source = null;
    const open = () => {
      source = new EventSource(address);
      source.addEventListener("hello", () => say("on", "live"));
      source.addEventListener("parts", (event) => take(JSON.parse(event.data)));
      source.addEventListener("error", () => say("off", "reconnecting"));
    };
    const close = () => {
      source?.close();
      source = null;
    };
    // A browser keeps few connections to one server: pages that nobody looks at must not use them up.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) close();
      else if (!source) open();
    });
    addEventListener("pagehide", close);
    if (!document.hidden) open();
  }

  // Dragging over the map chooses a window.
  function drag() {
    const map = () => $("#map");
    let from = null;
    let mark = null;
    const place = (event, box) => Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    document.addEventListener("pointerdown", (event) => {
      const svg = event.target.closest?.("#map svg");
      if (!svg || event.button !== 0) return;
      const box = svg.getBoundingClientRect();
      from = { at: place(event, box), box };
      mark = document.createElement("div");
      mark.className = "selection";
      map().style.position = "relative";
      map().append(mark);
      event.preventDefault();
    });
    document.addEventListener("pointermove", (event) => {
      if (!from || !mark) return;
      const to = place(event, from.box);
      const outer = map().getBoundingClientRect();
      const [a, b] = [Math.min(from.at, to), Math.max(from.at, to)];
      mark.style.left = `${from.box.left - outer.left + a * from.box.width}px`;
      mark.style.width = `${(b - a) * from.box.width}px`;
    });
    document.addEventListener("pointerup", (event) => {
      if (!from) return;
      const to = place(event, from.box);
      const [a, b] = [Math.min(from.at, to), Math.max(from.at, to)];
      from = null;
      mark?.remove();
      if (b - a < 0.005) return;
      const { from: left, to: right, base } = map().dataset;
      const whole = Number(right) - Number(left);
      const at = (share) => Math.round(Number(left) + share * whole);
      const url = new URL(base, location.href);
      url.searchParams.set("w", `${at(a)}-${Math.max(at(b), at(a) + 1)}`);
      url.hash = "timeline";
      location.assign(url);
    });
  }

  // Keys.
  const rows = () => $$("table.runs tbody tr, .entries > div, .attention > li");
  let row = -1;
  let went = 0;

  function select(by) {
    const all = rows();
    if (!all.length) return;
    all[row]?.classList.remove("on");
    row = Math.min(all.length - 1, Math.max(0, row + by));
    all[row].classList.add("on");
    all[row].scrollIntoView({ block: "nearest" });
  }

  function enter() {
    const chosen = rows()[row];
    const details = chosen && $("details", chosen);
    if (details) details.open = !details.open;
    else if (chosen) $("a.run, a", chosen)?.click();
  }

  function keys() {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest?.("input, textarea, select")) {
        if (event.key === "Escape") event.target.blur();
        return;
      }
      const click = (id) => document.getElementById(id)?.click();
      if (went && Date.now() - went < 1200) {
        went = 0;
        const page = $(`nav a[data-key="${CSS.escape(event.key)}"]`);
        if (page) return page.click();
      }
      const does = {
        g: () => (went = Date.now()), "/": () => $("#find")?.focus(), "?": () => $("#help")?.showModal(),
        j: () => select(1), k: () => select(-1), Enter: () => row >= 0 && event.target.matches("body, main") && enter(),
        "+": () => click("zoom-in"), "=": () => click("zoom-in"), "-": () => click("zoom-out"), 0: () => click("zoom-all"),
        ArrowLeft: () => click("zoom-left"), ArrowRight: () => click("zoom-right"),
      }[event.key];
      if (!does) return;
      does();
      if ("/?".includes(event.key)) event.preventDefault();
    });
  }

  function copying() {
    document.addEventListener("click", async (event) => {
      const button = event.target.closest?.("[data-copy]");
      if (!button) return;
      await navigator.clipboard?.writeText(button.dataset.copy).catch(() => {});
      put(button, "copied");
      setTimeout(() => put(button, "copy"), 1500);
    });
  }

  // An event that the address names is unfolded.
  function target() {
    const id = location.hash.match(/^#e(\d+)$/)?.[1];
    const details = id && document.getElementById(`d${id}`);
    if (details) details.open = true;
  }

  settle(document);
  setInterval(ages, 1000);
  live();
  drag();
  keys();
  copying();
  target();
})();
