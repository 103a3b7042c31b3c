"""`xbar calibrate`: what a board gets wrong, measured, into a record that corrects it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from calibration.board_calibration.bench import bench_calibration
from calibration.board_calibration.notes import Notebook
from calibration.board_calibration.probes import Bench
from calibration.board_calibration.products import (
    FULL_SCALE_LIMIT,
    NOISE_LIMIT,
    ProductCheck,
    compare,
    full_scale_a,
    random_products,
)
from calibration.board_calibration.reference import reference_calibration
from calibration.board_calibration.results import Findings
from calibration.board_calibration.self_calibration import self_calibration
from drivers.calibration_record import CalibrationRecord, InstrumentUsed
from drivers.connect import mock_bench
from drivers.crossbar import Crossbar
from drivers.instruments.dmm import open_dmm
from drivers.instruments.smu import open_smu
from firmware_bridge.mock.instruments import MockBench
from lab_scripts.bench import MOCK, addresses
from lab_scripts.board_choice import BoardChoice, CorrectionChoice, expanded
from lab_scripts.console import Report
from lab_scripts.exits import InputError, OutsideBound
from lab_scripts.hands import Hands
from lab_scripts.live_events import tell_board, tell_products
from lab_scripts.options import (
    Force,
    Json,
)
from lab_scripts.runs import NOTEBOOK_FILE, RunFile

RecordOut = Annotated[Path, typer.Option("--out", help="Calibration record to write: NAME.json.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="Of the board, K, for the record.")]
ValidDays = Annotated[float, typer.Option("--valid-days", min=0.01, help="How long the record holds, days.")]

calibrate = typer.Typer(
    no_args_is_help=True, help="Measure what a board gets wrong, with uncertainties; the record corrects it."
)


@calibrate.command(name="self")
@expanded
def self_(
    context: typer.Context,
    out: RecordOut,
    *,
    at: BoardChoice,
    temperature: Temperature = None,
    valid_days: ValidDays = 90.0,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """What the board can know without instruments: offsets, ratios of DAC gains, linearity, driver resistances."""
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force, suffix=".json")
    with _begun(at, report, run_file) as crossbar:
        with report.task("self-calibration") as step:
            findings = self_calibration(crossbar, step)
        _finish(at, report, crossbar, findings, ("self",), (), run_file, temperature, valid_days)


@calibrate.command()
@expanded
def reference(
    context: typer.Context,
    ohm: Annotated[float, typer.Option("--ohm", help="Value of the resistor, Ω.")],
    uncertainty: Annotated[float, typer.Option("--uncertainty", help="Its expanded uncertainty (k = 2), Ω.")],
    out: RecordOut,
    *,
    at: BoardChoice,
    temperature: Temperature = None,
    valid_days: ValidDays = 90.0,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """The same, and amperes per code, with a resistor that you hang at each source line in turn."""
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force, suffix=".json")
    with ExitStack() as stack:
        crossbar = stack.enter_context(_begun(at, report, run_file))
        resistor: MockBench | Hands = Hands()
        notes = None
        if at.backend == MOCK or at.dry_run:
            resistor = stack.enter_context(mock_bench(crossbar, seed=at.seed))
        else:
            notes = stack.enter_context(_notebook(run_file, report, crossbar, f"a resistor of {ohm:g} Ω"))
        with report.task("calibration with a resistor") as step:
            findings = reference_calibration(crossbar, resistor, ohm, uncertainty, step, notes)
        _finish(at, report, crossbar, findings, ("self", "reference"), (), run_file, temperature, valid_days)


@calibrate.command()
@expanded
def bench(
    context: typer.Context,
    out: RecordOut,
    dmm: Annotated[
        str | None, typer.Option("--dmm", help="VISA address of the multimeter; mock: that of the mock's bench.")
    ] = None,
    smu: Annotated[
        str | None,
        typer.Option("--smu", help="VISA address of the source-measure unit; mock: that of the mock's bench."),
    ] = None,
    *,
    at: BoardChoice,
    temperature: Temperature = None,
    valid_days: ValidDays = 90.0,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Everything in volts and amperes: you move probes of a multimeter and a source-measure unit as you are asked."""
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force, suffix=".json")
    named = addresses(at.board)
    where = {"dmm": dmm or named.get("dmm"), "smu": smu or named.get("smu")}
    for role, address in where.items():
        if address is None:
            raise InputError(
                f"--{role}: give a VISA address, here or in section instruments of {at.board_file}; or mock"
            )
    if (where["dmm"] == MOCK) != (where["smu"] == MOCK):
        raise InputError("--dmm, --smu: the mock's bench has both instruments or none; give mock for both")
    with ExitStack() as stack:
        crossbar = stack.enter_context(_begun(at, report, run_file))
        probes: MockBench | Hands = Hands()
        if at.dry_run or where["dmm"] == MOCK:
            probes = there = stack.enter_context(mock_bench(crossbar, seed=at.seed))
            where = {role: there.address(role) for role in where}
        meter = stack.enter_context(open_dmm(str(where["dmm"])))
        source = stack.enter_context(open_smu(str(where["smu"]), limits=at.board.instruments))
        on_bench = Bench(meter, source, probes)
        notes = None
        if isinstance(probes, Hands):
            who = ", ".join(f"{i.maker} {i.model} {i.serial}" for i in on_bench.used())
            notes = stack.enter_context(_notebook(run_file, report, crossbar, who))
        with report.task("calibration on a bench") as step:
            findings = bench_calibration(crossbar, on_bench, step, notes)
        _finish(at, report, crossbar, findings, ("bench",), on_bench.used(), run_file, temperature, valid_days)


