"""The built pages as files: links, anchors, buttons, images, what is shipped. No browser."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from built_book import CHAPTERS, EVERYWHERE, PAGES, REPOSITORY, ROOT, TOC


class Elements(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.all.append((tag, dict(attributes)))

    def links(self) -> list[str]:
        return [a["href"] for tag, a in self.all if tag == "a" and "href" in a]

    def ids(self) -> list[str]:
        return [a["id"] for _, a in self.all if "id" in a]


def broken_links(pages: dict[str, str], files: set[str]) -> list[str]:
    """Internal links of pages (address: text) that lead to no file or to no anchor."""
    anchors = {name: set(Elements(text).ids()) for name, text in pages.items()}
    broken = []
    for name, text in pages.items():
        for href in Elements(text).links():
            target = urlsplit(urljoin(f"//book/{name}", href))
            if target.netloc != "book":
                continue
            path = unquote(target.path.lstrip("/"))
            missing_anchor = target.fragment and unquote(target.fragment) not in anchors.get(
                path, ()
            )
            if path not in files or missing_anchor:
                broken.append(f"{name}: {href}")
    return broken


def test_every_internal_link_and_anchor_resolves(html):
    files = {str(path.relative_to(html)) for path in html.rglob("*") if path.is_file()}
    pages = {f: (html / f).read_text(encoding="utf-8") for f in files if f.endswith(".html")}
    assert broken_links(pages, files) == []


@pytest.mark.parametrize("href", ["b.html", "#no", "../a.html", "c.html#no"])
def test_a_broken_link_is_seen(href):
    pages = {"book/a.html": f'<p id="here"></p><a href="{href}">', "book/c.html": "<p>"}
    assert broken_links(pages, set(pages)) == [f"book/a.html: {href}"]


@pytest.mark.parametrize("name", EVERYWHERE)
def test_anchors_are_unique_and_images_have_alt_text(html, name):
    page = Elements((html / name).read_text(encoding="utf-8"))
    ids = page.ids()
    assert sorted(ids) == sorted(set(ids))
    images = [attributes for tag, attributes in page.all if tag == "img"]
    assert [a.get("src") for a in images if not (a.get("alt") or "").strip()] == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_links_under_a_title_lead_to_the_notebook_and_its_source(html, name):
    links = Elements((html / name).read_text(encoding="utf-8")).links()
    stem = name.removesuffix(".html")
    owner = REPOSITORY.removeprefix("https://github.com/")
    assert f"https://colab.research.google.com/github/{owner}/blob/main/{stem}.ipynb" in links
    assert any(u.startswith("https://mybinder.org/v2/gh/") and u.endswith(".ipynb") for u in links)
    assert f"{REPOSITORY}/blob/main/{stem}.md" in links
    assert Path(stem).name + ".ipynb" in links
    assert (html / f"{stem}.ipynb").read_bytes() == (ROOT / f"{stem}.ipynb").read_bytes()
    assert any(url.startswith(f"{REPOSITORY}/issues/new?") for url in links)


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_page_says_what_it_is(html, name):
    text = (html / name).read_text(encoding="utf-8")
    page = Elements(text)
    assert re.search(r"<title>[^<]+</title>", text)
    assert ("html", {"lang": "en"}) in page.all
    assert sum(tag == "h1" for tag, _ in page.all) == 1


@pytest.mark.parametrize("name", PAGES[:1])
def test_the_home_page_shows_a_tick_and_every_part(html, name):
    text = (html / name).read_text(encoding="utf-8")
    assert sum(a.get("class") == "tick" for _, a in Elements(text).all) == 1
    assert [part["caption"] for part in TOC["parts"] if part["caption"] not in text] == []


def test_the_only_scripts_and_sheets_shipped_are_the_books_own(html):
    static = html / "_static"
    found = [*static.rglob("*.js"), *static.rglob("*.css")]
    shipped = {path.relative_to(static).as_posix() for path in found}
    assert shipped == {
        "derive.css",
        "katex/katex.css",
        "minisearch/minisearch.js",
        "page.js",
        "search-docs.js",
        "search.js",
        "theme.js",
    }


def test_the_search_index_holds_no_latex(html):
    index = (html / "_static" / "search-docs.js").read_text(encoding="utf-8")
    assert re.findall(r"\\\\[a-zA-Z]{2,}|\$", index) == []
