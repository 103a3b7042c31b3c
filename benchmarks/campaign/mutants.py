"""Mutation testing of `drivers` and `firmware_bridge`: one thing is changed in one line; do the tests notice?

A seeded sample of mutants, each module by its number of places. One run of the tests beforehand says which of them
execute which line, and what each takes; a mutant meets the tests that execute its line until one fails: the quickest,
those in files that import its module before all others. A mutant that no test executes, or that all pass, has survived
and is printed. Every tenth time the same tests meet the module unchanged too: none may fail then.

An interrupted run goes on where it was: results stay in `runs/`, and count as long as the mutant's module and the tests
that it meets are the same.

python benchmarks/campaign/mutants.py --mutants 400
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import importlib.abc
import importlib.util
import json
import os
import re
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import coverage
import hypothesis
import pytest
from mutations import PACKAGES, Mutant, draw
from scipy.stats import beta

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/drivers", "tests/firmware_bridge", "tests/conformance", "tests/calibration")
OPTIONS = (
    *("-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
    *("-W", "ignore:Module already imported so cannot be rewritten"),
)
LIMIT = 0.80
ENDLESS = "no end"
MOST_S = 12.0
"""Of tests that one mutant meets, by the CPU seconds that they took unchanged, coverage being measured."""

# -- which tests meet it -----------------------------------------------------------------------------------------------


def _cpu_s() -> float:
    return sum(os.times()[:4])


class _Contexts:
    """Tells coverage which test is running, and keeps what each took."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured, self.seconds = measured, dict[str, float]()
        self.failed, self.skipped = set[str](), set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        if report.skipped:
            self.skipped.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.measured.switch_context(item.nodeid)
        began = _cpu_s()
        result = yield
        self.seconds[item.nodeid] = _cpu_s() - began
        self.measured.switch_context("")
        return result


@dataclass(frozen=True)
class Known:
    """What one run of the unchanged tests told."""

    seconds: dict[str, float]
    """test -> CPU seconds, of those that passed."""
    lines: dict[str, dict[int, list[str]]]
    """path -> line -> tests that execute it; "" stands for the import."""

    @functools.cached_property
    def onlookers(self) -> set[str]:
        """Tests that execute nothing: they look at what imports have made."""
        return set(self.seconds).difference(*(tests for module in self.lines.values() for tests in module.values()))

    def tests(self, mutant: Mutant) -> list[list[str]]:
        """Those that a mutant meets, in their order: those of files that import its module, then all others.

        A line that runs at import only stands in no test's context. It meets the onlookers and those of files that
        import its module, then those that execute anything of it.
        """
        module = self.lines.get(mutant.path, {})
        first, last = mutant.statement
        # Python tells of no line within a constant that goes over several.
        executed = module.get(mutant.line) or [test for n in range(first, last + 1) for test in module.get(n, [])]
        found = {test for test in executed if test in self.seconds}
        near = {test for test in self.seconds if _imports(ROOT / _file(test), mutant.module)}
        if not found and "" in executed:
            anything = {test for tests in module.values() for test in tests if test in self.seconds}
            near |= self.onlookers
            found = anything | near
        spent, chosen = 0.0, set[str]()
        for test in sorted(found, key=lambda test: (test not in near, self.seconds[test])):
            spent += self.seconds[test]
            if chosen and spent > MOST_S:
                break
            chosen.add(test)
        return [stage for stage in (self._in_order(chosen & near), self._in_order(chosen - near)) if stage]

    def _in_order(self, tests: Iterable[str]) -> list[str]:
        """Tests of one file together, as they may share what is costly; the quickest files first."""
        cost = defaultdict[Path, float](float)
        for test in tests:
            cost[_file(test)] += self.seconds[test]
        return sorted(tests, key=lambda test: (cost[_file(test)], self.order[test]))

    @functools.cached_property
    def order(self) -> dict[str, int]:
        """In which they ran."""
        return {test: n for n, test in enumerate(self.seconds)}


def _file(test: str) -> Path:
    return Path(test.partition("::")[0])


