"""What a check leaves behind, and the rule all six share: accept the claim, reject the rest."""

import html
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MIME = "application/vnd.derive.check+json"
LABEL = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class CheckFailed(AssertionError):
    """A claim does not hold, or its check cannot tell it from a wrong version."""


class CheckRefused(ValueError):
    """A check that could not have failed, or could not have decided: nothing was tested."""


@dataclass(frozen=True)
class Verdict:
    """What a judge says of one version of a claim.

    `figure` is the finding in a few words. It is compared whenever the chapter is executed
    again, so it holds nothing that another processor would round differently; such numbers go
    to `measured`, which is stored but not compared; "used" in it is the share of the allowed
    room (tolerance, critical value, the larger side of a bound) that was used up.
    """

    holds: bool
    figure: str
    left: str = ""
    right: str = ""
    difference: str = ""
    measured: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A passed check: shown as one quiet line, stored for the book's ledger."""

    label: str
    kind: str
    figure: str
    wrong: dict[str, str]
    measured: dict[str, Any]
    false_alarm: float = 0.0
    power: float | None = None

    @property
    def line(self) -> str:
        """The line for people."""
        return f"✓ {self.label} · {self.kind}: {self.figure}; rejects {', '.join(self.wrong)}"

    def bundle(self) -> dict[str, Any]:
        """The output as a MIME bundle: a line of text, the same as HTML, the book's record."""
        quiet = f'<div style="font-size:85%;opacity:.75">{html.escape(self.line)}</div>'
        record = {
            "format": 1,
            "label": self.label,
            "kind": self.kind,
            "figure": self.figure,
            "line": self.line,
            "wrong": self.wrong,
            "false_alarm": self.false_alarm,
            "power": self.power,
        }
        return {"text/plain": self.line, "text/html": quiet, MIME: record}

    def _ipython_display_(self) -> None:
        """Show nothing when a cell ends in a check: `settle` has shown the line already."""


def settle(
    label: str,
    kind: str,
    judge: Callable[[Any], Verdict],
    right: Any,
    wrong: Mapping[str, Any],
    *,
    false_alarm: float = 0.0,
    power: float | None = None,
) -> Record:
    """Accept the claim, reject every wrong version, show and return the record.

    Raises:
        CheckFailed: If the judge rejects `right` or accepts one of `wrong`.
    """
    claim = judge(right)
    if not claim.holds:
        raise CheckFailed(_disagreement(f"{label} ({kind}) does not hold", claim))
    rejected = {}
    for name, version in wrong.items():
        verdict = judge(version)
        if verdict.holds:
            raise CheckFailed(
                _disagreement(f"{label} ({kind}) also accepts the wrong version {name!r}", verdict)
            )
        rejected[name] = verdict.figure
    record = Record(label, kind, claim.figure, rejected, claim.measured, false_alarm, power)
    _show(record)
    return record


def require_label_and_wrong(label: str, wrong: Mapping[str, Any]) -> None:
    """Refuse a malformed label, and a check with fewer than two named wrong versions."""
    if not isinstance(label, str) or not LABEL.fullmatch(label):
        raise CheckRefused(
            f"a label is small letters, digits and single hyphens, like 'jl-norm'; got {label!r}."
        )
    if not isinstance(wrong, Mapping) or not all(isinstance(name, str) and name for name in wrong):
        raise CheckRefused(f"{label}: wrong= must be a dict of names to versions, got {wrong!r}.")
    if len(wrong) < 2:
        raise CheckRefused(
            f"{label}: a check needs at least 2 wrong versions to reject, got {len(wrong)}; "
            "name the errors that people make with this equation."
        )


def _disagreement(headline: str, verdict: Verdict) -> str:
    parts = {"left": verdict.left, "right": verdict.right, "difference": verdict.difference}
    lines = [f"{name:>10}: {text}" for name, text in parts.items() if text]
    return "\n".join([f"{headline}: {verdict.figure}", *lines])


def _show(record: Record) -> None:
    # In a plain Python process nothing is shown: a passing check is silent there.
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return
    ipython.display.display(
        record.bundle(), metadata={MIME: {"measured": record.measured}}, raw=True
    )
