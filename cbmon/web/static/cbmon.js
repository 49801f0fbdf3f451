// Keeps the page fresh: every two seconds the fragment is fetched and only what changed is
// exchanged; countdowns run in between. Without it the page is complete, only still.
"use strict";

(() => {
  const EVERY = 2000;
  const PATIENCE = 8000;
  const live = document.getElementById("live");
  const said = document.getElementById("said");
  const pulse = document.getElementById("pulse");
  const pulseText = document.getElementById("pulse-text");
  let offset = 0; // the server's clock minus ours, in seconds

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
      element.textContent = countdown(Number(element.dataset.until) - serverNow());
    }
  }

  function localTimes(root) {
    for (const element of root.querySelectorAll("time[datetime]")) {
      element.title = new Date(element.getAttribute("datetime")).toLocaleString();
    }
  }

  // What the user is in the middle of (typing, choosing) is never exchanged under his hands.
  const busy = (element) => element.contains(document.activeElement) && element.matches("form");

  function exchange(markup) {
    const fresh = document.createElement("template");
    fresh.innerHTML = markup;
    const sources = [...fresh.content.children];
    const sameShape =
      sources.length === live.children.length &&
      sources.every((source, i) => source.dataset.key === live.children[i].dataset.key);
    const form = [...live.children].find(busy);
    if (sameShape) {
      sources.forEach((source, i) => exchangeOne(live.children[i], source));
    } else if (form) {
      exchangeAround(form, sources);
    } else {
      live.replaceChildren(...sources);
    }
    localTimes(live);
    announce(live.querySelector("[data-title]")?.dataset.title);
  }

  // A form in use stays where it is: moving it would take the focus away.
  function exchangeAround(form, sources) {
    const at = sources.findIndex((source) => source.matches("form"));
    for (const child of [...live.children]) if (child !== form) child.remove();
    form.before(...sources.slice(0, at));
    form.after(...sources.slice(at + 1));
  }

  function announce(title) {
    if (!title || title === document.title) return;
    document.title = title;
    said.textContent = title;
  }

  function exchangeOne(old, source) {
    if (busy(old) || old.isEqualNode(source)) return;
    const focus = old.contains(document.activeElement) && document.activeElement.getAttribute("href");
    old.replaceWith(source);
    if (focus) source.querySelector(`a[href="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }

  function say(text, state) {
    pulse.hidden = false;
    pulse.className = `pulse ${state}`;
    pulseText.textContent = text;
  }

  async function refresh() {
    if (document.hidden || !getSelection().isCollapsed) return; // somebody copies a text
    try {
      const response = await fetch(live.dataset.fragment + location.search, {
        signal: AbortSignal.timeout(PATIENCE),
        credentials: "same-origin",
      });
      if (!response.ok) throw new Error(`answer ${response.status}`);
      const date = Number(response.headers.get("X-Now"));
      if (date) offset = date - Date.now() / 1000;
      exchange(await response.text());
      say("live", "on");
    } catch (error) {
      say("no connection, trying again", "off");
    }
  }

  // Typing filters what is on the page at once; Enter asks the server.
  function narrow() {
    const input = live.querySelector("input[name=q]");
    if (!input || input !== document.activeElement) return;
    const wanted = input.value.trim().toLocaleLowerCase();
    for (const card of live.querySelectorAll("[data-key^='c:']")) {
      card.hidden = wanted !== "" && !card.textContent.toLocaleLowerCase().includes(wanted);
    }
  }

  async function loop() {
    await refresh();
    narrow();
    tick();
    setTimeout(loop, EVERY);
  }

  live.addEventListener("input", narrow);
  live.addEventListener("change", (event) => {
    if (event.target.matches("select")) event.target.form.requestSubmit();
  });
  document.addEventListener("visibilitychange", () => void refresh());
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    const input = live.querySelector("input[name=q]");
    if (input) {
      event.preventDefault();
      input.focus();
    }
  });
  document.documentElement.classList.add("scripted");
  localTimes(document);
  setInterval(tick, 250);
  setTimeout(loop, EVERY);
})();
