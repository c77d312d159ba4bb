"""The last step of a build: files beside the pages, the search index, the claim shown at home."""

import json
import re
import shutil
from html import escape
from pathlib import Path, PurePosixPath

from sphinx.util import logging

from derive_book.files import write_text
from derive_page import lean, pages

logger = logging.getLogger(__name__)


def search_documents(found: dict[str, pages.Page]) -> list[dict]:
    """One entry a section and one a claim, in reading order."""
    documents = []
    for url, page in found.items():
        for k, section in enumerate(page.sections):
            where = url if k == 0 else f"{url}#{section.anchor}"
            documents.append(
                {"url": where, "page": page.title, "title": section.title, "text": section.text}
            )
        for claim in page.claims:
            documents.append(
                {
                    "url": f"{url}#claim-{claim.label}",
                    "page": page.title,
                    "title": claim.section,
                    "text": claim.said,
                    "label": claim.label,
                    "kind": claim.kind,
                    "number": claim.number,
                    "figure": re.sub(r"\s+", " ", claim.figure).strip(),
                }
            )
    return [{"id": k, **document} for k, document in enumerate(documents)]


def show_claims(html: str, url: str, written: dict[str, str]) -> str:
    """Put the claims that a page asks for between their marks, with links to their chapters."""

    def filled(mark: re.Match) -> str:
        label = mark[1]
        for chapter, source in written.items():
            claim = pages.claim_markup(source, label)
            if claim and chapter != url:
                up = "../" * (len(PurePosixPath(url).parts) - 1)
                claim = re.sub(r'href="#', f'href="{up}{chapter}#', claim)
                claim = re.sub(r' id="[^"]*"', "", claim)
                return f"<!--claim {label}-->{claim}<!--/claim-->"
        return f"<!--claim {label}--><!--/claim-->"

    return re.sub(r"<!--claim ([\w-]+)-->.*?<!--/claim-->", filled, html, flags=re.DOTALL)


# As strict as the pages' own: this one only leads to the first of them.
DOOR = """<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'self'; \
style-src-elem 'self'; object-src 'none'; form-action 'self'; base-uri 'none'">
  <meta http-equiv="refresh" content="0; url={home}">
  <title>{title}</title>
</head>
<body><p><a href="{home}">{title}</a></p></body>
</html>
"""


def finish(app, exception) -> None:
    if exception or app.builder.name != "html":
        return
    out, source = Path(app.outdir), Path(app.srcdir)
    names = [app.builder.get_target_uri(doc) for doc in reading_order(app)]
    written = {name: (out / name).read_text(encoding="utf-8") for name in names}
    documents = search_documents({name: pages.read(html) for name, html in written.items()})
    script = json.dumps(documents, ensure_ascii=False, separators=(",", ":"))
    # a script, not JSON: a page opened from a file may load the one but not the other
    write_text(out / "_static" / "search-docs.js", f"globalThis.deriveSearch = {script};\n")
    for name, html in written.items():
        if "<!--claim " in html:
            write_text(out / name, show_claims(html, name, written))

    for doc in app.env.found_docs:
        notebook = Path(app.env.doc2path(doc)).with_suffix(".ipynb")
        if notebook.is_file():
            target = out / notebook.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notebook, target)
    interactive = source / "book" / "_interactive"
    if interactive.is_dir():
        shutil.copytree(interactive, out / "_interactive", dirs_exist_ok=True)
    write_text(out / "_static" / "katex" / "katex.css", lean.stylesheet())
    if app.config.root_doc != "index":
        home = app.builder.get_target_uri(app.config.root_doc)
        door = DOOR.format(home=escape(home), title=escape(app.config.html_title))
        write_text(out / "index.html", door)
    for unused in [out / "_static" / "pygments.css", *(out / "_static").glob("mystnb.*.css")]:
        unused.unlink(missing_ok=True)


def reading_order(app) -> list[str]:
    """Names of the pages, the home page first, then as in the contents."""
    order, name = [], app.config.root_doc
    relations = app.env.collect_relations()
    while name and name not in order:
        order.append(name)
        name = relations.get(name, [None, None, None])[2]
    return order + sorted(app.env.found_docs - set(order))


def search_page(app):
    yield "search", {"title": "Search", "body": ""}, "search.html"


def own_search(app) -> None:
    # Sphinx's index would ship the LaTeX of every formula
    if app.builder.format == "html":
        app.builder.search = False


def setup(app) -> None:
    app.connect("builder-inited", own_search)
    app.connect("html-collect-pages", search_page)
    # after myst-nb has written its stylesheet
    app.connect("build-finished", finish, priority=900)
