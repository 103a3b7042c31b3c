"""`xbar hmc`: hybrid Monte Carlo, the reference that every other sampler is held against."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import xarray as xr

from lab_scripts.console import Report
from lab_scripts.exits import FileError, InputError, OutsideBound, bad_input
from lab_scripts.live_events import tell_sampling
from lab_scripts.observables import observable_table, observables_json, report_mass_gap
from lab_scripts.options import (
    Force,
    Json,
    Out,
    Seed,
    TheoryChoice,
    Threads,
    action_title,
    set_threads,
)
from lab_scripts.runs import RunFile

if TYPE_CHECKING:
    from anf.lattice.actions import Action
    from anf.samplers.hmc import HmcState, Moves

ACTION, MOVES = "sampled_action", "moves"
"""Root attributes that a run which goes on must share."""


def hmc(
    context: typer.Context,
    out: Out,
    of: TheoryChoice,
    configs: Annotated[
        int, typer.Option("--configs", min=10, help="Configurations to keep, over all chains.")
    ] = 10_000,
    chains: Annotated[int, typer.Option("--chains", min=1, help="Chains side by side.")] = 32,
    thin: Annotated[int, typer.Option("--thin", min=1, help="Trajectories per configuration kept.")] = 1,
    thermalisation: Annotated[
        int, typer.Option("--thermalisation", min=0, help="Trajectories discarded at the start.")
    ] = 300,
    length: Annotated[
        float | None,
        typer.Option(
            "--length", help="Molecular-dynamics time of a trajectory.", show_default="what makes |M| cheapest"
        ),
    ] = None,
    symmetry: Annotated[
        bool, typer.Option("--symmetry/--no-symmetry", help="Sign flips, and for graphene shifts by √π, after each.")
    ] = True,
    clusters: Annotated[int, typer.Option("--clusters", min=0, help="Wolff clusters flipped after each.")] = 0,
    fourier_mass2: Annotated[
        float | None, typer.Option("--fourier-mass2", help="Fourier acceleration with this μ².", show_default="off")
    ] = None,
    even_half: Annotated[
        bool, typer.Option("--even-half", help="Move the even sites alone, the odd ones integrated out and then drawn.")
    ] = False,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Go on where this run file ends: same action and moves, nothing tuned anew."),
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Sample a lattice action by hybrid Monte Carlo: phi(chain, draw, x, y), action(chain, draw).

    A run that goes on from another gives the draws that the other would have given, had it been longer.
    Chains that disagree (R-hat), or are shorter than 50 autocorrelation times, are named, kept in the run file as
    `problems`, and exit code 1.
    """
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force)
    theory = of.build()
    set_threads(threads)
    from anf.measurement.convergence import JUDGED, diagnose
    from anf.measurement.observables import measure, summarise
    from anf.samplers import hmc as sampler
    from anf.samplers.ensembles import as_plain
    from anf.samplers.trajectory import tune_length

    moves = sampler.Moves(symmetry, clusters, fourier_mass2, even_half)
    state = None if source is None else _state(source, theory, chains, moves)
    with report.task("HMC") as step, bad_input():
        if length is None:
            length = 1.0 if state is not None else tune_length(theory, moves, seed=seed)[0]
        result = sampler.run(
            theory, chains, max(10, math.ceil(configs / chains)), thin=thin, seed=seed if state is None else None,
            thermalisation=thermalisation, trajectory_length=length, moves=moves, state=state, progress=step,
        )  # fmt: skip
    estimates = summarise(theory, result.phi)
    measured = measure(theory, result.phi)
    verdict = diagnose({name: measured[name] for name in JUDGED})
    statistics = {
        "acceptance": result.acceptance,
        "exp_minus_dh": result.exp_minus_dh,
        "step_size": result.step_size,
        "n_leapfrog": result.n_leapfrog,
        "problems": "; ".join(verdict.problems),
        MOVES: json.dumps(as_plain(moves)),
        ACTION: json.dumps(_named(theory)),
    }
    run_file.write(
        xr.Dataset(
            {
                "phi": (("chain", "draw", "x", "y"), result.phi, {"units": "1", "long_name": "field"}),
                "action": (("chain", "draw"), result.action, {"units": "1", "long_name": "S(phi)"}),
                "rng_state": (("byte",), result.state.rng_state, {"long_name": "generator at the end, to go on"}),
            },
            attrs=statistics,
        )
    )
    tell_sampling(configurations=result.action.size, acceptance=result.acceptance, tau_int=estimates["abs_M"].tau_int)
    observable_table(
        report,
        f"{action_title(theory)}: {result.action.size} configurations, {chains} chains",
        theory,
        estimates,
    )
    gap = report_mass_gap(report, result.phi)
    report.say(
        f"acceptance {result.acceptance:.3f}, ⟨exp(−ΔH)⟩ {result.exp_minus_dh:.4f}, "
        f"{result.n_leapfrog} steps of {result.step_size:.3f}; {out}"
    )
    report.finish({
        "out": str(out), **statistics, "observables": observables_json(estimates), **gap,
        "r_hat": verdict.r_hat, "autocorrelation_times": verdict.taus,
    })  # fmt: skip
    if not verdict.converged:
        raise OutsideBound(f"the chains cannot be trusted: {statistics['problems']}")


def _named(theory: Action) -> dict[str, Any]:
    return {"name": theory.name, "shape": list(theory.shape), **theory.parameters}


def _state(source: Path, theory: Action, chains: int, moves: Moves) -> HmcState:
    """Where the run in `source` ended. Raises `FileError` if it is no run of HMC, `InputError` if it is of another
    action, with other moves, or of another number of chains."""
    from anf.samplers.ensembles import as_plain
    from anf.samplers.hmc import HmcState

    try:
        run = xr.load_dataset(source, engine="h5netcdf")
    except OSError as error:
        raise FileError(f"--from {source}: not a run file: {error.strerror or error}") from error
    if "rng_state" not in run:
        raise FileError(f"--from {source}: is not a run of `xbar hmc`, or of one that could not be gone on with")
    asked = {ACTION: _named(theory), MOVES: as_plain(moves)}
    for name, value in asked.items():
        if (found := json.loads(run.attrs[name])) != value:
            raise InputError(f"--from {source}: is of {name} {found}; asked for is {value}")
    if run.sizes["chain"] != chains:
        raise InputError(f"--from {source}: has {run.sizes['chain']} chains; asked for are {chains}: give --chains")
    return HmcState(
        run["phi"].to_numpy()[:, -1], float(run.attrs["step_size"]), int(run.attrs["n_leapfrog"]),
        run["rng_state"].to_numpy(),
    )  # fmt: skip
