"""`xbar sample`: configurations from a flow whose base layers are digital, modelled, or on a board."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
import xarray as xr

from firmware_bridge.errors import BoardError
from lab_scripts.board_choice import BoardsChoice, CorrectionChoice
from lab_scripts.console import Report
from lab_scripts.exits import InputError, OutsideBound, bad_input
from lab_scripts.live_events import tell_sampling
from lab_scripts.observables import observable_table, observables_json, report_mass_gap
from lab_scripts.options import (
    UNCORRECTED,
    FlowChoice,
    Force,
    Json,
    Out,
    TheoryChoice,
    Threads,
    Vcd,
    action_title,
    set_threads,
)
from lab_scripts.runs import INCOMPLETE, RunFile
from lab_scripts.settings import forget_settings

if TYPE_CHECKING:
    from anf.arrays.analog import Transcript
    from anf.arrays.drive import Drive
    from anf.flows.flow import Flow
    from anf.flows.layers import Engine
    from anf.samplers.sampling import Samples


class Layers(str, Enum):
    """What multiplies in the base layers."""

    digital = "digital"
    simulated = "simulated"
    crossbar = "crossbar"


TuneSteps = Annotated[
    int,
    typer.Option(
        "--tune-steps", min=0, help="Steps of tuning the digital part against the arrays; 0 leaves it as it is."
    ),
]
CALIBRATION_DRAWS = 1024
"""Configurations that set the ranges of --drive-quantile."""
ESS_PROPOSALS = 2048
"""Proposals for the ESS before tuning: good to 1 % at an ESS of 0.9, and a small share of a run."""


def sample(
    context: typer.Context,
    out: Out,
    of: TheoryChoice,
    layers: Annotated[Layers, typer.Option("--layers", help="What multiplies in the base layers.")] = Layers.digital,
    configs: Annotated[int, typer.Option("--configs", min=10, help="Proposals to draw.")] = 10_000,
    flow_choice: FlowChoice = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", help="With --layers crossbar: plan of `xbar place` to follow.")
    ] = None,
    survey: Annotated[
        bool,
        typer.Option(
            "--survey",
            help="With --layers crossbar: look for faulty cells first; avoid them, or add digitally what they lack.",
        ),
    ] = False,
    rest_s: Annotated[
        float,
        typer.Option(
            "--rest",
            min=0,
            help="With --layers crossbar: seconds between programming and the read-back that is tuned against.",
        ),
    ] = 0.0,
    drive_quantile: Annotated[
        float | None,
        typer.Option(
            "--drive-quantile",
            help="Drive a layer at one full scale, this quantile of the largest inputs of vectors; clips are counted.",
            show_default="each vector at its own",
        ),
    ] = None,
    tune_steps: TuneSteps = 400,
    time_share: Annotated[
        bool,
        typer.Option(
            "--time-share",
            help="With more arrays than boards, fill boards in turn, in each step, for all proposals at once.",
        ),
    ] = False,
    *,
    at: BoardsChoice,
    vcd: Vcd = None,
    correction: CorrectionChoice,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Propose with a flow, accept by Metropolis-Hastings: phi(proposal, x, y), log_q, action, and state(draw).

    With --layers simulated or crossbar the digital part is first tuned to the arrays as they came out; the ESS is shown
    before and after. The run watches its identities and its boards: where arrays have moved it reads them again, tunes,
    and begins another chain (segment(proposal)); at a fault it ends there, and what was drawn before is kept.
    """
    if layers is not Layers.crossbar:
        # What is set is for boards, and none is opened.
        forget_settings(context, "calibration", "mock_file", "backends")
    report = Report(as_json=json_output)
    if plan is not None and layers is not Layers.crossbar:
        raise InputError(f"--plan {plan}: is for --layers crossbar, not {layers.value}")
    if survey and (plan is not None or layers is not Layers.crossbar):
        raise InputError("--survey: is for --layers crossbar without --plan, which says where cells are avoided")
    if (context.params["backends"] or time_share or rest_s) and layers is not Layers.crossbar:
        raise InputError(
            f"--backend, --time-share, --rest: --layers {layers.value} opens no board; use --layers crossbar"
        )
    run_file = RunFile.open(context, out, force=force)
    seed, calibration = at.seed, context.params["calibration"]
    if at.dry_run and layers is not Layers.crossbar:
        raise InputError(f"--dry-run: --layers {layers.value} opens no board; use --layers crossbar")
    if context.params["mock_file"] is not None and layers is not Layers.crossbar:
        raise InputError(f"--mock {at.mock_file}: --layers {layers.value} opens no board; use --layers crossbar")
    if vcd is not None and layers is not Layers.crossbar:
        raise InputError(f"--vcd {vcd}: --layers {layers.value} opens no board; use --layers crossbar")
    if calibration is not None and layers is not Layers.crossbar:
        raise InputError(f"--calibration {calibration}: --layers {layers.value} opens no board; use --layers crossbar")
    corrected = correction.load() if layers is Layers.crossbar else UNCORRECTED
    theory = of.build()
    board = at.board
    set_threads(threads)
    import torch

    from anf.arrays.array_model import model_arrays
    from anf.arrays.simulated import ArrayNoise
    from anf.arrays.tuning import Tuning
    from anf.flows.checkpoint import shipped
    from anf.flows.deployed import deployed
    from anf.samplers.proposals import BATCH, measure_ess_forward, propose
    from anf.samplers.sampling import sample as draw
    from lab_scripts.deployment import flow_on_boards, tune_flow, watched
    from lab_scripts.flows import flow_for
    from lab_scripts.live_sampling import SamplerTold, told_segment

    chosen: str | Path | None = flow_choice
    if chosen is None and layers is not Layers.digital:
        chosen = shipped(theory, "mixer", smallest=True)  # up to 6 × 6 it fits into one array
    path, flow, record = flow_for(theory, chosen)
    statistics: dict[str, Any] = {
        "layers": layers.value, "flow": path.name, "flow_base_sha256": record.base_digest,
        # Forward on digital layers only: a board that is read again gives another density of the same configuration.
        "ess_forward_digital": measure_ess_forward(flow, theory, seed=seed),
    }  # fmt: skip
    drives = _drives(flow, drive_quantile, seed)
    tuning = Tuning(steps=tune_steps) if tune_steps else None
    batch, watch, sampler = BATCH, None, f"flow, {layers.value} layers"
    with ExitStack() as stack:
        engines: Mapping[str, Engine]
        if layers is not Layers.digital:
            generator = torch.Generator().manual_seed(seed)
            if layers is Layers.simulated:
                modelled = model_arrays(flow, board, seed=seed, drives=drives).simulated
                engines = modelled(ArrayNoise(), generator)
            else:
                programmed = stack.enter_context(
                    flow_on_boards(
                        at,
                        at.backends or [],
                        flow,
                        run_file,
                        report,
                        plan=plan,
                        surveyed=survey,
                        time_shared=time_share,
                        drives=drives,
                        corrected=corrected,
                    )
                )
                if rest_s:
                    fresh = programmed
                    for crossbar in programmed.crossbars:
                        crossbar.wait(rest_s)
                    programmed = fresh.read_again()
                    statistics["rested_drift_s"] = float(fresh.drift_s(programmed).max())
                modelled, engines = programmed.simulated, programmed.crossbar()
                if programmed.time_shared:
                    batch = max(configs, ESS_PROPOSALS)  # one filling for all proposals (docs/decisions/0087)
                statistics |= {
                    "boards": len(programmed.crossbars),
                    "arrays": programmed.placement.n_arrays,
                    "weights_patched": programmed.patched,
                    "cells_failed": sum(int((r.failure > 0).sum()) for r in programmed.programming),
                }
            if tuning is not None:
                with report.task("ESS before tuning") as step, deployed(flow, {}, engines):
                    untuned = propose(flow, theory, ESS_PROPOSALS, seed=seed, batch=batch, progress=step)
                    statistics["ess_before_tuning"] = untuned.ess
                tell_sampling(ess_before_tuning=untuned.ess)
                tune_flow(flow, theory, modelled, tuning, seed, report)
            if layers is Layers.crossbar:
                at_once = programmed.read_again()
                statistics["drift_s"] = float(programmed.drift_s(at_once).max())
                programmed.refuse_drifted(at_once)
                watch = watched(at_once, flow, theory, tuning, seed, report)
                cycles, board_time_s = programmed.cycles, programmed.board_time_s
                # Engines whose transcript begins here.
                engines = sampling = programmed.crossbar()
            stack.enter_context(deployed(flow, {}, engines))
        for drive in drives.values():
            drive.clipped = drive.driven = 0
        with report.task("Sampling") as step:
            looks = {} if watch is None else {"look": watch.look, "renew": watch.renew}
            told = SamplerTold(theory, sampler)
            drawn = draw(flow, theory, configs, seed=seed, batch=batch, progress=step, on_looker=told, **looks)
        if drives:
            statistics["clipped_fraction"] = json.dumps({name: d.clipped_fraction for name, d in drives.items()})
        if watch is not None:
            statistics |= {"looks": watch.looks, "renewals": watch.renewals, "watch_cycles": watch.cycles}
            statistics |= {"cycles": programmed.cycles - cycles, "board_time_s": programmed.board_time_s - board_time_s}
            statistics |= {"programming_cycles": cycles, "programming_board_time_s": board_time_s}
            transcripts = {name: engine.transcript for name, engine in sampling.items()}
            statistics["transcript"] = json.dumps({name: asdict(spent) for name, spent in transcripts.items()})
            statistics["cells_j"] = sum(spent.cells_j for spent in transcripts.values())
    statistics |= {
        "ess": drawn.proposals.ess,
        "acceptance": drawn.acceptance,
        "proposals_not_finite": drawn.n_nonfinite,
        "problems": "; ".join(drawn.problems),
        "segments": json.dumps([told_segment(k, s) for k, s in enumerate(drawn.segments)]),
    }
    if drawn.stopped is not None:
        statistics[INCOMPLETE] = str(drawn.stopped)
    run_file.write(dataset(drawn, statistics), board=at.board_file if layers is not Layers.digital else None)

    observable_table(
        report,
        f"{action_title(theory)}: {len(drawn.state)} proposals, {layers.value} layers",
        theory,
        drawn.estimates,
        drawn.reweighted,
        sampler=sampler,
    )
    tell_sampling(
        proposals=len(drawn.state),
        ess=statistics["ess"],
        acceptance=drawn.acceptance,
        ess_before_tuning=statistics.get("ess_before_tuning"),
        tau_int=drawn.estimates["abs_M"].tau_int,
    )
    for number, segment in enumerate(drawn.segments[:-1]):
        report.say(
            f"segment {number} ended after {segment.kept} proposals, {segment.dropped} more were dropped: "
            f"{segment.stopped}; the arrays were read again, and a new chain begun"
        )
    if drawn.problems:
        report.say(f"the chain is not to be trusted yet: {statistics['problems']}")
    gap = report_mass_gap(report, drawn.proposals.phi[drawn.state])
    before = "" if "ess_before_tuning" not in statistics else f" (before tuning {statistics['ess_before_tuning']:.3f})"
    report.say(
        f"ESS {statistics['ess']:.4f}{before}, forward (digital) {statistics['ess_forward_digital']:.4f}, "
        f"acceptance {drawn.acceptance:.4f}"
    )
    for name, drive in drives.items():
        report.say(f"{name}: {drive.clipped} of {drive.driven} inputs clipped ({drive.clipped_fraction:.2%})")
    if layers is Layers.crossbar:
        _transcript_table(report, transcripts, configs, board.timing.period_s)
        report.say(
            f"arrays {statistics['arrays']} in {statistics['boards']} boards, board time "
            f"{statistics['board_time_s']:.2f} s, {statistics['cycles']} clock cycles; changed since read back by "
            f"{statistics['drift_s'] * 1e6:.2f} µS rms"
        )
    report.say(str(out))
    report.finish(
        {
            "out": str(out),
            **statistics,
            "observables": observables_json(drawn.estimates),
            "reweighted": observables_json(drawn.reweighted),
            **gap,
        }
    )
    if drawn.stopped is not None:
        kind = BoardError if isinstance(drawn.stopped, BoardError) else OutsideBound
        raise kind(
            f"sampling ended after {len(drawn.state)} of {configs} proposals, which {out} keeps: {drawn.stopped}"
        ) from drawn.stopped


