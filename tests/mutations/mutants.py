"""Mechanical mutations of a source file: each changes one place of its syntax tree, as a slip of the hand would.

Left alone are words for people (docstrings, what is raised or logged, descriptions, summaries, links), annotations, imports,
and assertions: `assert`, and the `strict=` of zip.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
WORDS = {"description", "summary", "links", "licence", "install"}  # keywords whose values only people read
TALK = {"log", "logging", "warnings", "print"}


@dataclass(frozen=True)
class Mutant:
    """One changed file.

    Attributes:
        name: file, scope, statement, and what became what there; the same as long as that statement is.
        module: the dotted name of the file's module.
        place, change: the number of the place in the file, and of what it may become there.
    """

    name: str
    module: str
    file: Path
    place: int
    change: int

    @cached_property
    def tree(self) -> ast.Module:
        """The changed syntax tree; made when it is asked for, since most mutants of a sample are never tried."""
        tree = ast.parse(self.file.read_text(encoding="utf-8"))
        place = next(islice(_places(tree, "", ""), self.place, None))
        place.put(next(islice(_changes(place), self.change, None)))
        return ast.fix_missing_locations(tree)


@dataclass(frozen=True)
class _Place:
    """A node, where it hangs, and the words by which a person finds it."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    scope: str
    statement: str

    def put(self, new: ast.AST | None) -> None:
        """Puts another node there; None takes the place out of its list."""
        siblings = getattr(self.parent, self.field)
        if self.index is None:
            setattr(self.parent, self.field, new)
        elif new is None:
            del siblings[self.index]
        else:
            siblings[self.index] = new


def mutants_of(root: Path, file: Path) -> list[Mutant]:
    """All mutants of a file below `root`, in the order of its text."""
    original = ast.parse(file.read_text(encoding="utf-8"))
    path = file.relative_to(root)
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    seen: Counter[str] = Counter()
    mutants = []
    for number, place in enumerate(_places(original, "", "")):
        for change, new in enumerate(_changes(place)):
            name = f"{'/'.join(path.parts[1:])} {place.scope}: {_change(place, new)}"
            seen[name] += 1
            name += f" ({seen[name]})" if seen[name] > 1 else ""
            mutants.append(Mutant(name, module, file, number, change))
    return mutants


def sample(mutants: Sequence[Mutant], size: int | None) -> list[Mutant]:
    """`size` of the mutants, in their order: those whose names have the least hashes, so that few change when the code does."""
    if size is None or size >= len(mutants):
        return list(mutants)
    least = sorted(hashlib.sha256(one.name.encode()).hexdigest() for one in mutants)[size - 1]
    return [one for one in mutants if hashlib.sha256(one.name.encode()).hexdigest() <= least]


def _places(node: ast.AST, scope: str, statement: str) -> Iterator[_Place]:
    for field, value in ast.iter_fields(node):
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if not isinstance(child, ast.AST) or _left_alone(node, field, child):
                continue
            said = _heading(child) if isinstance(child, ast.stmt) else statement
            yield _Place(child, node, field, index if isinstance(value, list) else None, scope or "module", said)
            if isinstance(child, ast.Raise) or (isinstance(child, ast.Call) and _root(child.func) in TALK):
                continue
            inner = f"{scope}.{child.name}".strip(".") if isinstance(child, (ast.FunctionDef, ast.ClassDef)) else scope
            yield from _places(child, inner, said)


def _left_alone(parent: ast.AST, field: str, child: ast.AST) -> bool:
    if field in ("annotation", "returns", "decorator_list", "bases"):
        return True
    if isinstance(child, (ast.Import, ast.ImportFrom, ast.Assert)):
        return True
    if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
        return True
    if isinstance(child, ast.keyword) and child.arg in (WORDS | {"strict"} if _is_zip(parent) else WORDS):
        return True
    return isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)


def _is_zip(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip"


def _heading(statement: ast.stmt) -> str:
    """The first line of a statement, without its decorators."""
    return next(line for line in ast.unparse(statement).splitlines() if not line.startswith("@"))


def _change(place: _Place, new: ast.AST | None) -> str:
    before = _heading(place.node) if isinstance(place.node, ast.stmt) else ast.unparse(place.node)
    after = "nothing" if new is None else f"`{_short(ast.unparse(new))}`"
    where = "" if before == place.statement else f"in `{_short(place.statement)}` "
    return f"{where}`{_short(before)}` becomes {after}"


def _short(text: str) -> str:
    text = " ".join(text.replace("`", "'").split())
    return text if len(text) <= 90 else text[:87] + "..."


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _changes(place: _Place) -> Iterator[ast.AST | None]:
    """What a node may become: another node, or nothing."""
    node = place.node
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            yield ast.Compare(node.left, [*node.ops[:i], COMPARISONS[type(op)](), *node.ops[i + 1 :]], node.comparators)
    elif isinstance(node, ast.BinOp):
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _other_constants(node.value)
    elif isinstance(node, ast.AugAssign):
        yield ast.AugAssign(node.target, OPERATORS[type(node.op)](), node.value)
    elif isinstance(node, ast.Assign) and ast.unparse(node.value) != "None":
        yield ast.Assign(node.targets, ast.Constant(None), lineno=1)
    elif isinstance(node, ast.Return) and node.value is not None and ast.unparse(node.value) != "None":
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.Pass()
    elif isinstance(node, (ast.Break, ast.Continue)):
        yield ast.Continue() if isinstance(node, ast.Break) else ast.Break()
    elif isinstance(node, ast.keyword) and node.arg is not None:
        yield None
    if place.field == "test" and not isinstance(node, (ast.Compare, ast.UnaryOp)):
        yield ast.UnaryOp(ast.Not(), node)
    if place.field == "ifs":
        yield ast.Constant(True)


def _other_constants(value: object) -> Iterator[ast.Constant]:
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, (int, float)):
        yield ast.Constant(value + 1)
    elif isinstance(value, str):
        yield ast.Constant(value + "X")
    elif isinstance(value, bytes):
        yield ast.Constant(value + b"X")
