"""φ⁴: Ising energy and correlation length along λ, and how the error of χ₂ falls with the number of configurations."""

from __future__ import annotations

import numpy as np
import xarray as xr

from anf.lattice.actions import Phi4
from anf.measurement.statistics import gamma_method
from anf.samplers.ensembles import HmcPlan, Runs
from anf.studies.common import FLOW, HMC, KINDS, both, estimates, table, verdicts

SIDES = (4, 6, 12, 24)
LAMBDAS = (5.0, 5.25, 5.5, 5.75, 6.0)
_DRAWS = {4: 1000, 6: 1000, 12: 800, 24: 500}
_PROPOSALS = {4: 32_768, 6: 32_768, 12: 16_384, 24: 8192}

ERROR_SIDES = (4, 24)
ERROR_LAM = 5.0
COUNTS = (100, 200, 500, 1000, 2000)
REPEATS = 10
PAPER_THIN = 20
"""The paper keeps one configuration of HMC in twenty."""


def along_lambda(runs: Runs, seed: int) -> xr.Dataset:
    """E and both correlation lengths ``(L, lam, kind)``: flows made for the nearest λ, made exact by their weights."""
    actions = [Phi4(-4.0, lam, (L, L)) for L in SIDES for lam in LAMBDAS]
    pairs = both(actions, runs, seed, draws=_DRAWS, proposals=_PROPOSALS)
    rows = [estimates(action, pair) for action, pair in zip(actions, pairs, strict=True)]
    shape, dims = (len(SIDES), len(LAMBDAS)), ("L", "lam")
    names = {"E": "Ising energy", "xi": "correlation length by eq 27", "xi_2nd": "second-moment correlation length"}
    return xr.Dataset(
        table(rows, names, shape, dims) | verdicts(pairs, shape, dims),
        coords={"L": list(SIDES), "lam": list(LAMBDAS), "kind": list(KINDS)},
    )


def errors_of_chi2(runs: Runs, seed: int) -> xr.Dataset:
    """Error of χ₂ by the Γ method ``(L, kind, count, repeat)`` from the first `count` configurations of ten chains, and
    χ₂ itself, whose spread over the ten is what that error should be."""
    shape = (len(ERROR_SIDES), 2, len(COUNTS), REPEATS)
    error, chi2 = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, L in enumerate(ERROR_SIDES):
        action = Phi4(-4.0, ERROR_LAM, (L, L))
        ensembles = (
            runs.hmc(action, HmcPlan(REPEATS, COUNTS[-1], seed, thin=PAPER_THIN)),
            runs.flow(action, REPEATS * COUNTS[-1], seed, chains=REPEATS, exactly=False),
        )
        for j, ensemble in enumerate(ensembles):
            if ensemble is None:
                continue
            # M², not χ₂ with clusters averaged out: the paper's estimator.
            chains = action.volume * ensemble.chains("M2")
            for k, count in enumerate(COUNTS):
                results = [gamma_method(chain[:count]) for chain in chains]
                error[i, j, k], chi2[i, j, k] = [r.error for r in results], [r.value for r in results]
    dims = ("L", "kind", "count", "repeat")
    return xr.Dataset(
        {
            "error": (dims, error, {"units": "1", "long_name": "error of χ₂ by the Γ method"}),
            "chi2": (dims, chi2, {"units": "1", "long_name": "χ₂"}),
        },
        coords={"L": list(ERROR_SIDES), "kind": [HMC, FLOW], "count": list(COUNTS)},
    )
