"""`xbar demo`: the whole story, from trained weights to observables that agree with HMC and with exact numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
import xarray as xr

from drivers.crossbar import Readout
from lab_scripts.board_choice import BoardChoice, CorrectionChoice
from lab_scripts.console import Report, with_error
from lab_scripts.exits import FileError, InputError, OutsideBound
from lab_scripts.observables import NAMES
from lab_scripts.options import (
    M2,
    Force,
    Json,
    L,
    Threads,
    Vcd,
    build_action,
    set_threads,
)
from lab_scripts.outputs import check_output
from lab_scripts.runs import RunFile, command_line
from lab_scripts.sample import ESS_PROPOSALS, TuneSteps

if TYPE_CHECKING:
    from anf.arrays.analog import Deployment
    from anf.flows.flow import Flow
    from anf.lattice.actions import Action
    from anf.measurement.comparison import Row
    from anf.samplers.hmc import HmcResult
    from anf.samplers.sampling import Samples

LAMS = (5.0, 5.5)
HMC_CHAINS = 128
MVM_VECTORS = 64


@dataclass(frozen=True)
class Point:
    """What the demonstration found at one λ."""

    theory: Action
    ess_digital: float
    ess_before: float
    drawn: Samples
    reference: HmcResult
    rows: list[Row]
    cycles: int
    board_time_s: float

    @property
    def lam(self) -> float:
        return self.theory.parameters["lam"]

    @property
    def ess(self) -> float:
        return self.drawn.proposals.ess


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Run file to write, netCDF.")] = Path("demo.nc"),
    figure: Annotated[
        Path | None, typer.Option("--figure", help="Picture to write, PNG; without it, beside --out.")
    ] = None,
    m2: M2 = -4.0,
    lams: Annotated[
        list[float] | None,
        typer.Option("--lam", help="Quartic coupling; may be given several times.", show_default="5 and 5.5"),
    ] = None,
    side: L = 4,
    configs: Annotated[
        int, typer.Option("--configs", min=100, help="Proposals through the array for each λ.")
    ] = 20_000,
    flow_files: Annotated[
        list[Path] | None,
        typer.Option("--flow", help="One flow file for each λ, on the same base; without it, the shipped ones."),
    ] = None,
    tune_steps: TuneSteps = 400,
    *,
    at: BoardChoice,
    vcd: Vcd = None,
    correction: CorrectionChoice,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Program a board once, tune LoRA for each λ, sample through the array, and compare with HMC and exact values.

    Exit code 1 if a pull is above 3 σ.
    """
    began = time.monotonic()
    report = Report(as_json=json_output)
    figure = figure or out.with_suffix(".png")
    run_file = RunFile.open(context, out, force=force)
    check_output(figure, ".png", force=force)
    theories = [build_action("phi4", side, m2=m2, lam=lam) for lam in lams or LAMS]
    board, seed = at.board, at.seed
    set_threads(threads)
    from lab_scripts.deployment import flow_on_boards
    from lab_scripts.panels.demo import draw_demo
    from lab_scripts.panels.panel import run_id
    from lab_scripts.panels.style import Origin

    flows = _flows(theories, flow_files)
    with flow_on_boards(at, [at.backend], flows[0], run_file, report, corrected=correction.load()) as programmed:
        volts = np.random.default_rng(seed).uniform(-1, 1, (MVM_VECTORS, board.shape[1])) * board.levels.input_v
        products = programmed.crossbars[0].measure(volts)
        points = [
            _sample_point(flow, theory, programmed, configs, tune_steps, seed, report)
            for flow, theory in zip(flows, theories, strict=True)
        ]
    at.rehearsed()
    _write(run_file, programmed, volts, products, points, at.board_file)
    origin = Origin(f"xbar demo, run {run_id(out)}", command_line(context), run_id(out))
    draw_demo(figure, programmed, volts, products.current_a, points, origin, force=force)

    _programming_table(report, programmed)
    for point in points:
        _observable_table(report, point)
    _cost_table(report, points)
    seconds = time.monotonic() - began
    report.say(f"{out}, {figure}; {seconds:.0f} s")
    failed = [f"{NAMES[row.name]} at λ = {point.lam:g}" for point in points for row in point.rows if not row.agrees]
    report.finish({
        "out": str(out), "figure": str(figure), "seconds": seconds, "failed": failed,
        "points": [_point_json(point) for point in points],
    })  # fmt: skip
    if failed:
        raise OutsideBound(f"more than 3 σ from HMC or from the exact value: {', '.join(failed)}")


