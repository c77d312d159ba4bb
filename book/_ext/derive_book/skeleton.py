"""A new chapter that executes, checks and builds: `make new-chapter`."""

import re
from pathlib import Path

from derive_book.book import Book
from derive_book.claims import LABEL
from derive_book.errors import BookError, Problem
from derive_book.files import write_text

_TEXT = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3, language: python}
---
(SLUG)=
# TITLE

**You will** say in one sentence what a reader can do afterwards. **Needs:** what comes before.
**Runs in** ten seconds on two cores. **Claims:** {claims}`count`.

```{code-cell} python3
:tags: [setup]

# On Colab this installs the book's library; the packages that are already there stay as they are.
import sys

if "google.colab" in sys.modules:
    %pip install -q "derive-and-run[run] @ git+REPOSITORY"

from derive.device import start

run = start(seed=0)
```

What the next cell imports is all that this chapter uses.

```{code-cell} python3
from fractions import Fraction

from derive import check
```

## The first claim

For every whole number $n \\ge 1$ the first $n$ odd numbers add up to a square, by induction on $n$:

```{math}
:label: SLUG-odd
\\sum_{k=1}^{n} (2k - 1) = n^2 .
```

Both sides are whole numbers, so they are compared exactly.

```{code-cell} python3
sizes = range(1, 21)
sums = [sum(2 * k - 1 for k in range(1, n + 1)) for n in sizes]
check.equal(
    "SLUG-odd",
    sums,
    [n**2 for n in sizes],
    wrong={
        "n (n + 1), the even numbers": [n * (n + 1) for n in sizes],
        "half of the square": [Fraction(n**2, 2) for n in sizes],
    },
)
```

Replace {eq}`SLUG-odd` by your own, in the rhythm that `CONTRIBUTING.md` describes.
"""


def new_chapter(book: Book, part: str, slug: str, title: str) -> str:
    """Write `book/PART/SLUG.md` and enter it at the end of the part's list in `_toc.yml`.

    Returns what to do next, as text.

    Raises:
        BookError: If a name is unfit or the chapter exists.
    """
    for name in (part, slug):
        if not LABEL.fullmatch(name):
            todo = "use small letters, digits and single hyphens, such as jl-lemma"
            raise BookError(Problem("new", 0, f"the name {name!r} is no address", todo))
    if not title.strip() or "\n" in title:
        raise BookError(Problem("new", 0, "the title is empty or broken", "give it in quotes"))
    path = f"book/{part}/{slug}.md"
    if any(page.slug == slug for page in book.pages) or (book.root / path).exists():
        raise BookError(Problem(path, 1, f"a page {slug} exists", "choose another slug"))
    text = _TEXT.replace("SLUG", slug).replace("TITLE", title.strip())
    toc = _with_entry(book.root / "_toc.yml", part, path)
    write_text(book.root / path, text.replace("REPOSITORY", book.repository))
    write_text(book.root / "_toc.yml", toc)
    return f"{path} written and entered in _toc.yml; next: make execute C={slug} && make book"


def _with_entry(toc: Path, part: str, path: str) -> str:
    """The text of `_toc.yml`, comments and all, with one more chapter after the part's last."""
    lines = toc.read_text(encoding="utf-8").splitlines()
    entries = [i for i, line in enumerate(lines) if f"file: book/{part}/" in line]
    if entries:
        indent = re.match(r"\s*(?:- )?", lines[entries[-1]])[0]
        lines.insert(entries[-1] + 1, f"{indent}file: {path}")
    elif any(re.match(r"parts:\s*$", line) for line in lines):
        caption = part.replace("-", " ").capitalize()
        entry = [
            f"  - caption: {caption}",
            "    numbered: 1",
            "    chapters:",
            f"      - file: {path}",
        ]
        numbered = [i for i, line in enumerate(lines) if re.match(r"\s*numbered:", line)]
        after = range(numbered[-1] if numbered else len(lines), len(lines))
        # After the last numbered part: what follows is the book's reference matter.
        place = next((i for i in after if re.match(r"\s*- caption:", lines[i])), len(lines))
        lines[place:place] = entry
    else:
        what = f"it has no entry of {part} and no `parts:`"
        raise BookError(Problem("_toc.yml", 1, what, f"enter `- file: {path}` yourself"))
    return "\n".join(lines) + "\n"
