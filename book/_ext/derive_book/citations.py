"""Citations for places without Sphinx: "Dasgupta and Gupta (2003)" and a list of references."""

import re
import warnings
from pathlib import Path

from pybtex.backends.markdown import Backend
from pybtex.database import BibliographyData, Entry, PybtexError, parse_file
from pybtex.richtext import Text
from pybtex.style.formatting.unsrt import Style


class _Markdown(Backend):
    """pybtex's Markdown without its escapes of every bracket and stop."""

    def format_str(self, text: str) -> str:
        return re.sub(r"\$[^$]+\$|[*_`\\]", lambda m: m[0] if m[0][1:] else f"\\{m[0]}", text)


class Bibliography:
    """The entries of `references.bib`.

    Raises:
        ValueError: If the file is no valid BibTeX.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._style = Style()
        try:
            self._data = parse_file(path) if path.is_file() else BibliographyData()
        except PybtexError as error:
            raise ValueError(" ".join(str(error).split())) from error

    def __contains__(self, key: str) -> bool:
        return key in self._data.entries

    def authors(self, key: str) -> str:
        """ "Johnson and Lindenstrauss", "Ailon et al.", or the title where nobody is named."""
        entry = self._data.entries[key]
        people = entry.persons.get("author") or entry.persons.get("editor") or ()
        names = [_plain(" ".join([*p.prelast_names, *p.last_names])) for p in people]
        if not names:
            return _plain(entry.fields.get("title", key))
        if len(names) > 2:
            return f"{names[0]} et al."
        return " and ".join(names)

    def year(self, key: str) -> str:
        return _plain(self._data.entries[key].fields.get("year", "n.d."))

    def order(self, key: str) -> tuple[str, str, str]:
        """Where an entry stands in a list: by author, year, key."""
        return self.authors(key).casefold(), self.year(key), key

    def reference(self, key: str) -> str:
        """The entry as one Markdown line."""
        entry: Entry = self._data.entries[key]
        with warnings.catch_warnings():  # pybtex warns of fields it then leaves out
            warnings.simplefilter("ignore")
            formatted = next(iter(self._style.format_entries([entry])))
        return " ".join(formatted.text.render(_Markdown()).split())


def _plain(latex: str) -> str:
    """The letters of a BibTeX field: braces gone, accents composed."""
    return str(Text.from_latex(latex)).replace("\u00a0", " ")
