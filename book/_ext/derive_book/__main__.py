"""The commands of `python -m derive_book`; without one, it lists them."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from derive_book.book import Book, Chapter, find_root
from derive_book.errors import BookError, Problem
from derive_book.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 if all is well, 1 if there are problems, each on a line of its own."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except BookError as error:
        return _report(error.problems)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m derive_book", description="The book's chapters and their notebooks."
    )
    parser.add_argument("--root", type=Path, help="folder of _toc.yml (default: at or above here)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    execute = commands.add_parser("execute", help="execute chapters and write their notebooks")
    execute.add_argument("slug", nargs="*", help="chapters (default: all)")
    execute.add_argument("--out", type=Path, help="write into this folder, not beside the .md")
    execute.add_argument("--seed", type=int, help="added to every seed (default: DERIVE_SEED)")
    execute.set_defaults(command=_execute)

    refresh = commands.add_parser("refresh", help="convert the prose anew, executing nothing")
    refresh.add_argument("slug", nargs="*", help="chapters (default: all)")
    refresh.set_defaults(command=_refresh)

    check = commands.add_parser("check", help="verify pairs, claims and figures, executing nothing")
    check.add_argument("slug", nargs="*", help="chapters (default: all)")
    check.set_defaults(command=_check)

    sweep = commands.add_parser("sweep", help="execute under other seeds, store how checks fared")
    sweep.add_argument("slug", nargs="*", help="chapters (default: all)")
    sweep.add_argument("--seeds", type=int, default=20, help="how many: 1, 2, … (default: 20)")
    sweep.set_defaults(command=_sweep)

    repeat = commands.add_parser("repeat", help="execute twice: the outputs must be the same bytes")
    repeat.add_argument("slug", nargs="*", help="chapters (default: all)")
    repeat.set_defaults(command=_repeat)

    new = commands.add_parser("new", help="begin a chapter that builds")
    new.add_argument("part", help="folder under book/, such as foundations")
    new.add_argument("slug", help="small letters, digits and hyphens, such as jl-lemma")
    new.add_argument("title", help="the chapter's title")
    new.set_defaults(command=_new)

    conversions = commands.add_parser("conversions", help="what a notebook's prose may contain")
    conversions.set_defaults(command=_conversions)

    licences = commands.add_parser("licences", help="write the list of the packages' licences")
    licences.set_defaults(command=_licences)
    return parser


def _execute(options: argparse.Namespace) -> int:
    from derive_book.execute import execute
    from derive_book.verify import chapter_problems

    seed, profile = _seed(options), os.environ.get("DERIVE_PROFILE", "cpu")
    if options.out is None and (seed, profile) != (0, "cpu"):
        what = f"profile {profile} with seed {seed} is not what the book stores"
        raise BookError(Problem("execute", 0, what, "say --out FOLDER to keep it elsewhere"))
    book, problems = _book(options), []
    for chapter in _chapters(book, options):
        start = time.perf_counter()
        try:
            path = execute(book, chapter, seed=seed, profile=profile, out=options.out)
        except BookError as error:
            problems += error.problems
            continue
        shown = path if options.out else path.relative_to(book.root)
        print(f"{shown}: {time.perf_counter() - start:.1f} s", flush=True)
        if options.out is None:
            problems += chapter_problems(book, chapter)
    return _report(problems)


def _sweep(options: argparse.Namespace) -> int:
    from derive_book.sweep import store, sweep

    book, problems = _book(options), []
    for chapter in _chapters(book, options):
        start = time.perf_counter()
        result = sweep(chapter, range(1, options.seeds + 1))
        path = store(book.root, result)
        failed = result["failures"]
        print(
            f"{path.relative_to(book.root)}: {len(result['seeds'])} of {options.seeds} seeds pass, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
        todo = "mend the check: under no seed may a true claim fail"
        problems += [
            Problem(chapter.path, 1, f"seed {f['seed']}: {f['problem']}", todo) for f in failed
        ]
    return _report(problems)


def _repeat(options: argparse.Namespace) -> int:
    from derive_book.repeat import repeat

    book, problems = _book(options), []
    for chapter in _chapters(book, options):
        start = time.perf_counter()
        try:
            found = repeat(chapter, profile=os.environ.get("DERIVE_PROFILE", "cpu"))
        except BookError as error:
            found = list(error.problems)
        verdict = f"{len(found)} problem(s)" if found else "twice the same"
        print(f"{chapter.path}: {verdict}, {time.perf_counter() - start:.0f} s", flush=True)
        problems += found
    return _report(problems)


def _seed(options: argparse.Namespace) -> int:
    given = options.seed if options.seed is not None else os.environ.get("DERIVE_SEED", "0")
    try:
        return int(given)
    except ValueError:
        todo = "write a whole number"
        raise BookError(Problem("execute", 0, f"DERIVE_SEED is {given!r}", todo)) from None


def _refresh(options: argparse.Namespace) -> int:
    from derive_book.execute import refresh

    book, problems = _book(options), []
    for chapter in _chapters(book, options):
        try:
            print(refresh(book, chapter).relative_to(book.root))
        except BookError as error:
            problems += error.problems
    return _report(problems)


def _check(options: argparse.Namespace) -> int:
    from derive_book.verify import verify

    book = _book(options)
    chapters = _chapters(book, options)
    problems = verify(book, chapters)
    if not problems:
        claims = sum(len(chapter.claims) for chapter in chapters)
        print(f"{len(chapters)} chapter(s) in step, {claims} claims checked")
    return _report(problems)


def _new(options: argparse.Namespace) -> int:
    from derive_book.skeleton import new_chapter

    print(new_chapter(_book(options), options.part, options.slug, options.title))
    return 0


def _conversions(options: argparse.Namespace) -> int:
    from derive_book.plain import CONVERSIONS

    print("| in the chapter (MyST) | in the notebook |\n|---|---|")
    for chapter, notebook in CONVERSIONS:
        print(f"| {chapter} | {notebook} |")
    return 0


def _licences(options: argparse.Namespace) -> int:
    from derive_book import licences

    root = _book(options).root
    found, problems = licences.collect(root)
    if not problems:
        write_text(root / licences.PAGE, licences.page(found))
        print(f"{licences.PAGE}: {len(found)} packages")
    return _report(problems)


def _book(options: argparse.Namespace) -> Book:
    return Book(options.root.resolve() if options.root else find_root(Path.cwd()))


def _chapters(book: Book, options: argparse.Namespace) -> list[Chapter]:
    return [book.chapter(slug) for slug in options.slug] or book.chapters


def _report(problems: Sequence[Problem]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
