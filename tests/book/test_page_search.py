"""What `derive_page` reads off a page for the search and the home page."""

from derive_page import finish, pages

U = "<b class=katex-mathml><math><mi>u</mi></math></b><b class=katex-html>u</b>"
POWER = "<b><math><msup><mi>e</mi><mn>23</mn></msup></math></b><b class=katex-html>e23</b>"
CLAIM = """<div class="claim claim-bound" id="claim-jl-norm">
<div class="math"><div class="scroll"><math><mi>P</mi></math></div>
<span class="eqno">(1.3)<a class="headerlink" href="#x">#</a></span></div>
<a class="tick" href="#check-jl-norm"><span class="tick-mark">✓</span>
<span class="tick-kind">bound</span>
<span class="tick-figure">no violation in 882 cases</span></a></div>"""
PAGE = f"""<html><body><nav><a href="x">Contents</a></nav><article class="page">
<section id="one-vector"><h1><span class="section-number">1 </span>One <i>vector</i>
<a class="headerlink" href="#one-vector">#</a></h1>
<p>Let <span class="math">{U}</span> have length <span class="math">{POWER}</span>; then</p>
<section id="a-bound"><h2>A bound</h2><p>Markov’s inequality gives</p>
{CLAIM}
<div class="cell_input"><pre>code = "left out"</pre></div>
<div class="cell_output"><p>output left out</p></div>
<p>and<br>so on.</p></section></section></article></body></html>"""


def test_sections_have_their_titles_and_words_without_formulas_and_code():
    page = pages.read(PAGE)
    assert page.title == "One vector"
    assert [(s.anchor, s.title) for s in page.sections] == [
        ("one-vector", "One vector"),
        ("a-bound", "A bound"),
    ]
    assert page.sections[0].text == "Let u have length …; then"
    assert page.sections[1].text == "Markov’s inequality gives and so on."


def test_a_claim_has_its_number_kind_and_figure():
    (claim,) = pages.read(PAGE).claims
    assert claim.label == "jl-norm"
    assert (claim.number, claim.kind) == ("1.3", "bound")
    assert claim.figure == "no violation in 882 cases"
    assert claim.section == "A bound"
    assert claim.said.strip() == "Markov’s inequality gives"


def test_the_index_has_an_entry_for_each_section_and_claim():
    documents = finish.search_documents({"book/jl.html": pages.read(PAGE)})
    assert [d["url"] for d in documents] == [
        "book/jl.html",
        "book/jl.html#a-bound",
        "book/jl.html#claim-jl-norm",
    ]
    assert [d["id"] for d in documents] == [0, 1, 2]


def test_a_claim_is_cut_out_whole():
    markup = pages.claim_markup(PAGE, "jl-norm")
    assert markup == CLAIM
    assert pages.claim_markup(PAGE, "jl") == ""


def test_a_claim_shown_elsewhere_links_to_its_chapter():
    home = "<p><!--claim jl-norm--><!--/claim--></p>"
    written = {"book/index.html": home, "book/part/jl.html": PAGE}
    shown = finish.show_claims(home, "book/index.html", written)
    assert 'href="../book/part/jl.html#check-jl-norm"' in shown
    assert ' id="' not in shown
    assert finish.show_claims(shown, "book/index.html", written) == shown


def test_a_claim_that_is_nowhere_is_not_shown():
    home = "<!--claim no-such--><!--/claim-->"
    assert finish.show_claims(home, "book/index.html", {"book/part/jl.html": PAGE}) == home
