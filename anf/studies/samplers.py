"""The samplers side by side: autocorrelation of M, |M|, M² and S, and the cost of an independent configuration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from anf.lattice.actions import Action
from anf.measurement.statistics import gamma_method
from anf.samplers import hmc
from anf.samplers.ensembles import Ensemble, HmcPlan, Runs

OBSERVABLES = ("M", "abs_M", "M2", "S")
HMC, SYMMETRY, FOURIER, CLUSTER, EVEN_HALF, FLOW = (
    "HMC", "HMC + symmetry", "HMC, Fourier", "HMC + cluster", "HMC, even half", "flow + MH"
)  # fmt: skip
SAMPLERS = (HMC, SYMMETRY, FOURIER, CLUSTER, EVEN_HALF, FLOW)
PROPOSALS = {4: 65_536, 6: 65_536, 12: 32_768, 24: 16_384, 48: 8192}
LAGS = 200
PAPER_SIDES, PAPER_LAM = (4, 24), 5.0
"""Where the paper compares autocorrelations (Fig. 3b); it doesn't say at which λ, and 5 is where HMC is slowest."""
_DRAWS = {4: 4000, 6: 3000, 12: 1500, 24: 800, 48: 400}
_LENGTHS = {4: 1.0, 6: 1.0, 12: 2.0, 24: 2.0, 48: 2.0}
_FOURIER_LENGTH = 3.0
"""Lengths of a trajectory as `anf.samplers.trajectory.tune_length` finds them at λ = 5 and at g = 1."""
_CHAINS = 64
_CLUSTERS = 3
_THIN = 3
"""Trajectories on the even half for one draw of the odd half, which takes as long as they do."""


def moves(action: Action, sampler: str) -> hmc.Moves | None:
    """What HMC is made of under this name; None if the action has no such sampler."""
    if sampler == HMC:
        return hmc.Moves(symmetry=False)
    if sampler == SYMMETRY:
        return hmc.Moves()
    if sampler == FOURIER:
        # 1/ξ² of φ⁴ in the paper's range, where ξ is one to two sites; of the wire, the curvature of a well.
        mass2 = 0.5 if action.name == "phi4" else float(action.free_spectrum()[0, 0]) + 4 * np.pi * action.site.cosine
        return hmc.Moves(fourier_mass2=mass2)
    if sampler == CLUSTER and action.name == "phi4":
        return hmc.Moves(clusters=_CLUSTERS)
    return hmc.Moves(even_half=True) if sampler == EVEN_HALF else None


def compare(actions: Sequence[Action], runs: Runs, seed: int) -> xr.Dataset:
    """τ_int ``(case, sampler, observable)`` in draws with its error, ρ(t) ``(case, sampler, observable, lag)``, CPU
    time of a draw, acceptance, and whether the chains can be believed. nan where there is no such sampler, or no flow.

    HMC at the length of trajectory that costs least, thermalisation included in its time. Chains that disagree keep
    their τ_int, which is then a lower bound, and are marked.
    """
    n = (len(actions), len(SAMPLERS))
    tau, tau_error = (np.full((*n, len(OBSERVABLES)), np.nan) for _ in range(2))
    rho = np.full((*n, len(OBSERVABLES), LAGS), np.nan)
    cpu, acceptance, length, training = (np.full(n, np.nan) for _ in range(4))
    converged = np.zeros(n, bool)
    problems = np.full(n, "", dtype=object)
    for i, action in enumerate(actions):
        for j, sampler in enumerate(SAMPLERS):
            ensemble = _run(action, sampler, runs, seed)
            if ensemble is None:
                continue
            for k, name in enumerate(OBSERVABLES):
                result = gamma_method(ensemble.chains(name))
                tau[i, j, k], tau_error[i, j, k] = result.tau_int, result.tau_int_error
                found = result.rho[:LAGS]
                rho[i, j, k, : len(found)] = found
            statistics, verdict = ensemble.statistics, ensemble.verdict()
            cpu[i, j] = statistics.get("cpu_s_per_trajectory", statistics.get("cpu_s_per_proposal", np.nan))
            cpu[i, j] *= _thin(sampler)
            acceptance[i, j] = statistics["acceptance"]
            length[i, j] = statistics.get("step_size", np.nan) * statistics.get("n_leapfrog", np.nan)
            training[i, j] = statistics.get("training_s", np.nan)
            converged[i, j], problems[i, j] = verdict.converged, "; ".join(verdict.problems)
    both = ("case", "sampler")
    return xr.Dataset(
        {
            "tau_int": ((*both, "observable"), tau, {"units": "1", "long_name": "integrated autocorrelation time"}),
            "tau_int_error": ((*both, "observable"), tau_error, {"units": "1", "long_name": "its error"}),
            "rho": ((*both, "observable", "lag"), rho, {"units": "1", "long_name": "autocorrelation function"}),
            "cpu_s": (both, cpu, {"units": "s", "long_name": "CPU time of a draw"}),
            "training_s": (both, training, {"units": "s", "long_name": "training of the flow"}),
            "acceptance": (both, acceptance, {"units": "1", "long_name": "acceptance"}),
            "length": (both, length, {"units": "1", "long_name": "length of a trajectory"}),
            "converged": (both, converged.astype(np.int8), {"units": "1", "long_name": "chains agree and are long"}),
            "problems": (both, problems.astype(str)),
        },
        coords={
            "case": [_title(action) for action in actions],
            "L": ("case", [action.shape[1] for action in actions]),
            "sampler": list(SAMPLERS),
            "observable": list(OBSERVABLES),
            "lag": np.arange(LAGS),
        },
    )


def rates(run: xr.Dataset) -> xr.DataArray:
    """Independent values per CPU second ``(case, sampler, observable)``: 1 / (2 τ_int · time of a draw); nan for chains
    that are not converged, whose τ_int is only a lower bound."""
    rate = 1.0 / (2.0 * run["tau_int"] * run["cpu_s"])
    return rate.where(run["converged"] == 1)


def break_even(run: xr.Dataset, observable: str) -> xr.DataArray:
    """Independent values ``(case,)`` from which on training has paid for itself against the best HMC; inf where the
    flow is never ahead, nan without a flow or without a record of its training time."""
    rate = rates(run).sel(observable=observable)
    flow, best = rate.sel(sampler=FLOW, drop=True), rate.drop_sel(sampler=FLOW).max("sampler")
    gain = 1.0 / best - 1.0 / flow
    training = run["training_s"].sel(sampler=FLOW, drop=True)
    return xr.where(np.isnan(gain) | np.isnan(training), np.nan, xr.where(gain > 0, training / gain, np.inf))


def _run(action: Action, sampler: str, runs: Runs, seed: int) -> Ensemble | None:
    L = action.shape[1]
    if sampler == FLOW:
        return runs.flow(action, PROPOSALS[L], seed, exactly=False)
    chosen = moves(action, sampler)
    if chosen is None:
        return None
    length = _LENGTHS[L] if chosen.fourier_mass2 is None else _FOURIER_LENGTH
    plan = HmcPlan(_CHAINS, _DRAWS[L], seed, thin=_thin(sampler), trajectory_length=length, moves=chosen)
    return runs.hmc(action, plan)


def _thin(sampler: str) -> int:
    """Trajectories for one draw."""
    return _THIN if sampler == EVEN_HALF else 1


def _title(action: Action) -> str:
    couplings = ", ".join(f"{name} = {value:g}" for name, value in action.parameters.items() if name != "m2")
    return f"{action.name} {action.shape[0]}×{action.shape[1]}, {couplings}".replace("lam", "λ")
