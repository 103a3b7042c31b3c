"""Mutation testing of `drivers` and `firmware_bridge`: one thing is changed in one line; do the tests notice?

A seeded sample of mutants, each module by its number of places. One run of the tests beforehand says which of them
execute which line, and how long each takes; a mutant meets the tests that execute its line, the quickest first, until
one fails. A mutant that no test executes, or that all pass, has survived and is printed.

python benchmarks/campaign/mutants.py --mutants 400
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import json
import os
import random
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")

import coverage
import pytest
from scipy.stats import beta

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("drivers", "firmware_bridge")
TESTS = ("tests/drivers", "tests/firmware_bridge", "tests/conformance", "tests/calibration")
LIMIT = 0.80
MOST_S = 40.0
"""Of tests that one mutant meets, by the time that they took unchanged."""
SWAPS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "+"), ast.LShift: ("<<", ">>"), ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"), ast.And: ("and", "or"), ast.Or: ("or", "and"),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A change of one line: `old` at `column` becomes `new`; lines count from 1."""

    path: str
    line: int
    column: int
    old: str
    new: str

    def source(self) -> str:
        lines = (ROOT / self.path).read_text().splitlines(keepends=True)
        text = lines[self.line - 1].encode()
        assert text[self.column :].startswith(self.old.encode())
        changed = text[: self.column] + self.new.encode() + text[self.column + len(self.old.encode()) :]
        lines[self.line - 1] = changed.decode()
        return "".join(lines)


# -- what can be changed -----------------------------------------------------------------------------------------------


