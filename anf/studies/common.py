"""What the studies share: one observable of one sampler as variables of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from anf.lattice.actions import Action
from anf.measurement.observables import Estimate
from anf.samplers.ensembles import Ensemble, HmcPlan, Runs

HMC, FLOW, REWEIGHTED = "HMC", "flow + MH", "flow, reweighted"
KINDS = (HMC, FLOW, REWEIGHTED)
_CHAINS = 64


def hmc_plan(action: Action, draws: int, seed: int) -> HmcPlan:
    """HMC with the symmetry moves: `draws` of each of 64 chains, every second trajectory kept."""
    return HmcPlan(_CHAINS, draws, seed, thin=2)


def both(
    actions: Sequence[Action], runs: Runs, seed: int, *, draws: Mapping[int, int],
    proposals: Mapping[int, int],
) -> list[tuple[Ensemble, Ensemble | None]]:  # fmt: skip
    """HMC and, where one exists whose chains are converged, a flow, for each action; draws, proposals:
    by the side Lx."""
    found = []
    for action in actions:
        L = action.shape[1]
        drawn = runs.flow(action, proposals[L], seed, exactly=False) if action.shape == (L, L) else None
        if drawn is not None and not drawn.verdict().converged:
            drawn = None  # a flow too far from its couplings: a number from it would be worse than none
        found.append((runs.hmc(action, hmc_plan(action, draws[L], seed)), drawn))
    return found


def estimates(action: Action, pair: tuple[Ensemble, Ensemble | None]) -> dict[str, dict[str, Estimate]]:
    """Estimates by HMC and, with a flow, along its chain and by its weights."""
    reference, drawn = pair
    rows = {HMC: reference.estimates(action)}
    if drawn is not None:
        rows |= {FLOW: drawn.estimates(action), REWEIGHTED: drawn.reweighted(action)}
    return rows


def table(
    rows: Sequence[Mapping[str, Mapping[str, Estimate]]], names: Mapping[str, str], shape: tuple[int, ...],
    dims: tuple[str, ...],
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:  # fmt: skip
    """Values and errors of observables (name → what it is) for a grid of actions: ``(…dims, kind)``, nan for none."""
    variables = {}
    for name, text in names.items():
        values = np.full((len(rows), len(KINDS), 2), np.nan)
        for i, row in enumerate(rows):
            for j, kind in enumerate(KINDS):
                if kind in row:
                    values[i, j] = row[kind][name].value, row[kind][name].error
        grid = values.reshape(*shape, len(KINDS), 2)
        variables[name] = ((*dims, "kind"), grid[..., 0], {"units": "1", "long_name": text})
        variables[f"{name}_error"] = ((*dims, "kind"), grid[..., 1], {"units": "1", "long_name": f"error of {text}"})
    return variables


def verdicts(
    pairs: Sequence[tuple[Ensemble, Ensemble | None]], shape: tuple[int, ...], dims: tuple[str, ...]
) -> dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, str]]]:
    """What is wrong with the chains of HMC and of the flow ``(…dims, chains)``, and the flow's ESS and acceptance."""
    problems = np.full((len(pairs), 2), "", dtype=object)
    ess, acceptance = np.full(len(pairs), np.nan), np.full(len(pairs), np.nan)
    for i, pair in enumerate(pairs):
        for j, ensemble in enumerate(pair):
            if ensemble is not None:
                problems[i, j] = "; ".join(ensemble.verdict().problems)
        if (drawn := pair[1]) is not None:
            ess[i], acceptance[i] = drawn.statistics["ess"], drawn.statistics["acceptance"]
    return {
        "problems": ((*dims, "chains"), problems.astype(str).reshape(*shape, 2), {}),
        "ess": (dims, ess.reshape(shape), {"units": "1", "long_name": "effective sample size per proposal"}),
        "acceptance": (dims, acceptance.reshape(shape), {"units": "1", "long_name": "acceptance"}),
    }


def pulls(run: xr.Dataset, name: str, kind: str = FLOW) -> xr.DataArray:
    """(flow − HMC) in standard deviations of the difference."""
    value, error = run[name], run[f"{name}_error"]
    difference = value.sel(kind=kind, drop=True) - value.sel(kind=HMC, drop=True)
    return difference / np.hypot(error.sel(kind=kind, drop=True), error.sel(kind=HMC, drop=True))
