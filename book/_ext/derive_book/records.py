"""What `derive.check` and interactive figures leave in the outputs of a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CHECK = "application/vnd.derive.check+json"
FIGURE = "application/vnd.derive.figure+json"
KINDS = ("identity", "equal", "bound", "order", "sampled", "observed")


@dataclass(frozen=True)
class Record:
    """What one passed check says: see `derive.check` for the meaning of each field."""

    label: str
    kind: str
    figure: str
    line: str
    wrong: dict[str, str]
    false_alarm: float
    power: float | None
    fingerprint: str | None = None
    cell: int = field(default=0, compare=False)  # index among the code cells


@dataclass(frozen=True)
class Interactive:
    """An interactive figure: data for its script, and what stands in without it."""

    name: str
    alt: str
    caption: str
    data: Any


def read_record(output: Mapping[str, Any], cell: int = 0) -> Record | None:
    """The record in a display output, or None.

    Raises:
        ValueError: If the output carries a record that is not of format 1.
    """
    content = output.get("data", {}).get(CHECK)
    if content is None:
        return None
    stamp = output.get("metadata", {}).get(CHECK, {}).get("fingerprint")
    try:
        if content["format"] != 1 or content["kind"] not in KINDS:
            raise ValueError(f"format {content['format']!r}, kind {content['kind']!r}")
        power = content["power"]
        return Record(
            label=str(content["label"]),
            kind=content["kind"],
            figure=str(content["figure"]),
            line=str(content["line"]),
            wrong={str(name): str(how) for name, how in dict(content["wrong"]).items()},
            false_alarm=float(content["false_alarm"]),
            power=None if power is None else float(power),
            fingerprint=stamp,
            cell=cell,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"a check left an unreadable record ({error!r})") from error


def read_interactive(output: Mapping[str, Any]) -> Interactive | None:
    """The interactive figure in a display output, or None.

    Raises:
        ValueError: If one of its four fields is missing.
    """
    content = output.get("data", {}).get(FIGURE)
    if content is None:
        return None
    try:
        return Interactive(
            str(content["name"]), str(content["alt"]), str(content["caption"]), content["data"]
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"an interactive figure is incomplete ({error!r})") from error


def records(outputs: Sequence[Sequence[Mapping[str, Any]]]) -> list[Record]:
    """All records of a chapter, given the outputs of each code cell in order."""
    found = (read_record(out, index) for index, cell in enumerate(outputs) for out in cell)
    return [record for record in found if record is not None]
