"""The figures of a chapter in order, numbered as Sphinx numbers them, and their alt texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from derive_book import source
from derive_book.book import Chapter
from derive_book.errors import Problem
from derive_book.records import CHECK, read_interactive

Outputs = Sequence[Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Figure:
    """A figure with a caption or a name; `cell` is its code cell, None for one in the prose."""

    name: str
    caption: str
    number: str
    line: int
    cell: int | None = None


def figures(chapter: Chapter, outputs: Outputs) -> list[Figure]:
    """Every figure that gets a number, in the order of the page, given each code cell's outputs."""
    found: list[Figure] = []
    code = 0
    for cell in chapter.cells:
        number = f"{chapter.number}.{len(found) + 1}"
        if cell.kind == "code":
            name, caption = code_figure(cell, outputs[code])
            if name or caption:
                found.append(Figure(name, caption, number, cell.line, code))
            code += 1
            continue
        for _, directive, line in source.blocks(cell.source, cell.line):
            if directive is None or directive.name != "figure":
                continue
            name = str(directive.options.get("name", ""))
            if name or directive.body:
                number = f"{chapter.number}.{len(found) + 1}"
                found.append(Figure(name, directive.body, number, line))
    return found


def code_figure(cell: source.Cell, outputs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Name and caption of the figure that a code cell shows, each "" where there is none."""
    options = (cell.metadata.get("mystnb") or {}).get("figure") or {}
    for output in outputs:
        if interactive := read_interactive(output):
            return options.get("name", f"fig-{interactive.name}"), interactive.caption
    if not any(_is_display(output) for output in outputs):
        return "", ""
    return str(options.get("name", "")), str(options.get("caption", ""))


def alt_text(cell: source.Cell) -> str:
    """The alt text that a code cell gives its picture."""
    return str(((cell.metadata.get("mystnb") or {}).get("image") or {}).get("alt", "")).strip()


def alt_problems(chapter: Chapter, outputs: Outputs) -> list[Problem]:
    """Pictures without alt text, computed or not, and cells with more than one figure."""
    problems = []
    for index, cell in enumerate(chapter.code):
        shown = outputs[index] if index < len(outputs) else ()
        interactive = [figure for out in shown if (figure := read_interactive(out))]
        pictures = [out for out in shown if _is_picture(out) and read_interactive(out) is None]
        if any(not figure.alt.strip() for figure in interactive):
            what, todo = "an interactive figure without alt text", "say alt=… in interactive(…)"
            problems.append(Problem(chapter.path, cell.line, what, todo))
        if pictures and not alt_text(cell):
            todo = "add mystnb: {image: {alt: …}} to the options of the cell"
            problems.append(Problem(chapter.path, cell.line, "a figure without alt text", todo))
        wrapped = [out for out in shown if _is_display(out)]
        if len(wrapped) > 1 and any(code_figure(cell, shown)):
            what = f"a figure cell shows {len(wrapped)} outputs"
            todo = "show one figure a cell, ending in plt.show()"
            problems.append(Problem(chapter.path, cell.line, what, todo))
    return problems + prose_alt_problems(chapter.path, chapter.text)


def prose_alt_problems(path: str, text: str) -> list[Problem]:
    """Images in prose, Markdown or directive, without alt text."""
    problems = []
    for token, directive, line in source.blocks(text):
        if directive is not None and directive.name in ("image", "figure"):
            if not str(directive.options.get("alt", "")).strip():
                what = f"{{{directive.name}}} {directive.argument} without alt text"
                problems.append(Problem(path, line, what, "add :alt: with what is seen"))
        elif token.type == "inline":
            for child in token.children or ():
                if child.type == "image" and not child.content.strip():
                    what = f"image {child.attrGet('src')} without alt text"
                    problems.append(Problem(path, line, what, "write ![what is seen](…)"))
    return problems


def _is_display(output: Mapping[str, Any]) -> bool:
    """Whether myst-nb would wrap this output into the cell's figure."""
    shown = output.get("output_type") in ("display_data", "execute_result")
    return shown and CHECK not in output.get("data", {})


def _is_picture(output: Mapping[str, Any]) -> bool:
    return any(mime.startswith("image/") for mime in output.get("data", {}))
