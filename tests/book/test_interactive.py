"""The kit for interactive figures, and the figures themselves, in a real browser."""

import base64
import json
import math
import shutil
from pathlib import Path

import pytest

pytest.importorskip("playwright.sync_api")
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

pytestmark = pytest.mark.browser

SCRIPTS = Path(__file__).parents[2] / "book" / "_interactive"
ORIGIN = "http://book.test/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)
IMAGE = (  # one transparent pixel: the static figure
    "data:image/png;base64,"
    + base64.b64encode(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
            "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
        )
    ).decode()
)


def jl_dimension():
    """Data of the right form; the real ones are the chapter's business."""
    eps = [round(0.05 * 1.16**k, 4) for k in range(20)]
    N = [10, 1000, 10**6]

    def rows(factor):
        return [[math.ceil(factor * math.log(n) / e**2) for e in eps] for n in N]

    return {
        "eps": eps,
        "N": N,
        "start": 1,
        "delta": 0.05,
        "seed24": rows(24),
        "seed16": rows(16),
        "sklearn": rows(9),
        "exact": rows(8.5),
        "floor": [[max(2, math.ceil(math.log(n) / e)) for e in eps] for n in N],
    }


# One figure with every control and every mark; what it draws is plain enough to count.
EVERYTHING = """
DeriveFigures.register("everything", (figure, data) => {
  const many = figure.choice("law", ["a", "b", "c", "d", "*e*"], { start: 1 });
  const scale = figure.choice("axis", ["linear", "log"]);
  const rate = figure.slider("rate *λ*", [1, 20, 16579], { unit: "per s" });
  figure.button("draw again", () => (figure.state.draws = (figure.state.draws ?? 0) + 1));
  figure.plot({
    x: { label: "time *t* (s)" },
    y: { label: "mass (g)", scale: () => scale.value },
    cursor: data.x,
    marks: () => [
      { type: "line", label: "line", x: data.x, y: data.y },
      { type: "points", label: "points", x: data.x, y: data.y },
      { type: "area", label: "area", x: data.x, low: data.y.map((v) => v && v / 2), high: data.y },
      { type: "rule", label: "rule", x: 2, theory: true },
      { type: "rule", label: "level", y: 3 },
      { type: "line", x: data.x, y: data.x, quiet: true },
    ],
    say: (i) => `*t* = ${data.x[i]}, ${many.value}, ${rate.text}, ${figure.state.draws ?? 0} drawn`,
  });
  figure.plot({
    x: { label: "value" },
    y: { label: "count" },
    marks: () => [{ type: "bars", label: "bars", edges: [0, 1, 2, 3], y: [1, 4, 2] }],
  });
});
"""
EVERYTHING_DATA = {"x": [1, 2, 3, 4, 5], "y": [1, 2, None, 4, 5]}
BROKEN = 'DeriveFigures.register("broken", () => { throw new Error("on purpose"); });'


def page_of(name, data):
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="_static/interactive/kit.css">
<script defer src="_static/interactive/kit.js"></script>
<script defer src="_static/interactive/{name}.js"></script>
<style>body {{ background: var(--fig-paper); color: var(--fig-ink); margin: 1rem auto;
  max-width: 680px; padding: 0 1rem; font-family: serif; font-size: 18px }}
  figure {{ margin: 0 }}</style></head>
<body><main><h1>A figure</h1>
<figure class="interactive" data-figure="{name}"><div class="stage"></div>
<img src="{IMAGE}" alt="What is seen."><script type="application/json">{json.dumps(data)}</script>
<figcaption>What it shows.</figcaption></figure></main></body></html>"""


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser):
    """Open one figure on a page under the book's content security policy."""
    contexts = []

    def open_page(name, data, script=None, *, width=760, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "console",
            lambda m: page.problems.append(m.text) if m.type in ("error", "warning") else None,
        )

        def serve(route):
            path = route.request.url.removeprefix(ORIGIN)
            if not path:
                kind, body = "text/html", page_of(name, data)
            else:
                kind = "text/css" if path.endswith(".css") else "text/javascript"
                file = SCRIPTS / Path(path).name
                body = script if script and file.stem == name else file.read_text("utf-8")
            headers = {"Content-Security-Policy": POLICY, "Content-Type": f"{kind}; charset=utf-8"}
            route.fulfill(body=body, headers=headers)

        page.route(f"{ORIGIN}**", serve)
        page.goto(ORIGIN)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def figure(show):
    return show("jl-dimension", jl_dimension())


def readout(page):
    return page.locator(".readout").first.inner_text()


