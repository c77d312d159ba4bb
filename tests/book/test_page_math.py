"""Equations: what `derive_page` makes of KaTeX's output looks and reads the same."""

import pytest
from sphinxcontrib import katex

from derive_page import lean, mathematics

FORMULAS = {
    "powers": r"e^{-n\varepsilon^2/8} \le 2 x_{ij}^{2k} + \binom{n}{k}^{-1}",
    "fractions": r"\frac{1 + \frac{a}{b}}{\sqrt[3]{1 + \sqrt{x}}} \quad \tfrac12",
    "delimiters": r"\Bigl(\bigl[\langle x, y\rangle\bigr]\Bigr) \left\{\frac{x}{2}\right\}",
    "cases": r"\begin{cases}\frac12\sqrt{a} & a > 0\\[2pt] \frac12 & a = 0\\ 0 & a < 0\end{cases}",
    "matrix": r"\left(\begin{matrix}a & b\\ c & d\\ e & f\end{matrix}\right]",
    "aligned": r"\begin{aligned}a &= b\\ &\le \sum_{k=0}^{\infty} \int_0^1 f_k(t)\,dt\end{aligned}",
    "accents": r"\hat x\ \bar K\ \vec v\ \widehat{abc}\ \overline{x + y}\ \overbrace{a + b}^{n}",
    "operators": r"\lim_{n\to\infty} \operatorname*{argmin}_{x \in \mathbb{R}} \mathcal{N}(0, I)",
    "words": r"\mathrm{HSIC} = 0 \text{ for all } n, \quad \mathbf{b}\,\mathsf{T}\,\mathfrak{g}",
    "arrows": r"a \xrightarrow{\text{law}} b \quad \boxed{x} \quad \cancel{y} \quad x \ne y",
}
# each letter, rule and drawing of a formula: what it is, where it stands, how large it is
GLYPHS = """(formula) => {
  const found = [], start = formula.getBoundingClientRect();
  const note = (name, box) => found.push(
    [name, box.left - start.left, box.top - start.top, box.width, box.height]);
  const walker = document.createTreeWalker(formula, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.nodeType === Node.TEXT_NODE) {
      for (let k = 0; k < node.length; k++) {
        if (node.data[k].trim().replace("\\u200b", "") === "") continue;
        const range = document.createRange();
        range.setStart(node, k);
        range.setEnd(node, k + 1);
        const font = getComputedStyle(node.parentElement).fontFamily;
        note(node.data[k] + font, range.getBoundingClientRect());
      }
    } else if (node.localName === "svg" || parseFloat(getComputedStyle(node).borderBottomWidth)) {
      note(node.localName === "svg" ? "drawing" : "rule", node.getBoundingClientRect());
    }
  }
  return found;
}"""


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    """The formulas as KaTeX writes them."""
    mathematics.prepare(None)
    return {n: katex.render_latex(f, {"displayMode": True}) for n, f in FORMULAS.items()}


@pytest.fixture(scope="module")
def glyphs(browser, tmp_path_factory):
    """What a browser makes of formulas under a stylesheet."""

    def seen(formulas: dict[str, str], css: str) -> dict[str, list]:
        css = css.replace("url(fonts/", f"url({lean.KATEX.parent.as_uri()}/fonts/")
        head = f"<!DOCTYPE html><meta charset=utf-8><style>body {{font-size: 20px}} {css}</style>"
        body = [f'<div style="width: max-content">{f}</div>' for f in formulas.values()]
        file = tmp_path_factory.mktemp("formulas") / "page.html"
        file.write_text(head + "".join(body), encoding="utf-8")
        page = browser.new_page()
        page.goto(file.as_uri())
        page.evaluate("document.fonts.ready.then(() => null)")
        shown = page.locator(".katex-html").all()
        found = {name: f.evaluate(GLYPHS) for name, f in zip(formulas, shown, strict=True)}
        page.close()
        return found

    return seen


@pytest.fixture(scope="module")
def theirs(glyphs, written):
    return glyphs(written, lean.KATEX.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ours(glyphs, written):
    return glyphs({n: lean.lean(f) for n, f in written.items()}, lean.stylesheet())


def moved(theirs: list, ours: list) -> list:
    """Glyphs that differ in kind, or by more than half a pixel in place or size."""
    pairs = list(zip(theirs, ours, strict=True))
    far = [max(abs(x - y) for x, y in zip(a[1:], b[1:], strict=True)) > 0.5 for a, b in pairs]
    return [pair for pair, f in zip(pairs, far, strict=True) if f or pair[0][0] != pair[1][0]]


@pytest.mark.browser
@pytest.mark.parametrize("name", FORMULAS)
def test_every_glyph_stands_where_katex_puts_it(theirs, ours, name):
    assert moved(theirs[name], ours[name]) == []


@pytest.mark.browser
def test_a_brace_that_falls_apart_is_seen(theirs, glyphs, written, monkeypatch):
    monkeypatch.setattr(lean, "placing", lambda: (frozenset(), frozenset()))
    broken = glyphs({"cases": lean.lean(written["cases"])}, lean.stylesheet())
    assert moved(theirs["cases"], broken["cases"]) != []


def test_a_formula_weighs_two_thirds_at_most(written):
    assert (
        sum(len(lean.lean(f)) for f in written.values()) < sum(map(len, written.values())) * 2 / 3
    )


def test_a_formula_keeps_its_mathml_and_loses_its_latex():
    mathematics.prepare(None)
    html = mathematics.render(r"\frac{a}{b}", False, "{}")
    assert "<mfrac><mi>a</mi><mi>b</mi></mfrac>" in html
    assert "frac{" not in html


def test_a_mistake_in_a_formula_is_an_error():
    mathematics.prepare(None)
    with pytest.raises(katex.KaTeXError, match="Undefined control sequence"):
        mathematics.render(r"\frak{a}\nosuchthing", False, "{}")


def test_macros_are_known_to_formulas():
    mathematics.prepare(None)
    assert "HSIC" in mathematics.render(r"\hsic", False, r'{"\\hsic": "\\mathrm{HSIC}"}')


@pytest.mark.parametrize(
    ("style", "shorter"),
    [
        ("height:0.68333em;", "height:.683em"),
        ("top:-3.0000em;margin-right:0.0500em;", "top:-3em;margin-right:.05em"),
        ("margin-left:-0.0004em;", "margin-left:0"),
        ("width:10%;", "width:10%"),
    ],
)
def test_lengths_lose_what_cannot_be_seen(style, shorter):
    assert lean.short(style) == shorter