def places(path: Path) -> Iterator[Mutant]:
    """All mutants of a module: operators, constants, truth values, `not`, calls whose result nobody takes. Annotations,
    doc strings and what errors say are left alone."""
    source = path.read_text()
    lines = source.splitlines()
    name = str(path.relative_to(ROOT))
    for node in _nodes(ast.parse(source)):
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        if isinstance(node, ast.Constant) and node.end_lineno == line:
            old = lines[line - 1].encode()[column : node.end_col_offset].decode()
            if isinstance(node.value, bool):
                yield Mutant(name, line, column, old, str(not node.value))
            elif isinstance(node.value, int | float):
                yield Mutant(name, line, column, old, f"({old} + 1)")
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from _between(name, lines, node.left, node.comparators[0], node.ops[0])
        elif isinstance(node, ast.BinOp):
            yield from _between(name, lines, node.left, node.right, node.op)
        elif isinstance(node, ast.BoolOp):
            yield from _between(name, lines, node.values[0], node.values[1], node.op)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            yield Mutant(name, line, column, "not ", "")
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and node.end_lineno == line:
            yield Mutant(name, line, column, lines[line - 1].encode()[column : node.end_col_offset].decode(), "pass")


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "type_params") or isinstance(tree, ast.Raise | ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_main(child):
                yield child
                yield from _nodes(child)


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")


def _between(name: str, lines: Sequence[str], left: ast.expr, right: ast.expr, op: ast.AST) -> Iterator[Mutant]:
    if type(op) not in SWAPS or left.end_lineno != right.lineno or left.end_col_offset is None:
        return
    old, new = SWAPS[type(op)]
    gap = lines[right.lineno - 1].encode()[left.end_col_offset : right.col_offset].decode()
    if old in gap:
        yield Mutant(name, right.lineno, left.end_col_offset + gap.index(old), old, new)


def draw(n: int, seed: int) -> list[Mutant]:
    """n mutants, each module in proportion to its places, in a seeded order."""
    rng = random.Random(seed)
    by_module = {
        path: list(places(path)) for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
    }  # fmt: skip
    total = sum(map(len, by_module.values()))
    drawn: list[Mutant] = []
    for found in by_module.values():
        share = n * len(found) / total
        drawn += rng.sample(found, min(len(found), int(share) + (rng.random() < share % 1)))
    rng.shuffle(drawn)
    return drawn


# -- which tests meet it -----------------------------------------------------------------------------------------------


class _Contexts:
    """Tells coverage which test is running, and keeps how long each took."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured, self.seconds, self.failed = measured, dict[str, float](), set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.measured.switch_context(item.nodeid)
        began = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - began
        return result


def who_executes(cache: Path) -> tuple[dict[str, dict[int, list[str]]], dict[str, float]]:
    """path -> line -> tests that execute it, and test -> seconds. Kept in `cache`. Tests that fail before anything is
    changed, as those may that watch a clock on a busy machine, are named and take no part."""
    if not cache.exists():
        pid = os.fork()
        if not pid:
            measured = coverage.Coverage(data_file=None, source=[str(ROOT / p) for p in PACKAGES])
            measured.start()
            plugin = _Contexts(measured)
            code = pytest.main([*TESTS, "-q", "-p", "no:cacheprovider", "-m", "not slow"], plugins=[plugin])
            measured.stop()
            data, lines = measured.get_data(), {}
            for file in data.measured_files():
                lines[os.path.relpath(file, ROOT)] = data.contexts_by_lineno(file)
            if code <= 1:  # tests ran
                seconds = {test: s for test, s in plugin.seconds.items() if test not in plugin.failed}
                cache.write_text(json.dumps({"lines": lines, "seconds": seconds}))
                print(f"left out, failing unchanged: {sorted(plugin.failed) or 'none'}", flush=True)
            os._exit(code > 1)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            sys.exit("the tests could not be run; see above")
    known = json.loads(cache.read_text())
    lines = {path: {int(n): tests for n, tests in found.items()} for path, found in known["lines"].items()}
    return lines, known["seconds"]


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from another source."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self.file, self.text = str(ROOT / mutant.path), mutant.source()

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if name != self.name:
            return None
        spec = importlib.util.spec_from_file_location(name, self.file, loader=self)  # type: ignore[arg-type]
        return spec

    def get_source(self, name: str) -> str:
        return self.text

    def is_package(self, name: str) -> bool:
        return self.file.endswith("__init__.py")

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.text, self.file, "exec"), module.__dict__)


def survives(mutant: Mutant, tests: Sequence[str]) -> bool:
    """Whether all of `tests` pass, in a process of its own; one that takes ten times too long has noticed."""
    pid = os.fork()
    if not pid:
        resource.setrlimit(resource.RLIMIT_CPU, (int(10 * MOST_S), int(10 * MOST_S)))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.meta_path.insert(0, _Changed(mutant))
        os._exit(int(pytest.main([*tests, "-q", "-x", "-p", "no:cacheprovider", "-p", "no:randomly"])))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="modules whose path begins so")
    parser.add_argument("--cache", type=Path, default=Path("runs/mutants-coverage.json"), help="which tests run what")
    arguments = parser.parse_args()
    # A shell's background process ignores SIGINT; tests of what an interrupt does need it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    arguments.cache.parent.mkdir(exist_ok=True)
    lines, seconds = who_executes(arguments.cache)
    tried = killed = 0
    of = defaultdict[str, list[int]](lambda: [0, 0])
    for mutant in draw(arguments.mutants, arguments.seed):
        if not mutant.path.startswith(arguments.only):
            continue
        tests = sorted(
            (t for t in lines.get(mutant.path, {}).get(mutant.line, []) if t in seconds), key=lambda t: seconds[t]
        )
        chosen, spent = [], 0.0
        for test in tests:
            spent += seconds[test]
            if chosen and spent > MOST_S:
                break
            chosen.append(test)
        # A line that runs at import stands in no test; then all tests of its module's folder meet it.
        imported = not tests and "" in lines.get(mutant.path, {}).get(mutant.line, [])
        if imported:
            chosen = [f"tests/{Path(mutant.path).parent}"]
        tried += 1
        noticed = bool(chosen) and not survives(mutant, chosen)
        killed += noticed
        of[str(Path(mutant.path).parent)][0] += noticed
        of[str(Path(mutant.path).parent)][1] += 1
        if not noticed:
            print(f"survived: {mutant.path}:{mutant.line}:{mutant.column} {mutant.old} → {mutant.new}", flush=True)
        if tried % 25 == 0:
            print(f"{killed} of {tried} killed", flush=True)
    low, high = beta.ppf([0.025, 0.975], killed + 0.5, tried - killed + 0.5)
    for folder, (k, n) in sorted(of.items()):
        print(f"{folder}: {k} of {n}")
    share = killed / tried
    print(f"{killed} of {tried} mutants killed: {share:.1%} (95 %: {low:.1%} to {high:.1%}; limit {LIMIT:.0%})")
    return int(share < LIMIT)


if __name__ == "__main__":
    sys.exit(main())
