"""The built book, a server for it on loopback, and Chromium: shared by the tests of the pages."""

import functools
import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from built_book import DESK, PAGES, PHONE, ROOT, Visit, open_page


@pytest.fixture(scope="session")
def html() -> Path:
    if "DERIVE_HTML" in os.environ:
        return Path(os.environ["DERIVE_HTML"])
    folder = ROOT / "_build" / "html"
    if not (folder / PAGES[0]).is_file():
        subprocess.run(["make", "book"], cwd=ROOT, check=True)
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture(scope="session")
def site(html):
    handler = functools.partial(Quiet, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    # one a module: a module with a browser of its own could not start it beside a longer-lived one
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Open a page of one's own, to click and type in: `visit(url, dark=…, viewport=…, …)`."""
    visits = []

    def opened(url, **how) -> Visit:
        visits.append(open_page(browser, url, **how))
        return visits[-1]

    yield opened
    for seen in visits:
        seen.page.context.close()


@pytest.fixture(scope="module")
def look(browser, site):
    """A page of the site to look at only, folds open: the same for all tests that ask for it."""

    @functools.cache
    def opened(name, dark=False, phone=False) -> Visit:
        seen = open_page(browser, site + name, dark=dark, viewport=PHONE if phone else DESK)
        seen.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
        return seen

    return opened
