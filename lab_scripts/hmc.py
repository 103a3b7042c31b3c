"""`xbar hmc`: hybrid Monte Carlo, the reference that every other sampler is held against."""

from __future__ import annotations

import math
from typing import Annotated

import typer
import xarray as xr

from lab_scripts.console import Report
from lab_scripts.exits import OutsideBound, bad_input
from lab_scripts.observables import observable_table, observables_json, report_mass_gap
from lab_scripts.options import (
    M2,
    ActionName,
    Force,
    G,
    Json,
    L,
    Lam,
    Out,
    Seed,
    Threads,
    TimeSites,
    U,
    action_title,
    build_action,
    set_threads,
)
from lab_scripts.runs import RunFile

JUDGED = ("M", "abs_M", "S")
"""Observables whose chains are looked at: the slowest mode, its size, and all of the field."""


def hmc(
    context: typer.Context,
    out: Out,
    action: ActionName = "phi4",
    m2: M2 = -4.0,
    lam: Lam = 5.0,
    g: G = 1.0,
    u: U = 0.5,
    side: L = 4,
    time_sites: TimeSites = None,
    configs: Annotated[
        int, typer.Option("--configs", min=10, help="Configurations to keep, over all chains.")
    ] = 10_000,
    chains: Annotated[int, typer.Option("--chains", min=1, help="Chains side by side.")] = 32,
    thin: Annotated[int, typer.Option("--thin", min=1, help="Trajectories per configuration kept.")] = 1,
    thermalisation: Annotated[
        int, typer.Option("--thermalisation", min=0, help="Trajectories discarded at the start.")
    ] = 300,
    length: Annotated[float, typer.Option("--length", help="Molecular-dynamics time of a trajectory.")] = 2.0,
    symmetry: Annotated[
        bool, typer.Option("--symmetry/--no-symmetry", help="Sign flips, and for graphene shifts by √π, after each.")
    ] = True,
    clusters: Annotated[int, typer.Option("--clusters", min=0, help="Wolff clusters flipped after each.")] = 0,
    fourier_mass2: Annotated[
        float | None, typer.Option("--fourier-mass2", help="Fourier acceleration with this μ².", show_default="off")
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Sample a lattice action by hybrid Monte Carlo: phi(chain, draw, x, y), action(chain, draw).

    Chains that disagree (R-hat), or are shorter than 50 autocorrelation times, are named, kept in the run file as
    `problems`, and exit code 1.
    """
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force)
    theory = build_action(action, side, time_sites=time_sites, m2=m2, lam=lam, g=g, u=u)
    set_threads(threads)
    from anf import hmc as sampler
    from anf.convergence import diagnose
    from anf.observables import measure, summarise

    with report.task("HMC") as step, bad_input():
        result = sampler.run(
            theory, chains, max(10, math.ceil(configs / chains)), thin=thin, seed=seed, thermalisation=thermalisation,
            trajectory_length=length, moves=sampler.Moves(symmetry, clusters, fourier_mass2), progress=step,
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
    }
    run_file.write(
        xr.Dataset(
            {
                "phi": (("chain", "draw", "x", "y"), result.phi, {"units": "1", "long_name": "field"}),
                "action": (("chain", "draw"), result.action, {"units": "1", "long_name": "S(phi)"}),
            },
            attrs=statistics,
        )
    )
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
