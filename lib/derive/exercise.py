"""Exercises that answer back: a hint on what is off, without the solution (every chapter)."""

from collections.abc import Callable
from typing import Any

from derive._typing import typed

# What an answer of another kind may lead to; a name that is not there is the author's slip.
_OF_ANSWERS = (
    ArithmeticError,
    AttributeError,
    IndexError,
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
)


@typed
def self_check(answer: Any, *tests: tuple[Callable[[Any], Any], str]) -> None:
    """Print whether an exercise's answer is right; if not, the first hint that applies.

    Put the tests in the order in which a person goes wrong: form first, then the usual slips,
    then the value. A solution goes through the same call, which shows that the tests can be
    passed. Nothing is raised: a half-done exercise must not stop a notebook.

    Args:
        answer: What the reader filled in; None means not answered yet.
        tests: Pairs (does the answer pass?, hint if it does not).

    Raises:
        ValueError: If there is no test.

    Example:
        >>> tests = (lambda x: x > 0, "it is positive"), (lambda x: x * x == 2.25, "square it")
        >>> self_check(None, *tests)
        not answered yet
        >>> self_check(2, *tests)
        not yet: square it
        >>> self_check(1.5, *tests)
        right
    """
    if not tests:
        raise ValueError("self_check needs at least one test, got none.")
    if answer is None:
        print("not answered yet")
        return
    for passes, hint in tests:
        try:
            right = bool(passes(answer))
        except _OF_ANSWERS as error:
            print(f"not yet: {hint} (trying your answer gave {type(error).__name__}: {error})")
            return
        if not right:
            print(f"not yet: {hint}")
            return
    print("right")
