"""Which statements of a chapter's code serve nothing but its wrong versions."""

import ast
from collections.abc import Iterable

_MAKES_NAMES = (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.FunctionDef)


def idle(statements: Iterable[ast.stmt]) -> set[ast.stmt]:
    """Assignments and functions whose names no other statement reads, nor an idle one alone.

    Order is left out of account: what is read anywhere counts as read.
    """
    kept, found = list(statements), set()
    while True:
        read = {name for s in kept for name in _reads(s) - _makes(s)}
        new = {s for s in kept if isinstance(s, _MAKES_NAMES) and not _makes(s) & read}
        if not new:
            return found
        found |= new
        kept = [s for s in kept if s not in new]


def _reads(statement: ast.stmt) -> set[str]:
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _makes(statement: ast.stmt) -> set[str]:
    """The names that it assigns to, also one of their entries: `x[0] = 1` makes x."""
    if isinstance(statement, ast.FunctionDef):
        return {statement.name}
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        targets = [statement.target]
    else:
        return set()
    return {name for target in targets for name in _bases(target)}


def _bases(target: ast.expr) -> set[str]:
    if isinstance(target, (ast.Tuple, ast.List)):
        return {name for part in target.elts for name in _bases(part)}
    while isinstance(target, (ast.Subscript, ast.Attribute, ast.Starred)):
        target = target.value
    return {target.id} if isinstance(target, ast.Name) else set()
