"""What the environment of a build remembers of each page, and across pages."""

from dataclasses import dataclass, field

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from derive_book.book import Book, Chapter
from derive_book.claims import Claim
from derive_book.errors import Problem
from derive_book.records import Record


@dataclass
class PageState:
    """Claims and records of a page, and whether it was found wanting."""

    claims: list[Claim] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    shows_totals: bool = False  # the ledger, or a count of the whole book

    def of(self, label: str) -> list[Record]:
        """The records of one claim, in the order of the page."""
        return [record for record in self.records if record.label == label]

    def checked(self) -> int:
        """How many claims have a record made for the equation as it stands."""
        made = {(record.label, record.fingerprint) for record in self.records}
        return sum((claim.label, claim.fingerprint) in made for claim in self.claims)


def states(env: BuildEnvironment) -> dict[str, PageState]:
    """The state of each page by document name; lives in the pickled environment."""
    if not hasattr(env, "derive_pages"):
        env.derive_pages = {}
    return env.derive_pages


def book(app: Sphinx) -> Book:
    """The book that is being built: the files under Sphinx's source folder."""
    if not hasattr(app, "derive_book"):
        app.derive_book = Book(app.srcdir)
    return app.derive_book


def chapter(app: Sphinx, docname: str) -> Chapter | None:
    """The chapter of that document name, or None for a plain page."""
    return next((c for c in book(app).chapters if c.name == docname), None)


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    states(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: list[str], other: BuildEnvironment) -> None:
    """Take over what a parallel reader found."""
    for docname in docnames:
        if docname in states(other):
            states(env)[docname] = states(other)[docname]
