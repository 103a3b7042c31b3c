"""Which tests execute which lines of `drivers` and `firmware_bridge`: for `benchmarks/campaign/mutants.py`."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import coverage
import pytest
from mutations import PACKAGES, Mutant, module_of

ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/drivers", "tests/firmware_bridge", "tests/conformance", "tests/calibration")
OPTIONS = (
    *("-q", "-n", "0", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:faulthandler"),
    *("-W", "ignore:Module already imported so cannot be rewritten"),
)
MOST_S = 12.0
"""Of tests that one mutant meets, by the CPU seconds that they took unchanged, coverage being measured."""


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
        import its module, then those that execute anything of it or import one that imports it.
        """
        module = self.lines.get(mutant.path, {})
        first, last = mutant.statement
        # Python tells of no line within a constant that goes over several.
        executed = module.get(mutant.line) or [test for n in range(first, last + 1) for test in module.get(n, [])]
        found = {test for test in executed if test in self.seconds}
        near = {test for test in self.seconds if _imports(ROOT / file_of(test), mutant.module)}
        if not found and "" in executed:
            anything = {test for tests in module.values() for test in tests if test in self.seconds}
            users = [module_of(path) for path in self.lines if _imports(ROOT / path, mutant.module)]
            around = {test for test in self.seconds if any(_imports(ROOT / file_of(test), user) for user in users)}
            near |= self.onlookers
            found = anything | near | around
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
            cost[file_of(test)] += self.seconds[test]
        return sorted(tests, key=lambda test: (cost[file_of(test)], self.order[test]))

    @functools.cached_property
    def order(self) -> dict[str, int]:
        """In which they ran."""
        return {test: n for n, test in enumerate(self.seconds)}


def file_of(test: str) -> Path:
    return Path(test.partition("::")[0])


@functools.cache
def _imports(file: Path, module: str) -> bool:
    package, _, name = module.rpartition(".")
    return bool(re.search(rf"^(from|import) ({module}|{package} import .*\b{name})\b", _content(file).decode(), re.M))


def who_executes(cache: Path) -> Known:
    """Kept in `cache` for as long as no source and no test has changed. Tests that fail before anything is changed, as
    those may that watch a clock on a busy machine, are named and take no part."""
    everything = [p for folder in (*PACKAGES, "calibration", "tests") for p in sorted((ROOT / folder).rglob("*.py"))]
    found = digest(*everything)
    known = json.loads(cache.read_text()) if cache.exists() else {"digest": None}
    if known["digest"] != found:
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
                cache.write_text(json.dumps({"digest": found, "seconds": seconds, "lines": lines}))
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


def digest(*parts: Path | str) -> str:
    """Of files by their content, and of words."""
    whole = hashlib.sha256()
    for part in parts:
        content = part.encode() if isinstance(part, str) else _content(part)
        whole.update(len(content).to_bytes(8, "little") + content)
    return whole.hexdigest()
