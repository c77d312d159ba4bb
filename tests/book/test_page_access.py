"""axe-core finds nothing to object to on any page, light and dark, on a desk and on a phone."""

import pytest

from built_book import EVERYWHERE


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("phone", [False, True], ids=["desk", "phone"])
@pytest.mark.parametrize("name", EVERYWHERE)
def test_axe_finds_nothing_to_object_to(look, name, phone, dark):
    from axe_playwright_python.sync_playwright import Axe

    page = look(name, dark, phone).page
    # What would take axe minutes and tell nothing new is left out: formulas, which are MathML and
    # a picture hidden from assistive technology, and the same few colours of code after ten cells.
    page.evaluate(
        """() => {
          for (const formula of document.querySelectorAll("span.math, div.math > .scroll"))
            formula.textContent = "x";
          for (const code of [...document.querySelectorAll(".cell_input pre")].slice(10))
            code.textContent = "x";
        }"""
    )
    report = Axe().run(page)
    problems = [
        f"{v['id']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for v in report.response["violations"]
        for node in v["nodes"][:5]
    ]
    assert problems == []
