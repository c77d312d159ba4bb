/* The ledger's filter: hides the rows of other kinds and chapters. Without it the table is whole. */
"use strict";
for (const form of document.querySelectorAll(".ledger-filter")) {
  const rows = [...form.closest(".ledger").querySelectorAll("tbody tr")];
  const show = () => {
    const { kind, chapter } = form.elements;
    const claims = new Set();
    for (const row of rows) {
      row.hidden = Boolean(
        (kind.value && row.dataset.kind !== kind.value) ||
        (chapter.value && row.dataset.chapter !== chapter.value),
      );
      if (!row.hidden) claims.add(row.dataset.claim);
    }
    form.querySelector("output").textContent = `${claims.size} claim${claims.size === 1 ? "" : "s"} shown`;
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  show(); // a browser may have kept the choice of an earlier visit
}
