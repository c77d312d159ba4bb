"""The ledger: every claim of the book with what its checks found, as a page and as JSON."""

import json
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from derive_book import state
from derive_book.files import read_json, write_text
from derive_book.nodes import anchor, wrong_versions
from derive_book.records import KINDS
from derive_book.verify import FALSE_ALARM_BUDGET

SCRIPT = "_interactive/ledger.js"
MUTATION = Path("lib/derive/results/mutation")


class claims_count(nodes.Inline, nodes.TextElement):
    """ "25 of 25 claims checked", put in when every page is known. Attribute: docname."""


class ledger_table(nodes.General, nodes.Element):
    """The table of all claims, put in when every page is known."""


class ClaimsRole(SphinxRole):
    """`{claims}` with any content: of this chapter, or of the whole book on a plain page."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        return [claims_count(docname=self.env.docname)], []


class LedgerDirective(SphinxDirective):
    """`{ledger}`: totals, and a table of every claim."""

    def run(self) -> list[nodes.Node]:
        return [ledger_table()]


def setup(app: Sphinx) -> None:
    app.add_role("claims", ClaimsRole())
    app.add_directive("ledger", LedgerDirective)
    app.add_node(claims_count)
    app.add_node(ledger_table)
    app.connect("doctree-read", note_totals)
    app.connect("doctree-resolved", fill_in)
    app.connect("build-finished", write_json)


def note_totals(app: Sphinx, doctree: nodes.document) -> None:
    """Remember which pages depend on all the others."""
    docname = app.env.docname
    total = any(doctree.findall(ledger_table)) or (
        any(doctree.findall(claims_count)) and state.chapter(app, docname) is None
    )
    if total:
        state.states(app.env).setdefault(docname, state.PageState()).shows_totals = True


def collect(app: Sphinx) -> dict[str, Any]:
    """The whole ledger as plain data: what `ledger.json` holds."""
    claims = []
    for chapter in state.book(app).chapters:
        page = state.states(app.env).get(chapter.name, state.PageState())
        title = app.env.titles[chapter.name].astext() if chapter.name in app.env.titles else ""
        for claim in page.claims:
            claims.append(
                {
                    "label": claim.label,
                    "number": claim.number,
                    "chapter": chapter.slug,
                    "title": title,
                    "page": f"{chapter.name}.html",
                    "latex": claim.latex,
                    "fingerprint": claim.fingerprint,
                    "checks": [
                        {
                            "kind": record.kind,
                            "figure": record.figure,
                            "line": record.line,
                            "wrong": record.wrong,
                            "false_alarm": record.false_alarm,
                            "power": record.power,
                            "current": record.fingerprint == claim.fingerprint,
                        }
                        for record in page.of(claim.label)
                    ],
                }
            )
    score = mutation_score(state.book(app).root)
    return {"format": 1, "totals": {**totals(claims), "mutants": score}, "claims": claims}


def totals(claims: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over the claims of a ledger."""
    checks = [check for claim in claims for check in claim["checks"]]
    kinds = Counter(check["kind"] for check in checks)
    powers = [check["power"] for check in checks if check["power"] is not None]
    return {
        "claims": len(claims),
        "checked": sum(any(check["current"] for check in claim["checks"]) for claim in claims),
        "checks": len(checks),
        "kinds": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
        "wrong": sum(len(check["wrong"]) for check in checks),
        "false_alarm": sum(check["false_alarm"] for check in checks),
        "budget": FALSE_ALARM_BUDGET,
        "least_power": min(powers, default=None),
    }


def mutation_score(root: Path) -> dict[str, int] | None:
    """How many mistakes made on purpose in the library were tried, and seen; None: none stored.

    What a person found to be no mistake (it changes no result) does not count as tried.
    """
    files = sorted((root / MUTATION).glob("library-*.json"))
    results = [read_json(file, "run `python -m mutation library …` again") for file in files]
    if not results:
        return None
    survivors = [survivor for result in results for survivor in result["survivors"]]
    harmless = sum(survivor["equivalent because"] is not None for survivor in survivors)
    tried = sum(result["tried"] for result in results)
    return {"tried": tried - harmless, "seen": tried - len(survivors)}


