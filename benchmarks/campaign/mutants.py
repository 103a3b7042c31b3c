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
import gc
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import hypothesis
import pytest
from executions import OPTIONS, ROOT, TESTS, Known, digest, file_of, who_executes
from mutations import Mutant, draw
from scipy.stats import beta

LIMIT = 0.80
ENDLESS = "no end"
LOADED_UNCHANGED = 99
"""Exit code of a mutant's process in which somebody else has loaded the module."""

# -- whether they notice -----------------------------------------------------------------------------------------------


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from another source."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = mutant.module
        self.file, self.text = str(ROOT / mutant.path), mutant.source(ROOT)
        self.loaded = False

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
        self.loaded = True
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
        changed = None if mutant is None else _Changed(mutant)
        if changed is not None:
            sys.meta_path.insert(0, changed)
        files = dict.fromkeys(str(file_of(test)) for test in tests)
        result = int(pytest.main([*files, *OPTIONS, "-x"], plugins=[_Chosen(tests, known, tell)]))
        os._exit(
            LOADED_UNCHANGED if changed is not None and changed.name in sys.modules and not changed.loaded else result
        )
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
    if code == LOADED_UNCHANGED:
        sys.exit(f"{mutant}: its module was loaded as it is, past the change")
    if code == pytest.ExitCode.USAGE_ERROR:
        return "conftest.py could not be imported"
    return (
        (first or f"exit code {code}") if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) else None
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=400)
    parser.add_argument("--seed", type=int, default=3)
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
            files = sorted({ROOT / file_of(test) for stage in stages for test in stage})
            key = digest(str(mutant), ROOT / mutant.path, *files)
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
