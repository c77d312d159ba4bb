/* The search page: MiniSearch over the sections and claims that search-docs.js lists. */
"use strict";
(() => {
  const field = document.getElementById("find");
  const list = document.querySelector(".results");
  const status = document.querySelector(".found");
  const documents = globalThis.deriveSearch;
  const MOST = 40;

  const index = new MiniSearch({
    fields: ["label", "title", "text", "page", "number"],
    searchOptions: {
      boost: { label: 6, number: 4, title: 3, page: 1.5 },
      combineWith: "AND",
      prefix: (term) => term.length > 1,
      fuzzy: (term) => (term.length > 4 ? 0.2 : false),
    },
    // "Johnson–Lindenstrauss" is two words; a label and a number are found whole and by part
    tokenize: (text, name) => {
      const words = text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
      if (name === "label" || name === "number") return [text, ...words];
      return name ? words : text.split(/[^\p{L}\p{N}.-]+/u).filter(Boolean);
    },
  });
  index.addAll(documents);

  const element = (tag, name, ...children) => {
    const node = document.createElement(tag);
    if (name) node.className = name;
    node.append(...children);
    return node;
  };

  /** The text with the words that were found set off. */
  function marked(text, words) {
    const found = words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    if (!found.length) return [text];
    return text.split(new RegExp(`(${found.join("|")})`, "iu")).map((part, k) => (k % 2 ? element("mark", "", part) : part));
  }

  /** About 180 letters around the first word that was found. */
  function excerpt(text, words) {
    const low = text.toLowerCase();
    const at = Math.min(...words.map((w) => low.indexOf(w)).filter((k) => k >= 0), low.length);
    let start = at === low.length ? 0 : Math.max(0, at - 60);
    if (start) start = text.indexOf(" ", start) + 1;
    let end = start + 180;
    if (end < text.length) end = text.lastIndexOf(" ", end);
    return (start ? "… " : "") + text.slice(start, end) + (end < text.length ? " …" : "");
  }

  function result(hit) {
    const entry = documents[hit.id];
    const link = element("a");
    link.href = entry.url;
    const where = element("p", "where", entry.title === entry.page ? "" : entry.page);
    const item = element("li", entry.label ? "result claim-result" : "result");
    if (entry.label) {
      const mark = element("span", `mark mark-${entry.kind}`);
      mark.setAttribute("aria-hidden", "true");
      link.append(mark, `(${entry.number}) `, element("code", "", ...marked(entry.label, hit.terms)), ` ${entry.title}`);
      where.append(where.textContent ? " · " : "", `checked: ${entry.kind}`, entry.figure ? `, ${entry.figure}` : "");
    } else {
      link.append(...marked(entry.title, hit.terms));
    }
    item.append(link);
    if (where.textContent) item.append(where);
    if (entry.text) item.append(element("p", "excerpt", ...marked(excerpt(entry.text, hit.terms), hit.terms)));
    return item;
  }

  function search() {
    const query = field.value.trim();
    list.replaceChildren();
    if (!query) {
      status.textContent = "Type a word, or the label of an equation.";
      return;
    }
    let hits = index.search(query);
    if (!hits.length) hits = index.search(query, { combineWith: "OR" });
    const few = hits.slice(0, MOST);
    list.append(...few.map(result));
    const count = hits.length > MOST ? `The first ${MOST} of ${hits.length} places` : hits.length === 1 ? "One place" : `${hits.length} places`;
    status.textContent = hits.length ? `${count} for “${query}”.` : `Nothing for “${query}”.`;
  }

  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.addEventListener("input", () => {
    const address = new URL(location.href);
    address.searchParams.set("q", field.value.trim());
    try {
      history.replaceState(null, "", address);
    } catch {
      // a page opened from a file may not change its address
    }
    search();
  });
  field.form.addEventListener("submit", (event) => event.preventDefault());
  field.focus();
  search();
})();