@functools.cache
def _imports(file: Path, module: str) -> bool:
    package, _, name = module.rpartition(".")
    return bool(re.search(rf"^(from|import) ({module}|{package} import .*\b{name})\b", _content(file).decode(), re.M))


def who_executes(cache: Path) -> Known:
    """Kept in `cache` for as long as no source and no test has changed. Tests that fail before anything is changed, as
    those may that watch a clock on a busy machine, are named and take no part."""
    everything = [p for folder in (*PACKAGES, "calibration", "tests") for p in sorted((ROOT / folder).rglob("*.py"))]
    digest = _digest(*everything)
    known = json.loads(cache.read_text()) if cache.exists() else {"digest": None}
    if known["digest"] != digest:
        pid = os.fork()
        if not pid:
            measured = coverage.Coverage(data_file=None, source=[str(ROOT / p) for p in PACKAGES])
            measured.start()
            plugin = _Contexts(measured)
            code = pytest.main([*TESTS, *OPTIONS], plugins=[plugin])
            measured.stop()
            data = measured.get_data()
            seconds = {test: s for test, s in plugin.seconds.items() if test not in plugin.failed | plugin.skipped}
            number = {test: n for n, test in enumerate(["", *seconds])}
            lines = {
                os.path.relpath(file, ROOT): {
                    line: [number[test] for test in tests if test in number]
                    for line, tests in data.contexts_by_lineno(file).items()
                }
                for file in data.measured_files()
            }
            if code <= 1:  # tests ran
                cache.write_text(json.dumps({"digest": digest, "seconds": seconds, "lines": lines}))
                print(f"left out, failing unchanged: {sorted(plugin.failed) or 'none'}", flush=True)
            os._exit(code > 1)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            sys.exit("the tests could not be run; see above")
        known = json.loads(cache.read_text())
    names = ["", *known["seconds"]]
    lines = {
        path: {int(line): [names[n] for n in tests] for line, tests in found.items()}
        for path, found in known["lines"].items()
    }
    return Known(known["seconds"], lines)


@functools.cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


def _digest(*parts: Path | str) -> str:
    """Of files by their content, and of words."""
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else _content(part)
        whole.update(len(content).to_bytes(8, "little") + content)
    return whole.hexdigest()


# -- whether they notice -----------------------------------------------------------------------------------------------


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from another source."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.module
        self.file, self.text = str(ROOT / mutant.path), mutant.source(ROOT)

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


class _Chosen:
    """Runs these tests of what is collected, in their order, and says which was the first to fail."""

    def __init__(self, tests: Sequence[str], known: Known, tell: int) -> None:
        self.rank, self.known, self.tell = {test: n for n, test in enumerate(tests)}, known, tell
        self.bases = {test.partition("[")[0]: n for n, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        ranks = {item: rank for item in items if (rank := self._rank(item.nodeid)) is not None}
        items[:] = sorted(ranks, key=lambda item: ranks[item])

    def _rank(self, test: str) -> int | None:
        # A parameter that the mutant changed changes the name of its test.
        base = test.partition("[")[0]
        return self.rank.get(test, None if test in self.known.seconds else self.bases.get(base))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            os.write(self.tell, f"{report.nodeid} could not be imported\n".encode())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self.tell, f"{report.nodeid}\n".encode())


