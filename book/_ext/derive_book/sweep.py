"""Executing a chapter under many seeds, and what that says about its checks.

A check that passes once could have been lucky. Under twenty other seeds none may fail, and the
p-values of sampled checks must be spread evenly: heaped up near 0 they would announce a claim
that is slightly wrong, near 1 a standard error that is too large.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from derive_book.book import Chapter
from derive_book.errors import BookError
from derive_book.execute import run
from derive_book.pair import write_text
from derive_book.records import CHECK

FOLDER = Path("lib/derive/results/sweep")


def sweep(chapter: Chapter, seeds: Iterable[int]) -> dict[str, Any]:
    """What the checks of a chapter measured under each seed, as plain data.

    A seed under which a cell fails is listed in "failures" with its problem: a false alarm, or
    something worse. Each check's "used" and "p" have one entry for each of the "seeds" that ran.
    """
    ran: list[int] = []
    failures: list[dict[str, Any]] = []
    checks: list[dict[str, Any]] = []
    for seed in seeds:
        try:
            found = _records(run(chapter, seed=seed))
        except BookError as error:
            what = "; ".join(f"line {p.line}: {p.what}" for p in error.problems)
            failures.append({"seed": seed, "problem": what[:500]})
            continue
        if not ran:
            checks = [_head(content) for content, _ in found]
        # What depends on the seed may change a figure, never which checks there are.
        if [check["label"] for check in checks] != [content["label"] for content, _ in found]:
            failures.append({"seed": seed, "problem": "other checks than under the seeds before"})
            continue
        ran.append(seed)
        for check, (content, measured) in zip(checks, found, strict=True):
            _note(check, content, measured)
    return {"format": 1, "chapter": chapter.slug, "seeds": ran, "failures": failures,
            "checks": checks}  # fmt: skip


def store(root: Path, result: dict[str, Any]) -> Path:
    """Write the result of one chapter where the package carries it; in one step."""
    path = root / FOLDER / f"{result['chapter']}.json"
    lines = [json.dumps(check, ensure_ascii=False) for check in result["checks"]]
    head = json.dumps({**result, "checks": None}, ensure_ascii=False)
    text = head.replace('"checks": null', '"checks": [\n' + ",\n".join(lines) + "\n]") + "\n"
    write_text(path, text)
    return path


def _records(outputs: list) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [
        (out["data"][CHECK], out.get("metadata", {}).get(CHECK, {}).get("measured", {}))
        for cell in outputs
        for out in cell
        if CHECK in out.get("data", {})
    ]


def _head(content: dict[str, Any]) -> dict[str, Any]:
    return {
        "label": content["label"],
        "kind": content["kind"],
        "wrong": len(content["wrong"]),
        "false_alarm": content["false_alarm"],
        "power": content["power"],  # the least over the seeds
        "used": [],
    }


def _note(check: dict[str, Any], content: dict[str, Any], measured: dict[str, Any]) -> None:
    used = measured.get("used")
    check["used"].append(None if used is None else _short(used))
    if content["power"] is not None:
        check["power"] = min(check["power"], content["power"])
    if content["kind"] == "sampled":
        check["relation"] = measured["relation"]
        check["exact law"] = measured["exact law"]
        check.setdefault("p", []).append([_short(p) for p in measured["p values"]])
    if content["kind"] == "observed":
        check["stated share"] = measured["stated share"]
        check.setdefault("inside", []).append(_short(measured["inside"]))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