def fill_in(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put counts and the table into a page that is about to be written."""
    for node in list(doctree.findall(claims_count)):
        pages = state.states(app.env)
        chapter = state.chapter(app, node["docname"])
        counted = [pages[chapter.name]] if chapter else list(pages.values())
        done = sum(page.checked() for page in counted)
        of = sum(len(page.claims) for page in counted)
        node.replace_self(nodes.Text(f"{done} of {of} claims checked"))
    for node in list(doctree.findall(ledger_table)):
        content = collect(app)
        if app.builder.format == "html":
            html = render(content, "../" * docname.count("/"))
            node.replace_self(nodes.raw("", html, format="html"))
        else:
            node.replace_self(nodes.paragraph(text=_sentence(content["totals"])))


def render(content: dict[str, Any], up: str) -> str:
    """The ledger as HTML; `up` leads from the page to the root of the book."""
    rows = "\n".join(_rows(claim, up) for claim in content["claims"])
    chapters = {claim["chapter"]: claim["title"] for claim in content["claims"]}
    kinds = content["totals"]["kinds"]
    return f"""<div class="ledger">
<p class="ledger-totals">{escape(_sentence(content["totals"]))}
The same as data: <a href="{escape(up)}ledger.json">ledger.json</a>.</p>
<form class="ledger-filter" hidden>
<label>Kind {_choice("kind", dict.fromkeys(kinds))}</label>
<label>Chapter {_choice("chapter", chapters)}</label>
<output aria-live="polite"></output>
</form>
<div class="scroll" tabindex="0" role="region" aria-label="All claims">
<table class="ledger-table">
<thead><tr><th scope="col">Claim</th><th scope="col">Chapter</th><th scope="col">Kind</th>\
<th scope="col">Found</th><th scope="col">Rejects</th><th scope="col">False alarm</th>\
<th scope="col">Power</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</div>
<script defer src="{escape(up)}{SCRIPT}"></script>
"""


def _rows(claim: dict[str, Any], up: str) -> str:
    page, label = f"{up}{claim['page']}", claim["label"]
    name = f'<a href="{escape(page)}#claim-{label}">({claim["number"]})</a> <code>{label}</code>'
    chapter = (
        f'<a href="{escape(page)}" title="{escape(claim["title"])}">{escape(claim["chapter"])}</a>'
    )
    rows = []
    for index, check in enumerate(claim["checks"], 1):
        found = f'<a href="{escape(page)}#{anchor(label, index)}">{escape(check["figure"])}</a>'
        rows.append(
            f'<tr data-kind="{check["kind"]}" data-chapter="{escape(claim["chapter"])}" '
            f'data-claim="{label}">'
            f"<td>{name}</td><td>{chapter}</td>"
            f'<td class="check-kind">{check["kind"]}</td><td>{found}</td>'
            f"<td>{wrong_versions(check['wrong'], '{count}')}</td>"
            f"<td>{_share(check['false_alarm'])}</td><td>{_power(check['power'])}</td></tr>"
        )
    return "\n".join(rows)


def _choice(name: str, values: dict[str, str | None]) -> str:
    options = "".join(
        f'<option value="{escape(value)}">{escape(shown or value)}</option>'
        for value, shown in values.items()
    )
    return f'<select name="{name}"><option value="">all</option>{options}</select>'


def _sentence(total: dict[str, Any]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in total["kinds"].items())
    used = total["false_alarm"] / total["budget"]
    mutants = total["mutants"]
    score = (
        f" Mistakes made in the library on purpose, and seen by its tests: {mutants['seen']} of "
        f"{mutants['tried']}, {mutants['seen'] / mutants['tried']:.1%}."
        if mutants
        else ""
    )
    return (
        f"Claims checked: {total['checked']} of {total['claims']}. "
        f"Checks: {total['checks']}{f' ({kinds})' if kinds else ''}. "
        f"Wrong versions rejected: {total['wrong']}. "
        f"Chance of a false alarm in one run of the book: {_share(total['false_alarm'])}, "
        f"{used:.1%} of the {_share(total['budget'])} allowed.{score}"
    )


def _share(value: float) -> str:
    """A small probability in words of the page: 0, or 2 × 10⁻⁹."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    mantissa = mantissa.removesuffix(".0")
    return f"10{power}" if mantissa == "1" else f"{mantissa} × 10{power}"


def _power(value: float | None) -> str:
    if value is None:
        return "–"
    return "> 0.999" if value > 0.999 else f"{value:.3f}"


def write_json(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        text = json.dumps(collect(app), ensure_ascii=False, indent=1)
        write_text(Path(app.outdir, "ledger.json"), text + "\n")