def test_the_drawing_replaces_the_image_without_a_problem(figure):
    assert figure.locator("figure.is-live g[clip-path] path.line").count() == 5
    assert not figure.locator("figure > img").is_visible()
    assert figure.problems == []


def test_the_readout_states_the_data_under_the_crosshair(figure):
    data = jl_dimension()
    k = min(range(len(data["eps"])), key=lambda k: abs(data["eps"][k] - 0.2))
    for name in ("seed24", "seed16", "sklearn", "exact", "floor"):
        assert f"{data[name][1][k]:,}".replace(",", "") in readout(figure).replace("\u202f", "")


def test_arrow_keys_move_the_slider(figure):
    slider = figure.get_by_role("slider", name="points n")
    slider.focus()
    before = readout(figure)
    figure.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "10⁶"
    assert figure.locator("output").inner_text() == "10⁶"
    assert readout(figure) != before
    figure.keyboard.press("ArrowLeft")
    assert readout(figure) == before


def test_arrow_keys_move_the_crosshair(figure):
    plot = figure.get_by_role("slider", name="Position along distortion")
    plot.focus()
    seen = {readout(figure)}
    start = int(plot.get_attribute("aria-valuenow"))
    figure.keyboard.press("ArrowRight")
    assert int(plot.get_attribute("aria-valuenow")) == start + 1
    seen.add(readout(figure))
    for key, where in (("Home", 0), ("ArrowLeft", 0), ("PageUp", 2), ("End", 19), ("ArrowUp", 19)):
        figure.keyboard.press(key)
        assert int(plot.get_attribute("aria-valuenow")) == where, key
        seen.add(readout(figure))
    assert len(seen) == 5


def test_the_pointer_moves_the_crosshair(figure):
    box = figure.locator(".plot").bounding_box()
    plot = figure.locator(".plot")
    found = []
    for share in (0.15, 0.3, 0.5):
        figure.mouse.move(box["x"] + share * box["width"], box["y"] + 100)
        found.append(int(plot.get_attribute("aria-valuenow")))
        hair = figure.locator(".hair").bounding_box()
        assert abs(hair["x"] - (box["x"] + share * box["width"])) < box["width"] / 20
    assert found == sorted(set(found))


def test_every_control_redraws(show):
    page = show("everything", EVERYTHING_DATA, EVERYTHING)
    assert readout(page) == "t = 1, b, 1 per s, 0 drawn"
    page.get_by_label("law").select_option("e")
    page.get_by_role("slider", name="rate λ").focus()
    page.keyboard.press("End")
    page.get_by_role("button", name="draw again").click()
    assert readout(page) == "t = 1, *e*, 16\u202f600 per s, 1 drawn".replace("*", "")
    linear = page.locator("g[clip-path] path.line.c1").get_attribute("d")
    page.get_by_role("radio", name="log").check()
    assert page.locator("g[clip-path] path.line.c1").get_attribute("d") != linear
    assert page.problems == []


def test_marks_draw_what_the_data_say(show):
    page = show("everything", EVERYTHING_DATA, EVERYTHING)
    line = page.locator("g[clip-path] path.line.c1").get_attribute("d")
    assert (line.count("M"), line.count("L")) == (2, 2)  # the gap breaks the line
    assert page.locator("g[clip-path] path.points").get_attribute("d").count("M") == 4
    bars = page.locator("g[clip-path] path.bars")
    assert bars.get_attribute("d").count("z") == 3
    labels = [t.strip() for t in page.locator(".legend > span").all_inner_texts()]
    assert labels[:3] == ["points", "area", "rule"]
    assert {"line", "level"} <= set(page.locator(".plot text").all_text_contents())
    # bars stand on zero, and the one of height 4 is twice as high as the one of height 2
    heights = page.evaluate(
        """() => {
          const d = document.querySelector("g[clip-path] path.bars").getAttribute("d");
          return d.split("z").filter(Boolean).map((bar) => {
            const [, floor, top] = bar.match(/^M[\\d.]+ ([\\d.]+)V([\\d.]+)H/).map(Number);
            return floor - top;
          });
        }"""
    )
    assert heights[1] / heights[2] == pytest.approx(2, rel=0.01)
    assert heights[1] / heights[0] == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("16579", "16 600"),
        ("0.012345", "0.0123"),
        ("4.2e-7", "4.2 × 10⁻⁷"),
        ("-1e6", "−10⁶"),
        ("-3.14159", "−3.14"),
        ("0", "0"),
        ("999.6", "1000"),
        ("99999", "10⁵"),
        ("null", "–"),
    ],
)
def test_numbers_are_written_with_three_digits(show, value, text):
    script = f"""DeriveFigures.register("everything", (figure) => figure.plot({{ x: {{}}, y: {{}},
      marks: () => [{{ type: "line", x: [0, 1], y: [0, 1] }}],
      say: () => figure.number({value}) }}));"""
    assert readout(show("everything", {}, script)).replace("\u202f", " ") == text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["jl-dimension", "everything"])
