// Keeps the parts of a page up to date. Without it every page is whole; it is loaded again by hand then.
"use strict";
(() => {
  const STEP_MS = 5000;
  const main = document.querySelector("main[data-live]");
  const place = document.querySelector("[data-live-state]");
  if (!main || !place) return;
  let paused = false;
  let failed = false;

  const button = document.createElement("button");
  button.type = "button";
  const state = document.createElement("span");
  state.setAttribute("role", "status");
  place.replaceChildren(button, state);

  function tell() {
    button.textContent = paused ? "Go on updating" : "Pause updates";
    const time = main.dataset.at;
    if (failed) state.textContent = "The relay does not answer. This is as of " + time + ".";
    else state.textContent = paused ? "Paused, as of " + time + "." : "";
  }
  button.addEventListener("click", () => { paused = !paused; tell(); });

  // What somebody is at is left alone: an open list stays open, and what has the focus is not replaced.
  function replace(part, fresh) {
    if (part.contains(document.activeElement) && document.activeElement !== document.body) return;
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    const scrolled = [...part.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    if (part.innerHTML === fresh.innerHTML) return;
    part.innerHTML = fresh.innerHTML;
    part.querySelectorAll("details").forEach((details, place) => { if (open[place]) details.open = true; });
    part.querySelectorAll(".scroll").forEach((box, place) => { box.scrollLeft = scrolled[place] || 0; });
  }

  async function look() {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
        if (!answer.ok) throw new Error(String(answer.status));
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        const freshMain = fresh.querySelector("main[data-live]");
        if (!freshMain) throw new Error("another page");
        main.dataset.at = freshMain.dataset.at;
        for (const part of document.querySelectorAll("[data-part]")) {
          const same = fresh.getElementById(part.id);
          if (same) replace(part, same);
        }
        failed = false;
      } catch {
        failed = true;
      }
      tell();
    }
    setTimeout(look, STEP_MS);
  }
  tell();
  setTimeout(look, STEP_MS);
})();
