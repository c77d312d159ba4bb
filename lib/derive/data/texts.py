"""Text that needs no download: the documentation of installed packages (chapter `jl-lemma`)."""

import ast
import hashlib
import warnings
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import NamedTuple

from derive._typing import typed

SOURCES = ("numpy", "scipy", "sklearn")  # on every host that runs a chapter, and well documented
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Docstrings(NamedTuple):
    """Texts and where each comes from, in the same order."""

    texts: list[str]
    names: list[str]


@typed
def docstrings(num: int, *, min_length: int = 400) -> Docstrings:
    """English text for experiments: docstrings of the installed numpy, scipy and scikit-learn.

    The sources are parsed, never imported, so that nothing is executed and no optional
    dependency decides what is found. Files come in the order of a hash of their module's name:
    a corpus of any size mixes the three packages, keeps the neighbours within a file together,
    and changes little when a package adds a module. A text that occurs twice is taken once.
    O(size of the files read) time: about 2 ms a docstring.

    Args:
        num: How many texts.
        min_length: The fewest characters a text may have.

    Returns:
        The texts, cleaned of their indentation, and names such as `scipy.stats._qmc.QMCEngine`.
        They depend on the versions that are installed.

    Raises:
        ValueError: If num < 1 or min_length < 1, or fewer than num such texts are installed, or a
            source file cannot be read.
        ModuleNotFoundError: If one of the packages is missing.

    Example:
        >>> corpus = docstrings(2, min_length=1000)
        >>> [len(text) >= 1000 for text in corpus.texts]
        [True, True]
    """
    if num < 1 or min_length < 1:
        raise ValueError(
            "docstrings needs num >= 1 and min_length >= 1, "
            f"got num={num} and min_length={min_length}."
        )
    found: dict[str, str] = {}  # text -> name; a dict keeps its order
    for module, path in _source_files():
        for name, text in _documented(module, path):
            if len(text) >= min_length:
                found.setdefault(text, name)
            if len(found) == num:
                return Docstrings(list(found), list(found.values()))
    raise ValueError(
        f"docstrings: {', '.join(SOURCES)} hold {len(found)} different docstrings of at least "
        f"{min_length} characters, got num={num}; ask for fewer, or for shorter ones."
    )


def _source_files() -> list[tuple[str, Path]]:
    """(module, file) of every source file outside tests, in the order of the module's hash."""
    files = []
    for package in SOURCES:
        spec = util.find_spec(package)  # finds, and does not import
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(
                f"docstrings reads the sources of {', '.join(SOURCES)}, and {package} is missing; "
                "install derive-and-run[run]."
            )
        root = Path(spec.origin).parent
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if "tests" not in parts:
                files.append((".".join((package, *parts)).removesuffix(".__init__"), path))
    return sorted(files, key=lambda file: hashlib.sha256(file[0].encode()).digest())


def _documented(module: str, path: Path) -> Iterator[tuple[str, str]]:
    """(qualified name, docstring) of everything in a file that has one, in the file's order."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        package = module.partition(".")[0]
        raise ValueError(f"{path} cannot be read ({error}); install {package} anew.") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about escapes in other people's sources
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a template that is shipped beside the modules
            return
    pending: list[tuple[str, Documented]] = [(module, tree)]
    while pending:
        name, node = pending.pop()
        text = ast.get_docstring(node)
        if text:
            yield name, text
        inner = [
            (f"{name}.{child.name}", child)
            for child in node.body
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        pending.extend(reversed(inner))
