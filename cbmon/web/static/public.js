// Brings the public page up to date once a minute, without taking away where one reads.
"use strict";

(() => {
  const EVERY = 60000;
  const main = document.querySelector("main");

  async function refresh() {
    try {
      const response = await fetch(location.href, { signal: AbortSignal.timeout(8000) });
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      document.title = page.title;
      main.replaceChildren(...page.querySelector("main").childNodes);
      document.querySelector("footer").replaceWith(page.querySelector("footer"));
    } catch (error) {
      // it says as of when it is; the next minute tries again
    }
  }

  setInterval(() => void (document.hidden || refresh()), EVERY);
})();
