"""One line per problem: where it is, what is wrong, what to do."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """Something an author has to mend, at a line of a file (path relative to the book's root).

    Line 0 stands for no line: then `path` is the command that was refused.
    """

    path: str
    line: int
    what: str
    todo: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.what}: {self.todo}"


class BookError(Exception):
    """One or more problems that make going on pointless."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