@calibrate.command()
@expanded
def show(record: Annotated[Path, typer.Argument(help="Calibration record, .json.")], json_output: Json = False) -> None:
    """Show a record: whose it is, until when it holds, every quantity with its uncertainty and what it rests on."""
    report = Report(as_json=json_output)
    _show(report, CalibrationRecord.load(record), {})


@calibrate.command()
@expanded
def mvm(
    *,
    at: BoardChoice,
    correction: CorrectionChoice,
    json_output: Json = False,
) -> None:
    """Products against the conductances that the board reads, without a record and with it; exit code 1 if too far off.

    Gains that are wrong alike in reads and products do not show here.
    """
    report = Report(as_json=json_output)
    checks = {}
    with at.open(report, corrected=correction.load()) as crossbar:
        record = crossbar.calibration
        for name, each in (("nothing corrected", None), ("corrected", record)):
            if name == "corrected" and each is None:
                continue
            crossbar.correct_by(each)
            checks[name] = _checked(crossbar, name, at.seed, report)
    at.rehearsed()
    _product_table(report, checks)
    report.say(f"Bounds: {NOISE_LIMIT:g} × noise of one conversion, {100 * FULL_SCALE_LIMIT:g} % of full scale.")
    last = list(checks.values())[-1]
    report.finish(_plain(checks))
    if not last.passed:
        raise OutsideBound(
            f"products are off by {last.error_a * 1e9:.0f} nA rms, noise is {last.noise_a * 1e9:.0f} nA; calibrate "
            "anew, with a bench if there is one"
        )


def _checked(crossbar: Crossbar, name: str, seed: int, report: Report) -> ProductCheck:
    """Products of the board as it is corrected now."""
    with report.task(f"Products, {name}") as step:
        current_a, expected_a = random_products(crossbar, seed, step)
    tell_products(name, np.broadcast_to(expected_a, current_a.shape), current_a)
    return compare(current_a, expected_a, full_scale_a(crossbar.board))


def _plain(checks: Mapping[str, ProductCheck]) -> dict[str, dict[str, float | bool]]:
    return {name: {**vars(c), "passed": c.passed} for name, c in checks.items()}


def _product_table(report: Report, checks: Mapping[str, ProductCheck]) -> None:
    report.table(
        "Products against conductances that were read",
        ("", "rms error (nA)", "noise (nA)", "error / noise", "error / full scale", ""),
        [
            (
                name, f"{c.error_a * 1e9:.1f}", f"{c.noise_a * 1e9:.1f}", f"{c.error_a / c.noise_a:.2f}",
                f"{100 * c.error_a / c.full_scale_a:.3f} %", "ok" if c.passed else "beyond",
            )
            for name, c in checks.items()
        ],
    )  # fmt: skip


def _begun(at: BoardChoice, report: Report, run_file: RunFile) -> Crossbar:
    """The board; from here on there is something to resume."""
    if not at.dry_run:
        run_file.begin()
    return at.open(report)


@contextmanager
def _notebook(run_file: RunFile, report: Report, crossbar: Crossbar, means: str) -> Iterator[Notebook]:
    """Where what a person does is noted. The mock's bench costs nobody anything, and begins anew with its process."""
    identity = crossbar.identity
    notebook = Notebook(run_file.begin() / NOTEBOOK_FILE, f"{identity.kind} {identity.serial}, with {means}")
    if notebook.count:
        report.say(f"{notebook.count} measurements are noted already")
    with closing(notebook):
        yield notebook


def _finish(
    at: BoardChoice,
    report: Report,
    crossbar: Crossbar,
    findings: Findings,
    methods: tuple[str, ...],
    instruments: tuple[InstrumentUsed, ...],
    run_file: RunFile,
    temperature: float | None,
    valid_days: float,
) -> None:
    record = findings.record(
        crossbar,
        methods,
        instruments=instruments,
        temperature_k=temperature,
        valid_for=datetime.timedelta(days=valid_days),
    )
    checks = {}
    if methods == ("self",):
        # With a resistor or an instrument at a line, products are not the array's.
        for name, each in (("nothing corrected", None), ("corrected", record)):
            crossbar.correct_by(each)
            checks[name] = _checked(crossbar, name, at.seed, report)
        tell_board(crossbar, at.backend)
    at.rehearsed()
    record.save(run_file.path)
    run_file.finished()
    more = {"out": str(run_file.path), "board_time_s": crossbar.board_time_s, "products": _plain(checks)}
    _show(report, record, more)
    if checks:
        _product_table(report, checks)
    report.say(f"{run_file.path}; {crossbar.board_time_s:.2f} s of board time")


def _show(report: Report, record: CalibrationRecord, more: dict[str, Any]) -> None:
    report.table(
        f"{record.kind} board {record.serial} ({record.board}), {record.created:%Y-%m-%d %H:%M} UTC, "
        f"valid until {record.valid_until:%Y-%m-%d}",
        ("quantity", "n", "mean", "U (95 %)", "rests on"),
        [
            (
                name, str(len(e.value)), _number(e.value.mean(), e.unit), _number(np.median(e.half_width()), e.unit, 2),
                e.rests_on,
            )
            for name, e in record.estimates.items()
        ],
    )  # fmt: skip
    for name, why in record.not_identified.items():
        report.say(f"{name}: {why}")
    report.finish(
        {
            "serial": record.serial,
            "valid_until": record.valid_until.isoformat(),
            "quantities": {
                name: {
                    "unit": e.unit,
                    "value": e.value.tolist(),
                    "u95": e.half_width().tolist(),
                    "rests_on": e.rests_on,
                }
                for name, e in record.estimates.items()
            },
            "not_identified": record.not_identified,
            **more,
        }
    )


def _number(value: float, unit: str, digits: int = 6) -> str:
    return f"{value:.{digits}g}" + ("" if unit == "1" else f" {unit}")
