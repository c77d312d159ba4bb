"""The built pages, as a reader's browser shows them."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from built_book import CHAPTERS, DESK, EVERYWHERE, PAGES, PHONE

LIMIT = 1_000_000  # bytes of a page without its figures


# ---- loading ----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_page_asks_no_other_host_and_reports_no_error(look, site, name):
    seen = look(name)
    foreign = [url for url in seen.requests if not url.startswith((site, "data:"))]
    assert foreign == []
    assert seen.failed == []
    assert seen.errors == []


@pytest.mark.browser
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_page_opened_from_a_file_without_a_network_is_whole(visit, html, name):
    seen = visit((html / name).as_uri(), offline=True)
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
    assert seen.failed == []
    assert seen.errors == []
    assert seen.page.evaluate("document.fonts.check('20px Newsreader')")
    assert seen.page.evaluate("getComputedStyle(document.body).fontFamily").startswith("Newsreader")


@pytest.mark.browser
def test_the_security_policy_refuses_an_inline_script(visit, site):
    seen = visit(site + PAGES[0])
    seen.page.evaluate(
        "{const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s)}"
    )
    assert seen.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in seen.errors)


@pytest.mark.browser
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_page_without_its_figures_weighs_at_most_a_megabyte(look, site, html, name):
    seen = look(name)
    files = {urlsplit(url).path.lstrip("/") for url in seen.requests if url.startswith(site)}
    parts = {f: (html / unquote(f)).stat().st_size for f in files if not is_figure(f)}
    data = re.findall(
        r'<script type="application/json">.*?</script>',
        (html / name).read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    weight = sum(parts.values()) - sum(len(block.encode()) for block in data)
    heaviest = sorted(parts.items(), key=lambda part: -part[1])[:4]
    assert weight <= LIMIT, f"{weight} bytes; heaviest: {heaviest}"


def is_figure(path: str) -> bool:
    return path.startswith(("_images/", "_interactive/"))


# ---- reading ----------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_phone_shows_a_page_without_scrolling_sideways(look, name):
    page = look(name, phone=True).page
    wide = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
        [...document.querySelectorAll("main *")]
          .filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
          .filter((e) => !e.closest(".scroll, pre"))
          .slice(0, 5).map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], wide


@pytest.mark.browser
@pytest.mark.parametrize("name", EVERYWHERE)
def test_nothing_is_left_as_source(look, name):
    page = look(name).page
    text = page.evaluate(VISIBLE_TEXT)
    assert source_left(text) == []


# without code, where a backslash or a dollar may stand
VISIBLE_TEXT = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const parts = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!parent.closest("pre, code, script, style")) parts.push(walker.currentNode.data);
  }
  return parts.join("");
}"""


def source_left(text: str) -> list[str]:
    """Raw LaTeX, roles and directives in a text for readers."""
    patterns = [r"\\[a-zA-Z]{2,}", r"\$[^$\n]{1,80}\$", r"\{(?:eq|ref|doc|cite|numref|claims)\b"]
    patterns += [r":::", r"```", r"^:[a-z]+: "]
    return [m for p in patterns for m in re.findall(p, text, flags=re.MULTILINE)]


@pytest.mark.parametrize(
    "left", [r"\frac{1}{2}", "$x_i$", "{eq}`jl-norm`", ":::{note}", "```{math}"]
)
def test_what_is_left_as_source_is_seen(left):
    assert source_left(f"Some words {left} and more.")


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES[:2])
def test_lines_are_of_a_length_that_reads_well(look, name):
    """A paragraph's letters over its lines; the last line counts as half."""
    lengths = look(name).page.evaluate(
        """() => [...document.querySelectorAll("article section > p:not(:has(.math))")]
        .map((p) => [p, p.clientHeight / parseFloat(getComputedStyle(p).lineHeight)])
        .filter(([, lines]) => lines > 2.5)
        .map(([p, lines]) => p.textContent.length / (lines - 0.5))"""
    )
    assert lengths, "no paragraph without mathematics has three lines"
    assert 60 <= sum(lengths) / len(lengths) <= 76


@pytest.mark.browser
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_the_shade_is_the_readers_choice_and_is_remembered(visit, site, viewport):
    page = visit(site + PAGES[0], viewport=viewport).page
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click(".shade")
    dark = page.evaluate(paper)
    assert dark != light
    page.goto(site + EVERYWHERE[-1])
    assert page.evaluate(paper) == dark
    page.click(".shade")
    assert page.evaluate(paper) == light


@pytest.mark.browser
@pytest.mark.parametrize("name", CHAPTERS)
def test_computed_figures_are_light_on_dark_pages(look, name):
    images = "article .cell_output img, article figure.interactive > img"
    filters = f"[...document.querySelectorAll('{images}')].map((i) => getComputedStyle(i).filter)"
    assert set(look(name).page.evaluate(filters)) <= {"none"}
    assert set(look(name, dark=True).page.evaluate(filters)) <= {"invert(1) hue-rotate(180deg)"}


