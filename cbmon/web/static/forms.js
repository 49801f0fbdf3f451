// Questions as dialogs, search while typing, judgement while typing. Everything here is a link or
// a form that works by itself: without this file the browser follows it to a page of its own.
"use strict";

(() => {
  const { fetchPage, refresh, say, show } = window.cbmon;
  const dialog = document.getElementById("dialog");
  const QUIET = 180; // after the last key

  // --- dialogs ------------------------------------------------------------------------------

  function fill(page) {
    const body = page.querySelector("[data-dialog-body]");
    if (!body) return false;
    dialog.replaceChildren(body);
    return true;
  }

  function begin() {
    const first = dialog.querySelector("[aria-invalid=true]") || dialog.querySelector("input:checked");
    (first || dialog.querySelector("[autofocus]") || dialog.querySelector("button"))?.focus();
  }

  async function open(link) {
    const url = new URL(link.href);
    if (location.pathname === "/") url.searchParams.set("back", "overview");
    try {
      const { page } = await fetchPage(url);
      if (!fill(page)) throw new Error("no question");
      dialog.showModal();
      begin();
    } catch (error) {
      location.assign(url);
    }
  }

  async function answer(form, submitter) {
    const buttons = form.querySelectorAll("button");
    const body = new URLSearchParams(new FormData(form, submitter));
    for (const button of buttons) button.disabled = true;
    try {
      const { response, page } = await fetchPage(form.action, { method: "POST", body });
      if (response.redirected && response.ok) {
        dialog.close();
        const done = page.getElementById("done")?.textContent.trim();
        say(done || "Done.");
        await refresh();
      } else if (fill(page)) {
        begin();
      } else {
        throw new Error(`answer ${response.status}`);
      }
    } catch (error) {
      const note = document.createElement("p");
      note.className = "note bad";
      note.setAttribute("role", "alert");
      note.textContent = `Not done: ${error.message}`;
      form.querySelector(".note.bad")?.remove();
      form.prepend(note);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey;
    if (link && plain) {
      event.preventDefault();
      void open(link);
    }
    if (dialog.contains(event.target) && event.target.closest("[data-cancel]")) {
      event.preventDefault();
      dialog.close();
    }
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    void answer(event.target, event.submitter);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });

  // --- search -------------------------------------------------------------------------------

  const search = document.querySelector("form[data-search]");
  let latest = 0;

  async function find() {
    const number = ++latest;
    const fields = [...new FormData(search)].filter(([, value]) => value !== "");
    const query = new URLSearchParams(fields).toString();
    const url = query ? `/?${query}` : "/";
    try {
      const { response, page } = await fetchPage(url);
      if (number !== latest || !response.ok) return;
      history.replaceState(null, "", url);
      show(page);
    } catch (error) {
      search.submit();
    }
  }

  if (search) {
    let timer = 0;
    search.addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(find, event.target.matches("select") ? 0 : QUIET);
    });
    search.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      void find();
    });
  }
  for (const select of document.querySelectorAll("form.filter:not([data-search]) select")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }

  // --- judgement while typing -----------------------------------------------------------------

  async function judge(form) {
    const number = (form.judged = (form.judged || 0) + 1);
    const body = new URLSearchParams(new FormData(form));
    body.set("intent", "check");
    try {
      const { page } = await fetchPage(form.action, { method: "POST", body });
      if (number !== form.judged) return;
      for (const wrong of form.querySelectorAll("[data-wrong]")) {
        const text = page.getElementById(wrong.id)?.textContent ?? "";
        const field = form.elements[wrong.dataset.wrong];
        if (wrong.textContent !== text) wrong.textContent = text;
        if (!text) field.removeAttribute("aria-invalid");
        else if (field.value !== "") field.setAttribute("aria-invalid", "true");
      }
      for (const part of form.querySelectorAll("[data-fresh]")) {
        part.textContent = page.getElementById(part.id)?.textContent ?? "";
      }
      const general = document.querySelector("[data-general]");
      const judged = page.querySelector("[data-general]");
      if (general && judged) general.replaceChildren(...judged.childNodes);
    } catch (error) {
      // saving will say it
    }
  }

  for (const form of document.querySelectorAll("form[data-check]")) {
    let timer = 0;
    form.addEventListener("input", (event) => {
      if (event.target.name === "reason") return;
      clearTimeout(timer);
      timer = setTimeout(() => void judge(form), QUIET);
    });
  }
})();