def test_no_accessibility_violation(show, name, scheme):
    if name == "everything":
        page = show(name, EVERYTHING_DATA, EVERYTHING, color_scheme=scheme)
    else:
        page = show(name, jl_dimension(), color_scheme=scheme)
    assert page.locator("figure.is-live").count() == 1
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_accessibility_test_can_fail(show):
    page = show("jl-dimension", jl_dimension())
    page.evaluate("document.querySelector('.plot').removeAttribute('aria-label')")
    assert Axe().run(page).violations_count > 0


@pytest.mark.parametrize("name", ["jl-dimension", "everything"])
def test_a_narrow_page_does_not_scroll_sideways(show, name):
    data, script = (
        (jl_dimension(), None) if name == "jl-dimension" else (EVERYTHING_DATA, EVERYTHING)
    )
    page = show(name, data, script, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    outside = page.evaluate(
        """() => [...document.querySelectorAll(".stage text, .stage span, .stage input")]
          .map((n) => [n.textContent, n.getBoundingClientRect()])
          .filter(([, box]) => box.left < 0 || box.right > 360).map(([text]) => text)"""
    )
    assert outside == []


def test_the_figure_is_redrawn_when_the_page_changes_width(figure):
    def widths():
        return figure.evaluate(
            """() => [".plot", ".plot svg"].map((s) =>
              Math.floor(document.querySelector(s).getBoundingClientRect().width))"""
        )

    before = widths()
    figure.set_viewport_size({"width": 360, "height": 900})
    figure.wait_for_function("document.querySelector('.plot svg').clientWidth < 360")
    after = widths()
    assert after[0] == after[1] < before[0] == before[1]
    assert figure.locator(".legend > span").count() == 5  # no room for labels beside the lines
    assert figure.problems == []


def test_without_script_the_image_stays(show):
    page = show("jl-dimension", jl_dimension(), java_script_enabled=False)
    assert page.locator("figure > img").is_visible()


@pytest.mark.parametrize(
    ("name", "data", "script"),
    [
        ("broken", {}, BROKEN),
        ("jl-dimension", {"eps": [0.1], "N": [10]}, None),
    ],
    ids=["the script throws", "data are missing"],
)
def test_after_an_error_the_image_stays_and_the_console_says_why(show, name, data, script):
    page = show(name, data, script)
    assert page.locator("figure > img").is_visible()
    assert page.locator(".stage").inner_text() == ""
    assert len(page.problems) == 1
    assert f"Interactive figure {name}" in page.problems[0]


def test_an_error_under_the_readers_hand_brings_the_image_back(show):
    script = """DeriveFigures.register("everything", (figure, data) => figure.plot({
      x: {}, y: {}, cursor: data.x,
      marks: (i) => [{ type: "line", x: data.x, y: i < 2 ? data.y : undefined }] }));"""
    page = show("everything", EVERYTHING_DATA, script)
    page.locator(".plot").focus()
    page.keyboard.press("ArrowRight")
    assert not page.locator("figure > img").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("figure > img").is_visible()
    assert page.locator(".stage").inner_text() == ""
    assert len(page.problems) == 1


def test_on_paper_the_image_stands(figure):
    figure.emulate_media(media="print")
    assert figure.locator("figure > img").is_visible()
    assert not figure.locator(".stage").is_visible()


def test_the_theme_of_the_page_beats_that_of_the_system(show):
    page = show("jl-dimension", jl_dimension(), color_scheme="dark")

    def paper():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert paper() == "rgb(22, 24, 28)"
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert paper() == "rgb(255, 255, 255)"
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert paper() == "rgb(22, 24, 28)"


def test_nothing_moves_by_itself(figure):
    before = figure.locator("figure").inner_html()
    figure.wait_for_timeout(400)
    assert figure.locator("figure").inner_html() == before


def test_it_works_from_a_file(browser, tmp_path):
    static = tmp_path / "_static" / "interactive"
    shutil.copytree(SCRIPTS, static)
    (tmp_path / "page.html").write_text(page_of("jl-dimension", jl_dimension()), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("figure.is-live .plot svg").count() == 1
    page.close()


def test_the_kit_is_small():
    assert (SCRIPTS / "kit.js").stat().st_size <= 18_000
    assert all(f.stat().st_size <= 40_000 for f in SCRIPTS.iterdir())
