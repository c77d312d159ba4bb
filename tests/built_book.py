"""The built book for tests: which pages there are, and opening them in a browser.

The book is taken from `_build/html`, or from the folder that DERIVE_HTML names; which pages it has
is read from `_toc.yml`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
REPOSITORY = CONFIG["repository"]["url"]


def toc_pages() -> list[str]:
    """Addresses of the pages in the table of contents, the home page first."""
    files = [TOC["root"]]
    files += [chapter["file"] for part in TOC["parts"] for chapter in part["chapters"]]
    return [re.sub(r"\.md$", "", name) + ".html" for name in files]


PAGES = toc_pages()
CHAPTERS = [page for page in PAGES if (ROOT / page).with_suffix(".ipynb").is_file()]
EVERYWHERE = [*PAGES, "search.html"]
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}


@dataclass
class Visit:
    """A page that was opened, and what happened while it loaded."""

    page: object
    requests: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def open_page(browser, url, *, dark=False, viewport=DESK, script=True, offline=False) -> Visit:
    context = browser.new_context(
        color_scheme="dark" if dark else "light",
        viewport=viewport,
        java_script_enabled=script,
        offline=offline,
    )
    seen = Visit(context.new_page())
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("requestfailed", lambda request: seen.failed.append(request.url))
    seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
    # a violation of the content security policy is reported here too
    seen.page.on(
        "console", lambda said: said.type in ("error", "warning") and seen.errors.append(said.text)
    )
    seen.page.goto(url, wait_until="load")
    seen.page.evaluate("document.fonts.ready.then(() => null)")
    return seen