def load_libraries() -> None:
    """Imports all that the tests import, and forgets what is of this project: each mutant's process, forked from this
    one, loads that anew, so that tables and defaults are made from the changed source."""
    if pytest.main([*TESTS, *OPTIONS, "--collect-only", "-qq"]):
        sys.exit("the tests cannot be collected; see above")
    forget = set()
    for name, module in sys.modules.items():
        file = Path(getattr(module, "__file__", None) or "/")
        if name != "__main__" and file.is_relative_to(ROOT) and ".venv" not in file.parts:
            forget.add(name)
    for name in forget:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def noticed(mutant: Mutant | None, tests: Sequence[str], known: Known) -> str | None:
    """The first of `tests` that fails in a process of its own, if one does. One that takes many times as long as
    unchanged, by its CPU time or by the clock, has noticed."""
    limit_s = 10 + 3 * sum(known.seconds[test] for test in tests)
    hear, tell = os.pipe()
    pid = os.fork()
    if not pid:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit_s), int(limit_s)))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        if mutant is not None:
            sys.meta_path.insert(0, _Changed(mutant))
        files = dict.fromkeys(str(_file(test)) for test in tests)
        os._exit(int(pytest.main([*files, *OPTIONS, "-x"], plugins=[_Chosen(tests, known, tell)])))
    os.close(tell)
    deadline = time.monotonic() + 10 * limit_s
    try:
        while not (ended := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        with contextlib.suppress(ProcessLookupError):  # and whatever it started
            os.killpg(pid, signal.SIGKILL)
    with os.fdopen(hear) as told:
        first = told.readline().strip()
    if not ended[0]:
        os.waitpid(pid, 0)
        return f"{ENDLESS} within {10 * limit_s:.0f} s"
    code = os.waitstatus_to_exitcode(ended[1])
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"{ENDLESS} within {limit_s:.0f} s of CPU"
    if code == pytest.ExitCode.USAGE_ERROR:
        return "conftest.py could not be imported"
    return (
        (first or f"exit code {code}") if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else None
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="modules whose path begins so")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where what is known and the results are kept")
    arguments = parser.parse_args()
    # A shell's background process ignores SIGINT; tests of what an interrupt does need it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    hypothesis.settings.register_profile(
        "mutants",
        database=None,  # what one mutant taught must not help against the next
        derandomize=True,
        deadline=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutants")
    arguments.runs.mkdir(exist_ok=True)
    known = who_executes(arguments.runs / "mutants-coverage.json")
    load_libraries()
    log = arguments.runs / "mutants-results.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    before: dict[str, str | None] = {key: result for key, result, _ in map(json.loads, lines)}
    of, controls = defaultdict[str, list[str | None]](list), 0
    drawn = [
        mutant for mutant in draw(ROOT, arguments.mutants, arguments.seed) if mutant.path.startswith(arguments.only)
    ]
    try:
        for tried, mutant in enumerate(drawn, 1):
            stages = known.tests(mutant)
            files = sorted({ROOT / _file(test) for stage in stages for test in stage})
            key = _digest(str(mutant), ROOT / mutant.path, *files)
            if key not in before:
                results = (noticed(mutant, stage, known) for stage in stages)
                before[key] = next(filter(None, results), None)
                with log.open("a") as out:
                    out.write(json.dumps([key, before[key], str(mutant)]) + "\n")
                if before[key] and tried % 10 == 0:
                    if wrong := next(filter(None, (noticed(None, stage, known) for stage in stages)), None):
                        sys.exit(f"fails unchanged: {wrong}, of those that meet {mutant}")
                    controls += 1
            of[str(Path(mutant.path).parent)].append(before[key])
            if before[key] is None:
                print(f"survived{'' if stages else ', no test'}: {mutant}", flush=True)
            if tried % 25 == 0:
                print(f"{sum(map(_killed, of.values()))} of {tried} killed", flush=True)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on")
    return _summary(of, controls, arguments.seed, len(drawn))


def _killed(results: Sequence[str | None]) -> int:
    return sum(result is not None for result in results)


def _summary(of: Mapping[str, Sequence[str | None]], controls: int, seed: int, drawn: int) -> int:
    """Prints the scores; the exit code."""
    every = [result for results in of.values() for result in results]
    killed, tried = _killed(every), len(every)
    if not tried:
        sys.exit("no mutant was tried")
    endless = sum(result is not None and result.startswith(ENDLESS) for result in every)
    low, high = beta.ppf([0.025, 0.975], killed + 0.5, tried - killed + 0.5)
    for folder, results in sorted(of.items()):
        print(f"{folder}: {_killed(results)} of {len(results)}")
    print(f"{tried} mutants of {drawn} drawn, seed {seed}; {endless} killed by their time; {controls} controls passed")
    print(f"{killed} killed: {killed / tried:.1%} (95 %: {low:.1%} to {high:.1%}; limit {LIMIT:.0%})")
    return int(killed / tried < LIMIT or tried < drawn)


if __name__ == "__main__":
    sys.exit(main())
