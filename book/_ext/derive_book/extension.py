"""The Sphinx extension: ticks, checks, the rules that fail a build, and the ledger."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from derive_book import figures, ledger, pair, state, verify
from derive_book import nodes as book_nodes
from derive_book.book import Chapter
from derive_book.errors import BookError, Problem
from derive_book.files import only_one
from derive_book.parser import ChapterParser

logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("myst_nb")
    app.add_source_parser(ChapterParser, override=True)
    book_nodes.setup(app)
    ledger.setup(app)
    app.add_transform(WrapClaims)
    app.add_post_transform(LinkToClaims)
    app.connect("builder-inited", load_book)
    app.connect("builder-inited", lock, priority=990)  # when nothing else can refuse any more
    app.connect("env-get-outdated", outdated)
    app.connect("env-purge-doc", state.purge)
    app.connect("env-merge-info", state.merge)
    app.connect("env-updated", rewrite_totals)
    app.connect("env-get-updated", report, priority=900)  # after Sphinx has numbered everything
    return {
        "version": "1",
        "env_version": 1,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }


def load_book(app: Sphinx) -> None:
    """Read `_config.yml` and `_toc.yml` before any page; a broken one ends the build at once."""
    try:
        state.book(app).chapters  # noqa: B018  (its errors are the point)
    except BookError as error:
        raise ConfigError(str(error)) from error


def lock(app: Sphinx) -> None:
    """Two builds into one folder would take each other's pages for their own."""
    try:
        held = only_one(Path(app.doctreedir).parent)
    except BookError as error:
        raise ConfigError(str(error)) from error
    app.connect("build-finished", lambda app, exception: held.release(), priority=990)


class WrapClaims(SphinxTransform):
    """Every numbered equation becomes a claim with its tick; those of plain pages are refused."""

    default_priority = 400  # after docutils has moved the anchors onto the equations (260)

    def apply(self, **kwargs: Any) -> None:
        env, app = self.document.settings.env, self.app
        chapter = state.chapter(app, env.docname)
        page = state.states(env).get(env.docname)
        if page is None:
            return
        if chapter is None:
            self._refuse(page)
            return
        claims = {claim.label: claim for claim in page.claims}
        for block in list(self.document.findall(nodes.math_block)):
            if claim := claims.get(block.get("label")):
                # No tick for an equation that was edited since its check ran.
                current = [r for r in page.of(claim.label) if r.fingerprint == claim.fingerprint]
                node = book_nodes.claim(label=claim.label, records=current)
                block.replace_self(node)
                node += block

    def _refuse(self, page: state.PageState) -> None:
        """Numbered equations and pictures without alt text on pages that are no chapters."""
        book, env = state.book(self.app), self.document.settings.env
        path = f"{env.docname}.md"
        if not (book.root / path).is_file():
            return
        text = (book.root / path).read_text(encoding="utf-8")
        page.problems = figures.prose_alt_problems(path, text)
        for block in self.document.findall(nodes.math_block):
            if block.get("label"):
                what = f"equation {block['label']} is numbered on a page that checks nothing"
                todo = "write it as $$ … $$ without a label, or make the page a chapter"
                page.problems.append(Problem(path, block.line or 1, what, todo))


class LinkToClaims(SphinxPostTransform):
    """References to a numbered equation lead to the claim, tick included."""

    default_priority = 20  # after Sphinx has resolved {eq} (10)
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        claims = {label for page in state.states(self.env).values() for label in _labels(page)}
        for reference in self.document.findall(nodes.reference):
            for key in ("refuri", "refid"):
                before, _, label = reference.get(key, "").rpartition("equation-")
                if label in claims and (key == "refid" or before.endswith("#")):
                    reference[key] = f"{before}claim-{label}"


def _labels(page: state.PageState) -> list[str]:
    return [claim.label for claim in page.claims]


def outdated(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Pages that were wanting are read again: what they lacked may stand elsewhere."""
    return [name for name, page in state.states(env).items() if page.problems]


def rewrite_totals(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The ledger, and pages that count the claims of the book, are written at every build."""
    return [name for name, page in state.states(env).items() if page.shows_totals]


def report(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Every problem becomes a warning, at every build until it is mended; `-W` fails on it."""
    book = state.book(app)
    pages = state.states(env)
    problems = [problem for page in pages.values() for problem in page.problems]
    known = [(chapter, pages[chapter.name]) for chapter in book.chapters if chapter.name in pages]
    of_book = verify.book_problems([(c, page.claims, page.records) for c, page in known])
    if not of_book:  # a label used twice shifts the numbers too; one message is enough
        for chapter, page in known:
            of_book += number_problems(env, chapter, page)
    for problem in sorted({*book.missing, *problems, *of_book}):
        location = f"{book.root / problem.path}:{problem.line}"
        message = f"{problem.what}: {problem.todo}"
        logger.warning("%s", message, location=location, type="derive", subtype="claims")
    return []


def number_problems(
    env: BuildEnvironment, chapter: Chapter, page: state.PageState
) -> list[Problem]:
    """Equations and figures whose number on the page is not the one in the notebook."""
    try:
        shown = figures.figures(chapter, pair.outputs_of(pair.read(chapter)))
    except (BookError, IndexError):
        return []  # the pair's own problem has been told
    theirs = env.toc_fignumbers.get(chapter.name, {})
    wanted = [
        ("displaymath", f"equation-{claim.label}", claim.number, claim.line)
        for claim in page.claims
    ]
    wanted += [
        ("figure", nodes.make_id(figure.name), figure.number, figure.line)
        for figure in shown
        if figure.name
    ]
    for kind, anchor, number, line in wanted:
        on_page = ".".join(map(str, theirs.get(kind, {}).get(anchor, ())))
        if on_page != number:
            what = f"{anchor} is {on_page or 'unnumbered'} on the page, {number} in the notebook"
            todo = "set numfig: true, and numbered: true for the parts of _toc.yml with chapters"
            return [Problem(chapter.path, line, what, todo)]
    return []
