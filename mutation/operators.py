"""The mistakes: small changes of a syntax tree that people really make in formulas."""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

# Names that stand for different quantities and are mixed up in published code.
CONFUSED = {"alpha": "alpha_bar", "alphas": "alphas_bar", "beta": "beta_bar", "betas": "betas_bar"}
CONFUSED |= {right: left for left, right in CONFUSED.items()}
TRANSPOSES = ("T", "mT", "H", "mH")
SIGNS: dict[type, type] = {ast.Add: ast.Sub, ast.Sub: ast.Add}


@dataclass(frozen=True)
class Mutation:
    """One mistake at one place. Hashed and compared by where and what it is."""

    file: str
    within: str  # the function, as in "Class.method"; empty at a module's level
    line: int
    statement: int  # the line on which its statement begins
    operator: str
    before: str
    after: str
    nth: int = field(default=1, kw_only=True)  # of the same mistakes in one function
    owner: ast.AST = field(repr=False, compare=False)
    name: str = field(repr=False, compare=False)
    index: int | None = field(repr=False, compare=False)
    node: ast.AST = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """Stays the same when lines above it change."""
        where = f"{self.file}, {self.within}" if self.within else self.file
        again = f" ({self.nth})" if self.nth > 1 else ""
        return f"{where}: {self.before} -> {self.after}{again}"

    @contextmanager
    def made(self) -> Iterator[None]:
        """The tree holds the mistake inside of this context."""
        held = getattr(self.owner, self.name)
        old = held if self.index is None else held[self.index]
        self._put(self.node)
        try:
            yield
        finally:
            self._put(old)

    def _put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.owner, self.name, node)
        else:
            getattr(self.owner, self.name)[self.index] = node


def mutations(tree: ast.AST, file: str) -> list[Mutation]:
    """Every mistake that can be made in a tree, in the order of the source."""
    there = _names(tree)
    walked = (m for m in _walk(tree, file, "", 0) if _is_there(m, there))
    found = sorted(walked, key=lambda m: (m.line, m.before, m.operator, m.after))
    seen: Counter[str] = Counter()
    for place, mutation in enumerate(found):
        seen[mutation.key] += 1
        found[place] = replace(mutation, nth=seen[mutation.key])
    return found


def _walk(owner: ast.AST, file: str, within: str, statement: int) -> Iterator[Mutation]:
    if isinstance(owner, ast.FunctionDef | ast.ClassDef):
        within = f"{within}.{owner.name}" if within else owner.name
    for name, value in ast.iter_fields(owner):
        # Messages, types and documentation are no formulas.
        if name in ("annotation", "returns", "decorator_list") or isinstance(value, ast.JoinedStr):
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, node in children:
            if not isinstance(node, ast.AST) or isinstance(node, ast.Raise | ast.JoinedStr):
                continue
            if _documentation(node):
                continue
            first = node.lineno if isinstance(node, ast.stmt) else statement
            for operator, made in _mistakes(node, owner):
                ast.copy_location(made, node)
                ast.fix_missing_locations(made)
                yield Mutation(
                    file, within, node.lineno, first, operator,
                    ast.unparse(node), ast.unparse(made), owner, name, index, made,
                )  # fmt: skip
            yield from _walk(node, file, within, first)


def _names(tree: ast.AST) -> set[str]:
    """The variables and the `.attributes` that a file knows."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    found |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    return found | {"." + node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _is_there(mutation: Mutation, names: set[str]) -> bool:
    """Whether a quantity mixed up with another exists: a name out of nowhere proves nothing."""
    match mutation.operator, mutation.node:
        case "alpha and alpha-bar", ast.Name(name):
            return name in names
        case "alpha and alpha-bar", ast.Attribute(_, name):
            return "." + name in names
    return True


def _documentation(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _mistakes(node: ast.AST, owner: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as sign, right):
            if not _text(left) and not _text(right):
                yield "sign", ast.BinOp(left, SIGNS[type(sign)](), right)
            if isinstance(right, ast.Constant) and right.value == 1:
                yield "n and n - 1", left
        case ast.BinOp(left, ast.Mult() | ast.Div(), right):
            whole = not (isinstance(owner, ast.BinOp) and isinstance(owner.op, ast.Mult | ast.Div))
            words = _text(left) or _text(right) or isinstance(left, ast.List | ast.Tuple)
            if whole and not words:
                yield "factor 2", ast.BinOp(ast.Constant(2), ast.Mult(), copy.copy(node))
                yield "factor 1/2", ast.BinOp(copy.copy(node), ast.Div(), ast.Constant(2))
        case ast.BinOp(left, ast.Pow(), ast.Constant(2 | 2.0)):
            yield "dropped square", left
        case ast.BinOp(left, ast.Pow(), ast.Constant(0.5)):
            yield "dropped root", left
        case ast.AugAssign(target, ast.Add() | ast.Sub() as sign, right):
            if not _text(right) and not isinstance(right, ast.Constant | ast.List | ast.Tuple):
                yield "sign", ast.AugAssign(target, SIGNS[type(sign)](), right)
        case ast.UnaryOp(ast.USub(), operand) if not isinstance(operand, ast.Constant):
            yield "sign", operand
        case ast.Call(ast.Attribute(value, "sqrt" | "square" as name), arguments):
            lost = "dropped root" if name == "sqrt" else "dropped square"
            yield lost, arguments[0] if arguments else value
        case ast.Call(ast.Name("sqrt"), [argument]):
            yield "dropped root", argument
        case ast.Call(ast.Name("range"), [*_, last]) if owner is not None:
            yield "index", _replace_last(node, ast.BinOp(last, ast.Sub(), ast.Constant(1)))
        case ast.Attribute(value, name, ast.Load()) if name in TRANSPOSES:
            yield "transpose", value
        case ast.Attribute(value, name, ast.Load()) if name in CONFUSED:
            yield "alpha and alpha-bar", ast.Attribute(value, CONFUSED[name], ast.Load())
        case ast.Name(name, ast.Load()) if name in CONFUSED:
            yield "alpha and alpha-bar", ast.Name(CONFUSED[name], ast.Load())
        case ast.Subscript(value, ast.Constant(int(place)), ast.Load()):
            yield "index", ast.Subscript(value, ast.Constant(place + 1), ast.Load())
        case ast.Subscript(value, ast.UnaryOp(ast.USub(), ast.Constant(int(place))), ast.Load()):
            yield "index", ast.Subscript(value, ast.Constant(-place - 1), ast.Load())
        case ast.Slice(lower, ast.UnaryOp(ast.USub(), ast.Constant(int(place))), step):
            yield "index", ast.Slice(lower, ast.Constant(-place - 1), step)
        case ast.Slice(ast.Constant(int(place)), upper, step):
            yield "index", ast.Slice(ast.Constant(place + 1), upper, step)
        case ast.Slice(lower, ast.Constant(int(place)), step):
            yield "index", ast.Slice(lower, ast.Constant(place + 1), step)


def _replace_last(call: ast.AST, argument: ast.expr) -> ast.Call:
    assert isinstance(call, ast.Call)
    return ast.Call(call.func, [*call.args[:-1], argument], call.keywords)


def _text(node: ast.AST) -> bool:
    """A string, or a sum of strings, or a path below a folder."""
    if isinstance(node, ast.BinOp):
        return _text(node.left) or _text(node.right)
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
