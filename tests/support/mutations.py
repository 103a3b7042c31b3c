"""Small changes of a source, one in one line: what `benchmarks/campaign/mutants.py` draws its sample from."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("drivers", "firmware_bridge")
SWAPS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "+"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.And: ("and", "or"), ast.Or: ("or", "and"),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A change of one line: `old` at `column` becomes `new`; lines count from 1.

    statement: first and last line of the statement that it changes, its body left out.
    """

    path: str
    line: int
    column: int
    old: str
    new: str
    statement: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column} {self.old} → {self.new}"

    @property
    def module(self) -> str:
        return module_of(self.path)

    def source(self, root: Path) -> str:
        """The whole module with this change."""
        lines = (root / self.path).read_text().splitlines(keepends=True)
        text = lines[self.line - 1].encode()
        assert text[self.column :].startswith(self.old.encode())
        changed = text[: self.column] + self.new.encode() + text[self.column + len(self.old.encode()) :]
        lines[self.line - 1] = changed.decode()
        return "".join(lines)


def module_of(path: str) -> str:
    """Its name, from its path within the project."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# -- what can be changed -----------------------------------------------------------------------------------------------


def places(root: Path, path: Path) -> Iterator[Mutant]:
    """All mutants of a module: operators, constants, truth values, `not`, calls whose result nobody takes. Annotations,
    doc strings and what errors say are left alone."""
    source = path.read_text()
    lines = [line.encode() for line in source.splitlines()]
    name = str(path.relative_to(root))
    for node, statement in _nodes(ast.parse(source), (1, 1)):
        for line, column, old, new in _changes(lines, node):
            yield Mutant(name, line, column, old, new, statement)


def _changes(lines: Sequence[bytes], node: ast.AST) -> Iterator[tuple[int, int, str, str]]:
    """(line, column, old, new)"""
    line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
    if isinstance(node, ast.Constant) and node.end_lineno == line:
        old = lines[line - 1][column : node.end_col_offset].decode()
        if isinstance(node.value, bool):
            yield line, column, old, str(not node.value)
        elif isinstance(node.value, int | float):
            yield line, column, old, f"({old} + 1)"
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from _between(lines, node.left, node.comparators[0], node.ops[0])
    elif isinstance(node, ast.BinOp):
        yield from _between(lines, node.left, node.right, node.op)
    elif isinstance(node, ast.BoolOp):
        yield from _between(lines, node.values[0], node.values[1], node.op)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield line, column, "not ", ""
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.end_lineno == line:
        yield line, column, lines[line - 1][column : node.end_col_offset].decode(), "pass"


def _between(
    lines: Sequence[bytes], left: ast.expr, right: ast.expr, op: ast.AST
) -> Iterator[tuple[int, int, str, str]]:
    if type(op) not in SWAPS or left.end_lineno != right.lineno or left.end_col_offset is None:
        return
    old, new = SWAPS[type(op)]
    gap = lines[right.lineno - 1][left.end_col_offset : right.col_offset].decode()
    if old in gap:
        yield right.lineno, left.end_col_offset + gap.index(old), old, new


def _nodes(tree: ast.AST, statement: tuple[int, int]) -> Iterator[tuple[ast.AST, tuple[int, int]]]:
    """All that may be changed, with the lines of its statement."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "type_params") or isinstance(tree, ast.Raise | ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_main(child):
                span = _lines(child) if isinstance(child, ast.stmt) else statement
                yield child, span
                yield from _nodes(child, span)


def _lines(statement: ast.stmt) -> tuple[int, int]:
    first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", []))])
    inside = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if inside is None:
        return first, statement.end_lineno or first
    begin = inside[0].lineno if isinstance(inside[0], ast.stmt) else inside[0].pattern.lineno
    return first, max(first, begin - 1)


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def draw(root: Path, n: int, seed: int) -> list[Mutant]:
    """n mutants, each module in proportion to its places, in a seeded order."""
    rng = random.Random(seed)
    by_module = {
        path: list(places(root, path)) for package in PACKAGES for path in sorted((root / package).rglob("*.py"))
    }  # fmt: skip
    total = sum(map(len, by_module.values()))
    drawn: list[Mutant] = []
    for found in by_module.values():
        share = n * len(found) / total
        drawn += rng.sample(found, min(len(found), int(share) + (rng.random() < share % 1)))
    rng.shuffle(drawn)
    return drawn
