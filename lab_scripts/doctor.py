"""`xbar doctor`: what is installed, which backends answer, and whether the mock board does what it should."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from calibration.board_calibration.self_calibration import self_calibration
from drivers.board import load_board
from drivers.bridges import BackendUnavailable
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from drivers.self_test import self_test as self_test_of
from firmware_bridge.mock.board import MockParams
from lab_scripts.console import Report
from lab_scripts.exits import OutsideBound
from lab_scripts.options import PAPER, BoardFile, Json
from lab_scripts.runs import git_revision, versions

_BACKENDS = ("mock", "rtl", "zc706")
_RELATIVE_ERROR = 0.05


TestBackend = Annotated[
    str | None,
    typer.Option("--backend", help="Test this board instead: DACs, muxes, converters, lines. Pulses nothing."),
]


def doctor(backend: TestBackend = None, board_file: BoardFile = PAPER, json_output: Json = False) -> None:
    """Show what is installed and which backends answer, and test the mock board; or test a board."""
    report = Report(as_json=json_output)
    if backend is not None:
        with open_crossbar(backend, board=load_board(board_file)) as crossbar:
            board_test(crossbar, report)
        return
    found = versions()
    report.table(
        "Installed",
        ("package", "version"),
        [*found.items(), ("source revision", git_revision() or "not a git checkout")],
    )

    backends = {}
    for address in _BACKENDS:
        try:
            with open_crossbar(address) as crossbar:
                identity, shape = crossbar.identity, crossbar.shape
                backends[address] = f"answers: {identity.kind} {identity.serial}, {shape[0]}×{shape[1]}"
        except BackendUnavailable as error:
            backends[address] = str(error)
    # A board server is somebody's board, and a serial port may be anything: neither is opened to have a look.
    backends["tcp://… serial://…"] = "a board server: xbar serve at the board, --backend with its address here"
    report.table(
        "Backends", ("address", "state"), [(a, state.partition(", which")[0]) for a, state in backends.items()]
    )

    checks = self_test()
    report.table("Mock board", ("test", "result"), [(name, "ok" if ok else "FAILED") for name, ok in checks.items()])
    flows = _flows()
    report.table("Shipped flows", ("file", "for"), list(flows.items()) or [("none", "")])
    report.finish(
        {"versions": found, "git_revision": git_revision(), "backends": backends, "self_test": checks, "flows": flows}
    )
    if not all(checks.values()):
        raise OutsideBound(f"the mock board fails: {', '.join(name for name, ok in checks.items() if not ok)}")


def board_test(crossbar: Crossbar, report: Report) -> None:
    """The board's own test, as a table. Raises `SelfTestError`."""
    passed = self_test_of(crossbar)
    identity = crossbar.identity
    report.table(f"{identity.kind} {identity.serial}", ("part", "found"), list(passed.tested.items()))
    report.say(f"board time {passed.board_time_s * 1e3:.1f} ms, {passed.cycles} clock cycles")
    report.finish({"tested": passed.tested, "cycles": passed.cycles, "board_time_s": passed.board_time_s})


def self_test() -> dict[str, bool]:
    """The mock, end to end: an ideal board multiplies, a noisy one repeats bit for bit and finds its own offsets."""
    volts = np.random.default_rng(0).uniform(-0.1, 0.1, (8, 32))
    with open_crossbar("mock", mock=MockParams.ideal(), seed=0) as crossbar:
        crossbar.apply_pulses(1.5, np.linspace(0.9, 1.3, 1024).reshape(32, 32), 1e-6)
        conductance = crossbar.read_conductance(repeats=4)
        current, expected = crossbar.mvm(volts), volts @ conductance.T
    runs = []
    for _ in range(2):
        with open_crossbar("mock", seed=7) as crossbar:
            runs.append(crossbar.measure(volts))
    with open_crossbar("mock", seed=7) as crossbar:
        findings = self_calibration(crossbar)
        calibrated = all(np.isfinite(e.half_width()).all() for e in findings.estimates.values())
        calibrated &= {"adc.zero_code", "tia.offset_v"} <= findings.estimates.keys()
    return {
        "I = G·V on an ideal board": bool(np.abs(current - expected).max() < _RELATIVE_ERROR * np.abs(expected).max()),
        "equal seeds give equal codes": bool(np.array_equal(runs[0].adc_code, runs[1].adc_code)),
        "equal programs take equal cycles": runs[0].cycles == runs[1].cycles,
        "a board finds its own offsets": bool(calibrated),
    }


def _flows() -> dict[str, str]:
    from anf.flows.checkpoint import WEIGHTS, read_record

    records = {path.name: read_record(path) for path in sorted(WEIGHTS.glob("*.safetensors"))}
    return {
        name: f"{r.action} {r.architecture.shape[0]}×{r.architecture.shape[1]} "
        + ", ".join(f"{key} = {value:g}" for key, value in r.parameters.items())
        + ("" if r.ess is None else f", ESS {r.ess:.3f}")
        for name, r in records.items()
    }
