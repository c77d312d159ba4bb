"""Which of the possible mistakes to make, and what to store of the outcome."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from typing import Any

from mutation.operators import Mutation

Choice = Callable[[list[Mutation]], list[Mutation]]


def at_random(sample: int | None, seed: int) -> Choice:
    """So many of them, or all; where the code changes a little, so does the choice."""

    def rank(mutation: Mutation) -> bytes:
        return hashlib.sha256(f"{seed} {mutation.key}".encode()).digest()

    def choose(everything: list[Mutation]) -> list[Mutation]:
        chosen = set(sorted(everything, key=rank)[:sample])
        return [mutation for mutation in everything if mutation in chosen]

    return choose


def untried(stored: dict[str, Any], choose: Choice) -> Choice:
    """A choice among what an earlier one left out.

    Tests are mended until they see the earlier ones, which says little about the others; these do.
    """
    known = {*stored.get("killed keys", ()), *(s["key"] for s in stored.get("survivors", ()))}
    return lambda everything: choose([m for m in everything if m.key not in known])


def summary(
    everything: Sequence[Mutation], tried: Sequence[Mutation], survivors: Collection[Mutation]
) -> dict[str, Any]:
    """Plain data: how many there are, which were tried and killed, and which survive."""
    killed = [m.key for m in tried if m not in survivors]
    return {
        "possible": len(everything),
        "tried": len(tried),
        "killed": len(killed),
        "survivors": [
            {"key": m.key, "line": m.line, "operator": m.operator} for m in tried if m in survivors
        ],
        "killed keys": killed,
    }
