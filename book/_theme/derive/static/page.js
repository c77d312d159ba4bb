/* Small conveniences; every page is complete without them. */
"use strict";
(() => {
  const root = document.documentElement;

  // ---- light and dark ---------------------------------------------------------------------
  const button = document.querySelector(".shade");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const name = () => button.setAttribute("aria-label", dark() ? "Light page" : "Dark page");
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("derive-theme", root.dataset.theme);
    } catch {
      // not remembered, but changed
    }
    name();
  });
  system.addEventListener("change", name);
  name();
  button.hidden = false;

  // ---- `/` goes to the search field, Escape back -------------------------------------------
  const field = document.getElementById("find");
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
      field.select();
    } else if (event.key === "Escape" && event.target === field) {
      field.blur();
    }
  });

  // ---- boxes that scroll sideways can be reached by keyboard, those that fit are no tab stop --
  const boxes = document.querySelectorAll(".scroll, pre");
  const reachable = () => {
    for (const box of boxes) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reachable);
  document.fonts?.ready.then(reachable);
  document.addEventListener("toggle", reachable, true);
  reachable();

  // ---- copy a code cell ---------------------------------------------------------------------
  if (navigator.clipboard) {
    for (const block of document.querySelectorAll(".cell_input .highlight, article > section .literal-block-wrapper .highlight")) {
      const copy = document.createElement("button");
      copy.type = "button";
      copy.className = "copy";
      copy.textContent = "copy";
      copy.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.querySelector("pre").innerText);
        copy.textContent = "copied";
        setTimeout(() => (copy.textContent = "copy"), 1500);
      });
      block.append(copy);
    }
  }

  // ---- a link into a folded part unfolds it ---------------------------------------------------
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let box = target && target.closest("details"); box; box = box.parentElement.closest("details")) {
      if (!box.open) {
        box.open = true;
        target.scrollIntoView();
      }
    }
  };
  addEventListener("hashchange", unfold);
  unfold();
})();