# ---- claims and ticks ----------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("name", CHAPTERS)
def test_ticks_lead_to_their_checks_and_back_without_script(visit, site, name):
    page = visit(site + name, script=False).page
    ticks = [tick.get_attribute("href") for tick in page.locator("article a.tick").all()]
    assert ticks, "a chapter without claims"
    for href in ticks:
        label = href.removeprefix("#check-")
        tick = page.locator(f'a.tick[href="{href}"]')
        tick.click()
        assert page.url.endswith(href)
        back = page.locator(f"{href} a.check-back")
        assert in_view(back)
        back.click()
        assert page.url.endswith(f"#claim-{label}")
        assert in_view(tick)


def in_view(locator) -> bool:
    box, height = locator.bounding_box(), DESK["height"]
    return box is not None and 0 <= box["y"] <= height - box["height"]


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_equations_are_typeset_and_readable_to_a_screen_reader(look, name):
    page = look(name).page
    *counts, mistakes = page.evaluate(
        """() => [".math", ".math math", ".math .katex-html[aria-hidden=true]", ".katex-error"]
        .map((kind) => document.querySelectorAll(`article ${kind}`).length)"""
    )
    assert mistakes == 0
    assert len(set(counts)) == 1
    assert counts[0] > 0 or name not in (PAGES[0], *CHAPTERS)
    faces = page.evaluate(
        """() => [...new Set([...document.querySelectorAll(".math > .katex, .scroll > * > .katex")]
        .map((formula) => getComputedStyle(formula).fontFamily.split(",")[0]))]"""
    )
    assert faces == (["KaTeX_Main"] if counts[0] else [])


@pytest.mark.browser
def test_kinds_of_ticks_differ_in_shape(visit, site):
    page = visit(site + PAGES[0]).page
    shapes = page.evaluate(
        """() => ["identity", "equal", "bound", "order", "sampled", "observed"].map((kind) => {
          const mark = document.createElement("span");
          mark.className = `mark mark-${kind}`;
          document.body.append(mark);
          return getComputedStyle(mark, "::before").maskImage;
        })"""
    )
    assert all(shape.startswith("url(") for shape in shapes)
    assert len(set(shapes)) == 6


@pytest.mark.browser
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_tick_covers_neither_its_equation_nor_its_number(look, name, phone):
    page = look(name, phone=phone).page
    covered = page.evaluate(
        """() => [...document.querySelectorAll(".claim")].filter((claim) => {
          if (!claim.querySelector("a.tick")) return true;
          const tick = claim.querySelector("a.tick").getBoundingClientRect();
          const over = (b) => tick.left < b.right - 1 && b.left < tick.right - 1
            && tick.top < b.bottom - 1 && b.top < tick.bottom - 1;
          const box = (part) => claim.querySelector(part).getBoundingClientRect();
          return [".math > .scroll", ".eqno"].some((part) => over(box(part)));
        }).map((claim) => claim.id)"""
    )
    assert covered == []


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_wide_things_can_be_scrolled_by_keyboard(look, name):
    page = look(name, phone=True).page
    stuck = page.evaluate(
        """() => [...document.querySelectorAll("main .scroll, main pre")]
        .filter((e) => e.scrollWidth > e.clientWidth + 1 && e.tabIndex !== 0)
        .map((e) => e.outerHTML.slice(0, 99))"""
    )
    assert stuck == []


# ---- search ------------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("name", EVERYWHERE)
def test_there_is_one_search_field_and_slash_goes_to_it(look, name):
    page = look(name).page
    assert page.locator("input[type=search], [role=search] input").count() == 1
    page.locator("main").focus()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"


def first_claim(html: Path) -> tuple[str, str]:
    for name in CHAPTERS:
        for label in re.findall(r'id="claim-([\w-]+)"', (html / name).read_text(encoding="utf-8")):
            return name, label
    raise AssertionError("no chapter has a claim")


@pytest.mark.browser
@pytest.mark.parametrize("served", [True, False], ids=["served", "from a file"])
def test_search_finds_a_claim_by_its_label(visit, site, html, served):
    name, label = first_claim(html)
    page = visit(site + PAGES[0] if served else (html / PAGES[0]).as_uri()).page
    page.fill("#find", label)
    page.press("#find", "Enter")
    page.wait_for_selector(".result")
    first = page.locator(".result").first
    assert first.locator("a").get_attribute("href") == f"{name}#claim-{label}"
    assert first.locator(".mark").count() == 1
    first.locator("a").click()
    assert page.url.endswith(f"{name}#claim-{label}")


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_search_finds_a_page_by_the_words_of_its_title(visit, site, name):
    page = visit(site + name).page
    title = page.evaluate(
        """[...document.querySelector("h1").childNodes]
        .filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join(" ")"""
    )
    page.goto(site + "search.html")
    page.fill("#find", title)
    links = [a.get_attribute("href") for a in page.locator(".result > a").all()]
    assert name in links[:3]
    shown = page.locator(".results").inner_text()
    assert "\\" not in shown
    assert "$" not in shown


@pytest.mark.browser
def test_search_says_so_when_there_is_nothing(visit, site):
    page = visit(site + "search.html?q=zzqqxx").page
    assert page.locator(".found").inner_text() == "Nothing for “zzqqxx”."
    assert page.locator(".result").count() == 0