def _transcript_table(report: Report, transcripts: dict[str, Transcript], configs: int, period_s: float) -> None:
    """What the boards executed for each layer, per configuration."""
    rows = [
        (
            name, f"{spent.drives / configs:.4g}", f"{spent.cycles / configs:.5g}",
            f"{spent.cycles * period_s / configs * 1e3:.4g}",
            f"{spent.filling_cycles * period_s / configs * 1e3:.4g}", f"{spent.cells_j / configs * 1e9:.4g}",
        )
        for name, spent in transcripts.items()
    ]  # fmt: skip
    columns = ("layer", "drives", "cycles", "board time (ms)", "filling boards (ms)", "cells (nJ)")
    report.table("Executed per configuration", columns, rows)


def _drives(flow: Flow, quantile: float | None, seed: int) -> dict[str, Drive]:
    """Fixed ranges, or none: every vector is then driven at its own."""
    import torch

    from anf.arrays.tuning import calibrated_drives

    if quantile is None:
        return {}
    with bad_input():
        return calibrated_drives(flow, CALIBRATION_DRAWS, torch.Generator().manual_seed(seed), quantile=quantile)


def dataset(drawn: Samples, statistics: dict[str, Any]) -> xr.Dataset:
    """The variables of a sampling run."""
    return xr.Dataset(
        {
            "phi": (("proposal", "x", "y"), drawn.proposals.phi, {"units": "1", "long_name": "field"}),
            "log_q": (
                ("proposal",),
                drawn.proposals.log_q,
                {"units": "1", "long_name": "log density of the whole configuration, given its noise"},
            ),
            "action": (("proposal",), drawn.proposals.action, {"units": "1", "long_name": "S(phi)"}),
            "state": (
                ("draw",),
                drawn.state.astype(np.int32),
                {"units": "1", "long_name": "proposal that the Markov chain is in"},
            ),
            "segment": (
                ("proposal",),
                drawn.segment.astype(np.int32),
                {"units": "1", "long_name": "stretch with the arrays as they were, with a chain of its own"},
            ),
        },
        attrs=statistics,
    )
