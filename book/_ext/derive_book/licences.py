"""Under which licences the packages of `constraints.txt` come: `python -m derive_book licences`.

Each installed package says it itself, in one of four places, the newest kind first: the SPDX
expression of its metadata, the field License, the classifiers, the file that lies beside them. What
none of them tells is a problem and not a blank. A package that is pinned but not installed here, or
in another version, keeps the line that an earlier run wrote.
"""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from derive_book.errors import Problem

PINS, PAGE = "constraints.txt", "docs/licences.md"

# What a package's licence may be made of, in SPDX's names. The GPL is not among them: nothing that
# the library imports may ask that of its readers.
KNOWN = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "ISC",
    "MIT",
    "MIT-CMU",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
}
# Packages whose metadata say more, or less, than applies; each with the reason.
ARGUED = {
    "docutils": ("BSD-2-Clause AND PSF-2.0 AND public domain", "its GPL part is a mode for Emacs"),
    "gensim": ("LGPL-2.1-only", "a peer in the benchmarks; nothing else imports it"),
}
# What packages write where no SPDX expression stands. "BSD" alone does not say which of them.
SPELLINGS = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "2-clause bsd": "BSD-2-Clause",
    "bsd": "BSD",
    "bsd 3-clause license": "BSD-3-Clause",
    "bsd license": "BSD",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
HEAD = """\
# Licences of the packages

Written by `python -m derive_book licences` from what the packages pinned in `constraints.txt` say
themselves; the tests fail when a package is missing here or its licence is not known. None of them
is part of this repository: they are installed beside it, most of them for building and testing the
book only. The library itself needs beartype, jaxtyping, mpmath, numpy, scipy, sympy and torch.

| package | licence |
|---|---|
"""
TAIL = """
These files of others are part of the repository, each with its licence beside it:

| what | where | licence |
|---|---|---|
| KaTeX: stylesheet and fonts | `book/_static/katex` | MIT |
| MiniSearch | `book/_static/minisearch` | MIT |
| Newsreader, cut to the letters in use | `book/_static/fonts` | OFL-1.1 |
| IBM Plex Mono, cut and renamed as its licence asks | `book/_static/fonts` | OFL-1.1 |
"""


class Unknown(ValueError):
    """A package that does not say its licence, or says one that is not in the list."""


def pins(root: Path) -> Iterator[tuple[int, Requirement]]:
    """Every line of `constraints.txt` that pins a package, with its number."""
    lines = (root / PINS).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if text := line.split("#")[0].strip():
            yield number, Requirement(text)


def pinned(root: Path) -> list[str]:
    """The names of the packages in `constraints.txt`, each once."""
    return sorted({canonicalize_name(pin.name) for _, pin in pins(root)})


def licence(fields: "metadata.PackageMetadata", beside: str = "") -> str:
    """The licence as an SPDX expression where the package gives one, else as near as it says.

    Args:
        fields: The package's metadata.
        beside: The licence file that came with it.

    Raises:
        Unknown: If nothing is said, or something that is not known.
    """
    if argued := ARGUED.get(str(fields.get("Name"))):
        return argued[0]
    classifiers = fields.get_all("Classifier") or []
    named = [text.rpartition("::")[2].strip() for text in classifiers if text.startswith("License")]
    places = [[str(fields[name])] for name in ("License-Expression", "License") if fields.get(name)]
    places += [named, [line for line in beside.splitlines() if line.strip()][:1]]
    for said in places:
        said = [text for text in said if text not in ("OSI Approved", "UNKNOWN")]
        known = [_expression(text) for text in said]
        if any(name is None and "\n" not in text for text, name in zip(said, known, strict=True)):
            break  # said, and not known: what stands elsewhere does not undo it
        if told := " AND ".join(dict.fromkeys(name for name in known if name)):
            return _which_bsd(beside) if told == "BSD" else told
    raise Unknown(
        "it says " + (", ".join(text[:60] for said in places for text in said) or "nothing")
    )


def _expression(text: str) -> str | None:
    """The text if it is made of known licences, in SPDX's names or in those people use."""
    parts = re.split(r"\s+(?:AND|OR)\s+", text)
    if all(part.strip("() ").partition(" WITH ")[0] in KNOWN for part in parts):
        return text.strip()
    return SPELLINGS.get(text.strip().lower())


def _which_bsd(text: str) -> str:
    """ "BSD" alone leaves open which; the licence's own words tell."""
    words = " ".join(text.split()).lower()
    if "redistributions in binary form" not in words:
        return "BSD"
    return "BSD-3-Clause" if "neither the name" in words else "BSD-2-Clause"


def listed(root: Path) -> dict[str, str]:
    """The licences that the committed list has, by package."""
    path = root / PAGE
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    rows = text.partition("|---|---|\n")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| (\S+) \| (.+) \|$", rows, re.MULTILINE))


def collect(root: Path) -> tuple[dict[str, str], list[Problem]]:
    """The licence of every pinned package, and what could not be found out."""
    before, problems = listed(root), []
    found: dict[str, str] = {}
    for name in pinned(root):
        own = [(line, pin) for line, pin in pins(root) if canonicalize_name(pin.name) == name]
        package = _installed(name)
        try:
            if package and any(package.version in pin.specifier for _, pin in own):
                found[name] = licence(package.metadata, _beside(package))
            elif name in before:
                found[name] = before[name]
            else:
                what = f"{name} is not installed, or in another version"
                todo = f"pip install --no-deps '{own[0][1]}', and run this again"
                problems.append(Problem(PINS, own[0][0], what, todo))
        except Unknown as error:
            todo = "read it, then add it to KNOWN, SPELLINGS or ARGUED (derive_book/licences.py)"
            what = f"the licence of {name} is unknown: {error}"
            problems.append(Problem(PINS, own[0][0], what, todo))
    return found, problems


def _installed(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def page(found: dict[str, str]) -> str:
    """The list as Markdown."""
    return HEAD + "".join(f"| {name} | {said} |\n" for name, said in sorted(found.items())) + TAIL


def _beside(package: metadata.Distribution) -> str:
    """The licence file in a package's metadata, if there is one."""
    for file in package.files or ():
        if ".dist-info" in str(file) and re.match(r"LICEN[CS]E|COPYING", file.name):
            return Path(str(package.locate_file(file))).read_text("utf-8", errors="replace")
    return ""
