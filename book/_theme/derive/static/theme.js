/* Loaded before the page is painted, so that a chosen shade shows without a flash. */
"use strict";
try {
  const shade = localStorage.getItem("derive-theme");
  if (shade === "light" || shade === "dark") document.documentElement.dataset.theme = shade;
} catch {
  // storage is switched off: the system's choice holds
}