def _flows(theories: list[Action], files: list[Path] | None) -> list[Flow]:
    """A flow for each action, all with the same base weights: the board is programmed once."""
    from lab_scripts.flows import flow_for

    if files and len(files) != len(theories):
        raise InputError(
            f"--flow: {len(files)} files for {len(theories)} values of --lam; give one for each, in the same order"
        )
    # The mixer: one array holds all of it, and LoRA carries it from one λ to the next.
    named: list[Path | str] = [*files] if files else ["mixer"] * len(theories)
    found = [flow_for(theory, path) for theory, path in zip(theories, named, strict=True)]
    first, _, record = found[0]
    for path, _, other in found[1:]:
        if other.base_digest != record.base_digest:
            raise FileError(
                f"{path}: has other base weights than {first}; fine-tune both from one base, as one array serves both"
            )
    return [flow for _, flow, _ in found]


def _sample_point(
    flow: Flow, theory: Action, programmed: Deployment, configs: int, tune_steps: int, seed: int, report: Report
) -> Point:
    from anf.arrays.tuning import Tuning
    from anf.flows.deployed import deployed
    from anf.measurement.comparison import compare
    from anf.measurement.observables import summarise
    from anf.samplers import hmc
    from anf.samplers.proposals import propose
    from anf.samplers.sampling import sample
    from lab_scripts.deployment import tune_flow, watched

    name = f"λ = {theory.parameters['lam']:g}"
    engines = programmed.crossbar()
    ess_digital = propose(flow, theory, 4 * ESS_PROPOSALS, seed=seed).ess
    with report.task(f"{name}: ESS before LoRA") as step, deployed(flow, {}, engines):
        ess_before = propose(flow, theory, ESS_PROPOSALS, seed=seed, progress=step).ess
    tuning = Tuning(steps=tune_steps) if tune_steps else None
    if tuning is not None:
        tune_flow(flow, theory, programmed.simulated, tuning, seed, report)
    watch = watched(programmed, flow, theory, tuning, seed, report)
    cycles, board_time_s = programmed.cycles, programmed.board_time_s
    with report.task(f"{name}: sampling on the array") as step, deployed(flow, {}, engines):
        drawn = sample(flow, theory, configs, seed=seed, look=watch.look, renew=watch.renew, progress=step).complete()
    cycles, board_time_s = programmed.cycles - cycles, programmed.board_time_s - board_time_s
    with report.task(f"{name}: HMC") as step:
        reference = hmc.run(theory, HMC_CHAINS, max(10, 4 * configs // HMC_CHAINS), thin=2, seed=seed, progress=step)
    with report.task(f"{name}: exact values") as step:
        step(0, 1)
        exact = _exact(theory)
    rows = compare(drawn.estimates, summarise(theory, reference.phi), exact)
    return Point(theory, ess_digital, ess_before, drawn, reference, rows, cycles, board_time_s)


def _exact(theory: Action) -> dict[str, float]:
    """Exact values by name, where the lattice is small enough for them."""
    from anf.lattice import exact

    side, couplings = theory.shape[0], theory.parameters
    return exact.phi4(side, couplings["m2"], couplings["lam"]).by_name() if side <= 4 else {}


def _programming_table(report: Report, programmed: Deployment) -> None:
    rows = []
    for i, result in enumerate(programmed.programming):
        cells, done = np.isfinite(result.g_target_s), result.converged
        error = (result.g_read_s - result.g_target_s)[done]
        rows.append((
            f"array {i}", f"{cells.sum()}", f"{done.sum()}", f"{np.median(result.cycles[done]):.0f}",
            f"{error.std() * 1e6:.2f}",
        ))  # fmt: skip
    report.table("Write-verify", ("", "cells", "programmed", "median cycles", "σ of error (µS)"), rows)


def _observable_table(report: Report, point: Point) -> None:
    report.table(
        f"φ⁴ {'×'.join(map(str, point.theory.shape))}, m² = {point.theory.parameters['m2']:g}, λ = {point.lam:g}",
        ("", "crossbar", "HMC", "exact", "crossbar − HMC", "crossbar − exact"),
        [
            (
                NAMES[r.name], with_error(r.value, r.error), with_error(r.reference, r.reference_error),
                "" if r.exact is None else f"{r.exact:.6g}", f"{r.pull_reference:+.1f} σ",
                "" if r.pull_exact is None else f"{r.pull_exact:+.1f} σ",
            )
            for r in point.rows
        ],
    )  # fmt: skip


def _cost_table(report: Report, points: list[Point]) -> None:
    def row(name: str, *values: str) -> tuple[str, ...]:
        return name, *values

    report.table(
        "Sampling on the array",
        ("", *(f"λ = {p.lam:g}" for p in points)),
        [
            row("proposals", *(f"{len(p.drawn.state)}" for p in points)),
            row("ESS, digital layers", *(f"{p.ess_digital:.3f}" for p in points)),
            row("ESS, array, before LoRA", *(f"{p.ess_before:.3f}" for p in points)),
            row("ESS, array, after LoRA", *(f"{p.ess:.3f}" for p in points)),
            row("acceptance", *(f"{p.drawn.acceptance:.3f}" for p in points)),
            row("τ_int of |M|", *(f"{p.drawn.estimates['abs_M'].tau_int:.2f}" for p in points)),
            row("τ_int of |M|, HMC", *(f"{_tau_hmc(p):.2f}" for p in points)),
            row("board time", *(f"{p.board_time_s:.0f} s" for p in points)),
            row("clock cycles", *(f"{p.cycles}" for p in points)),
        ],
    )


def _tau_hmc(point: Point) -> float:
    from anf.measurement.statistics import gamma_method

    return gamma_method(np.abs(point.reference.phi.mean((-2, -1)))).tau_int


def _point_json(point: Point) -> dict[str, Any]:
    return {
        "lam": point.lam, "proposals": len(point.drawn.state), "ess_digital": point.ess_digital,
        "ess_before_lora": point.ess_before, "ess": point.ess, "acceptance": point.drawn.acceptance,
        "cycles": point.cycles, "board_time_s": point.board_time_s,
        "observables": {
            r.name: {
                "crossbar": r.value, "error": r.error, "hmc": r.reference, "hmc_error": r.reference_error,
                "exact": r.exact, "pull_hmc": r.pull_reference, "pull_exact": r.pull_exact,
            }
            for r in point.rows
        },
    }  # fmt: skip


def _write(
    run_file: RunFile,
    programmed: Deployment,
    volts: np.ndarray,
    products: Readout,
    points: list[Point],
    board_file: Path,
) -> None:
    cells, chain, names = ("array", "sl", "bl"), ("lam", "draw"), [row.name for row in points[0].rows]
    one = {"units": "1"}

    def stack(values: list[Any]) -> np.ndarray:
        return np.stack([np.asarray(v) for v in values])

    def table(field: str) -> np.ndarray:
        return np.array(
            [[getattr(row, field) if getattr(row, field) is not None else np.nan for row in p.rows] for p in points]
        )

    run_file.write(
        xr.Dataset(
            {
                "g_target_s": (cells, stack([r.g_target_s for r in programmed.programming]), {"units": "S"}),
                "g_read_s": (cells, programmed.measured_s, {"units": "S"}),
                "write_verify_cycles": (cells, stack([r.cycles for r in programmed.programming]).astype(np.int32), one),
                "input_v": (("vector", "bl"), volts, {"units": "V"}),
                "adc_code": (("vector", "sl"), products.adc_code, one),
                "result_a": (("vector", "sl"), products.current_a, {"units": "A"}),
                "phi": (("lam", "proposal", "x", "y"), stack([p.drawn.proposals.phi for p in points]), one),
                "log_q": (("lam", "proposal"), stack([p.drawn.proposals.log_q for p in points]), one),
                "action": (("lam", "proposal"), stack([p.drawn.proposals.action for p in points]), one),
                "state": (chain, stack([p.drawn.state for p in points]).astype(np.int32), one),
                "value": (("lam", "observable"), table("value"), one),
                "error": (("lam", "observable"), table("error"), one),
                "value_hmc": (("lam", "observable"), table("reference"), one),
                "error_hmc": (("lam", "observable"), table("reference_error"), one),
                "exact": (("lam", "observable"), table("exact"), one),
                "ess_digital": (("lam",), stack([p.ess_digital for p in points]), one),
                "ess_before_lora": (("lam",), stack([p.ess_before for p in points]), one),
                "ess": (("lam",), stack([p.ess for p in points]), one),
                "acceptance": (("lam",), stack([p.drawn.acceptance for p in points]), one),
                "cycles": (
                    ("lam",),
                    stack([p.cycles for p in points]),
                    {"units": "1", "long_name": "clock cycles of the board"},
                ),
                "board_time_s": (("lam",), stack([p.board_time_s for p in points]), {"units": "s"}),
            },
            coords={"lam": [p.lam for p in points], "observable": names},
        ),
        board=board_file,
    )
