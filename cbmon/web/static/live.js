// Keeps the page fresh. News comes as events from the server, else the page is asked for every
// two seconds; what is shown is always the server's own page, of which only what differs is
// exchanged. What one reads stays where it is, what one types stays as it is.
"use strict";

window.cbmon = (() => {
  const POLL = 2000; // without the stream of events
  const CALM = 10000; // with it: durations and counts move too
  const HIDDEN = 20000;
  const PATIENCE = 8000;
  const GATHER = 150; // events that come together are one look
  const APART = 700; // looks are at least so far apart, whatever happens
  const TOAST = 9000;
  const live = document.getElementById("live");
  const said = document.getElementById("said");
  const pulse = document.getElementById("pulse");
  const pulseText = document.getElementById("pulse-text");
  const isLive = "live" in live.dataset;
  let offset = 0; // the server's clock minus ours, in seconds
  let streaming = false;
  let asking = null; // the request that is going on
  let again = false; // something happened meanwhile
  let timer = 0;
  let toastTimer = 0;

  // --- time -------------------------------------------------------------------------------

  const serverNow = () => Date.now() / 1000 + offset;

  function countdown(seconds) {
    if (seconds <= 0) return "now";
    const whole = Math.ceil(seconds);
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor((whole % 3600) / 60);
    return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
  }

  function tick() {
    for (const element of document.querySelectorAll("[data-until]")) {
      const text = countdown(Number(element.dataset.until) - serverNow());
      if (element.textContent !== text) element.textContent = text;
    }
  }

  function localTimes(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      const local = new Date(element.getAttribute("datetime")).toLocaleString();
      if (element.title !== local) element.title = local;
    }
  }

  // --- exchanging what differs --------------------------------------------------------------

  const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key : undefined);
  const alike = (a, b) => a.nodeName === b.nodeName && keyOf(a) === keyOf(b);
  const KEPT_ATTRIBUTES = new Set(["open", "title"]);

  function morph(old, fresh) {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    if ("keep" in old.dataset) return;
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !KEPT_ATTRIBUTES.has(name)) old.removeAttribute(name);
    }
    morphChildren(old, fresh);
  }

  // A node stays where it is unless it is the one that moved: what is taken out and put back
  // is no longer under the pointer, nor in focus.
  function morphChildren(old, fresh) {
    const keyed = new Map();
    for (const child of old.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
    const staying = new Set([...fresh.children].map(keyOf));
    let cursor = old.firstChild;
    const leave = () => {
      const left = cursor;
      cursor = left.nextSibling;
      left.remove();
    };
    const gone = (node) => keyOf(node) && !staying.has(keyOf(node));
    for (const wanted of [...fresh.childNodes]) {
      while (cursor && gone(cursor)) leave();
      const key = keyOf(wanted);
      const found = key ? keyed.get(key) : cursor && alike(cursor, wanted) ? cursor : null;
      if (!found || found.nodeName !== wanted.nodeName) {
        old.insertBefore(wanted, cursor);
        continue;
      }
      keyed.delete(key);
      if (key) {
        if (cursor && keyOf(cursor) && cursor.nextElementSibling === found) leave(); // its turn comes
        while (cursor && cursor !== found && cursor.nodeType === Node.TEXT_NODE) leave();
      }
      if (found === cursor) cursor = cursor.nextSibling;
      else old.insertBefore(found, cursor);
      morph(found, wanted);
    }
    while (cursor) leave();
  }

  // What is in focus or under the pointer, else what is at the top of the window, is being read.
  // Asked by where the pointer is, since :hover lags behind a page that has just changed.
  let pointer = null;
  const follow = (event) => (pointer = event.pointerType === "touch" ? null : event);
  addEventListener("pointermove", follow, { passive: true });
  document.documentElement.addEventListener("pointerleave", () => (pointer = null));

  function reading() {
    const active = document.activeElement;
    const below = pointer && document.elementFromPoint(pointer.clientX, pointer.clientY);
    for (const element of [active, below]) {
      const found = element && live.contains(element) ? element.closest("[data-key]") : null;
      if (found) return found;
    }
    if (scrollY < 8) return null;
    return [...live.querySelectorAll("[data-key]")].find((element) => {
      const box = element.getBoundingClientRect();
      return box.top >= 0 && box.top < innerHeight;
    });
  }

  // Where the window would reach beyond a page that became shorter, the page keeps some of its
  // length until one has scrolled up: else what one reads would be pushed down from below.
  function stay(top) {
    live.style.minHeight = "";
    for (let turn = 0; turn < 2; turn += 1) { // in a window longer than the page some does not show
      const missing = top + innerHeight - document.documentElement.scrollHeight;
      if (missing > 0) live.style.minHeight = `${live.offsetHeight + missing}px`;
    }
    if (Math.abs(scrollY - top) > 1) scrollTo({ top, behavior: "instant" });
  }

  function show(page) {
    const fresh = page.getElementById("live");
    if (!fresh) return;
    const anchor = reading();
    const key = anchor?.dataset.key;
    const before = anchor?.getBoundingClientRect().top;
    const focus = document.activeElement;
    morphChildren(live, fresh);
    if (focus && focus !== document.activeElement && focus.isConnected) {
      focus.focus({ preventScroll: true });
    }
    if (key) {
      const now = anchor.isConnected ? anchor : live.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (now) stay(Math.max(0, scrollY + now.getBoundingClientRect().top - before));
    } else live.style.minHeight = "";
    localTimes(live);
    tick();
    const title = live.querySelector("[data-title]")?.dataset.title;
    if (title && title !== document.title) document.title = title;
  }

  // --- asking -------------------------------------------------------------------------------

  async function fetchPage(url, options = {}) {
    const response = await fetch(url, {
      signal: AbortSignal.timeout(PATIENCE),
      credentials: "same-origin",
      headers: { Accept: "text/html" },
      ...options,
    });
    if (response.redirected && new URL(response.url).pathname === "/login") {
      location.assign(response.url); // the login is over
    }
    const type = response.headers.get("Content-Type") || "";
    const text = await response.text();
    if (!type.startsWith("text/html")) throw new Error(text.trim() || `answer ${response.status}`);
    const date = Number(response.headers.get("X-Now"));
    if (date) offset = date - Date.now() / 1000;
    const page = new DOMParser().parseFromString(text, "text/html");
    const refusal = page.querySelector("[data-error]");
    if (refusal) throw new Error(refusal.textContent);
    return { response, page };
  }

  const selecting = () => {
    const selection = getSelection();
    return !selection.isCollapsed && live.contains(selection.anchorNode);
  };

  async function refresh() {
    if (!isLive) return;
    if (asking) {
      again = true;
      return;
    }
    clearTimeout(timer);
    const url = location.pathname + location.search;
    asking = fetchPage(url);
    try {
      const { response, page } = await asking;
      if (!response.ok) throw new Error(`answer ${response.status}`);
      const stillThere = url === location.pathname + location.search;
      if (stillThere && !selecting()) show(page);
      pace(streaming ? "live" : "live, every 2 s", "on");
    } catch (error) {
      pace("no connection, trying again", "off");
    } finally {
      asking = null;
      const wait = document.hidden ? HIDDEN : streaming ? CALM : POLL;
      timer = setTimeout(refresh, again ? GATHER : wait);
      again = false;
    }
  }

  function pace(text, state) {
    pulse.hidden = false;
    pulse.className = `pulse ${state}`;
    if (pulseText.textContent !== text) pulseText.textContent = text;
  }

  // --- what is said -------------------------------------------------------------------------

  const WORDS = {
    open: "opened",
    half_open: "is being tried",
    closed: "closed",
    disabled: "was disabled",
    forced_open: "was forced open",
    forced_closed: "was forced closed",
    observe: "is only observed",
  };
  let gathered = new Map();

  function say(text, link) {
    clearTimeout(toastTimer);
    said.replaceChildren(text);
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = link;
      anchor.textContent = "Show";
      said.append(" ", anchor);
    }
    said.classList.add("on");
    toastTimer = setTimeout(() => said.classList.remove("on"), TOAST);
  }

  function tell() {
    const news = [...gathered].filter(([, state]) => state !== "half_open");
    gathered = new Map();
    if (!news.length) return;
    if (news.length <= 2) {
      const text = news.map(([name, state]) => `${name} ${WORDS[state] || state}`).join(", ");
      say(text, `/components/${encodeURIComponent(news[0][0])}`);
      return;
    }
    const counts = new Map();
    for (const [, state] of news) counts.set(state, (counts.get(state) || 0) + 1);
    const parts = [...counts].map(([state, count]) => `${count} ${WORDS[state] || state}`);
    say(`${news.length} breakers moved: ${parts.join(", ")}`, "/?state=attention");
  }

  // --- news ---------------------------------------------------------------------------------

  function heard(event) {
    let data = {};
    try {
      data = JSON.parse(event.data);
    } catch (error) {
      return;
    }
    if (data.kind === "transition" || data.to_state) gathered.set(data.component, data.to_state);
    if (heard.timer) return;
    const wait = Math.max(GATHER, (heard.at || 0) + APART - Date.now());
    heard.timer = setTimeout(() => {
      heard.timer = 0;
      heard.at = Date.now();
      tell();
      void refresh();
    }, wait);
  }

  function listen() {
    const source = new EventSource("/api/v1/events/stream");
    source.onopen = () => {
      streaming = true;
      void refresh();
    };
    source.onerror = () => {
      streaming = false;
      void refresh();
    };
    for (const kind of ["transition", "action", "settings_changed", "reload", "gap"]) {
      source.addEventListener(kind, heard);
    }
    addEventListener("pagehide", () => source.close());
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    const input = document.querySelector("[data-search] input[name=q]");
    if (input) {
      event.preventDefault();
      input.focus();
    }
  });
  document.documentElement.classList.add("scripted");
  localTimes(document);
  setInterval(tick, 250);
  if (isLive) {
    document.addEventListener("visibilitychange", () => void (document.hidden || refresh()));
    timer = setTimeout(refresh, POLL);
    listen();
  }
  return { fetchPage, refresh, say, show };
})();
