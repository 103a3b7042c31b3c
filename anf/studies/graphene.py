"""The graphene wire: mean field and two-point function, mass gap, chiral condensate against T/g."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.stats import ks_2samp

from anf.lattice.actions import Graphene
from anf.lattice.exact import FreeField
from anf.measurement.mass_gap import fit_mass_gap
from anf.measurement.statistics import gamma_method
from anf.samplers.ensembles import Ensemble, Runs
from anf.studies.common import FLOW, HMC, KINDS, both, estimates, table, verdicts

SIDES = (6, 12, 24, 48)
G, U = 1.0, 0.5
BINS = 60
_DRAWS = {6: 3000, 12: 3000, 24: 3000, 48: 750}
_PROPOSALS = {6: 32_768, 12: 32_768, 24: 8192, 48: 4096}

GAP_US = (0.0, 0.1, 0.2, 0.3, 0.5)
TIMES = (2, 3, 4, 6, 8, 12, 16, 24)
SPACE = 24
CONDENSATE_US = (0.0, 0.1, 0.5)


def fields(runs: Runs, seed: int) -> xr.Dataset:
    """Distribution of φ̄ ``(L, kind, bin)``, C(0, t) ``(L, kind, t)`` with errors, at g = 1, u = 0.5; the p-value of a
    Kolmogorov–Smirnov test between the samplers, on draws thinned to independence."""
    actions = [Graphene(G, U, (L, L)) for L in SIDES]
    pairs = both(actions, runs, seed, draws=_DRAWS, proposals=_PROPOSALS)
    n, times = len(SIDES), SIDES[-1] // 2 + 1
    edges, density = np.full((n, BINS + 1), np.nan), np.full((n, 2, BINS), np.nan)
    correlator, error = np.full((n, 2, times), np.nan), np.full((n, 2, times), np.nan)
    p_value = np.full(n, np.nan)
    for i, pair in enumerate(pairs):
        widest = 4.5 * float(pair[0].chains("M").std())
        edges[i] = np.linspace(-widest, widest, BINS + 1)
        for j, ensemble in enumerate(pair):
            if ensemble is None:
                continue
            density[i, j] = np.histogram(ensemble.chains("M"), edges[i], density=True)[0]
            for t in range(SIDES[i] // 2 + 1):
                result = gamma_method(ensemble.slices()[..., t])
                correlator[i, j, t], error[i, j, t] = result.value, result.error
        if (drawn := pair[1]) is not None:
            p_value[i] = ks_2samp(*(_independent(ensemble) for ensemble in (pair[0], drawn))).pvalue
    rows = [estimates(action, pair) for action, pair in zip(actions, pairs, strict=True)]
    names = {"abs_M": "⟨|M|⟩", "chi2": "χ₂", "cos": "⟨cos 2√π φ⟩"}
    return xr.Dataset(
        table(rows, names, (n,), ("L",))
        | verdicts(pairs, (n,), ("L",))
        | {
            "edges": (("L", "edge"), edges, {"units": "1", "long_name": "edges of the bins of φ̄"}),
            "density": (("L", "sampler", "bin"), density, {"units": "1", "long_name": "density of φ̄"}),
            "correlator": (("L", "sampler", "t"), correlator, {"units": "1", "long_name": "C(p = 0, t)"}),
            "correlator_error": (("L", "sampler", "t"), error, {"units": "1", "long_name": "its error"}),
            "p_value": (("L",), p_value, {"units": "1", "long_name": "Kolmogorov-Smirnov p-value of φ̄"}),
        },
        coords={"L": list(SIDES), "kind": list(KINDS), "sampler": [HMC, FLOW], "t": np.arange(times)},
    )


def gaps(runs: Runs, seed: int) -> xr.Dataset:
    """The mass gap ``(L, u, sampler)`` with its error and p-value of the fit, g = 1; the closed form at u = 0."""
    actions = [Graphene(G, u, (L, L)) for L in SIDES for u in GAP_US]
    pairs = both(actions, runs, seed, draws=_DRAWS, proposals=_PROPOSALS)
    found = np.full((len(actions), 2, 3), np.nan)
    for i, pair in enumerate(pairs):
        for j, ensemble in enumerate(pair):
            if ensemble is None:
                continue
            try:
                fit = fit_mass_gap(ensemble.slices())
            except ValueError:
                continue  # too noisy for a fit, as a flow far from its couplings can be: stays nan, and is said so
            found[i, j] = fit.gap, fit.error, fit.p_value
    shape, dims = (len(SIDES), len(GAP_US)), ("L", "u")
    grid = found.reshape(*shape, 2, 3)
    return xr.Dataset(
        {
            "gap": ((*dims, "sampler"), grid[..., 0], {"units": "1", "long_name": "mass gap"}),
            "gap_error": ((*dims, "sampler"), grid[..., 1], {"units": "1", "long_name": "its error"}),
            "p_value": ((*dims, "sampler"), grid[..., 2], {"units": "1", "long_name": "p-value of the cosh fit"}),
        }
        | verdicts(pairs, shape, dims),
        coords={"L": list(SIDES), "u": list(GAP_US), "sampler": [HMC, FLOW]},
        attrs={"free_gap": FreeField(Graphene(G, 0.0, (6, 6))).gap},
    )


def condensates(runs: Runs, seed: int) -> xr.Dataset:
    """⟨ψ̄ψ⟩/g ``(u, time, kind)`` on L_τ × 24 at g = 1 against T/g = 1/(g L_τ), with O = √(32π)/g; in closed form at
    u = 0; and on the square lattices ``(u, L, kind)``, where there are flows."""
    grid = [Graphene(G, u, (t, SPACE)) for u in CONDENSATE_US for t in TIMES]
    squares = [Graphene(G, u, (L, L)) for u in CONDENSATE_US for L in SIDES]
    actions = [*grid, *squares]
    pairs = both(actions, runs, seed, draws=_DRAWS, proposals=_PROPOSALS)
    rows = [estimates(action, pair) for action, pair in zip(actions, pairs, strict=True)]
    names = {"condensate": "⟨ψ̄ψ⟩, O = √(32π)/g"}
    n = len(grid)
    square = table(rows[n:], names, (len(CONDENSATE_US), len(SIDES)), ("u", "L"))
    free = np.array([_free_condensate(Graphene(G, 0.0, (t, SPACE))) for t in TIMES])
    return xr.Dataset(
        table(rows[:n], names, (len(CONDENSATE_US), len(TIMES)), ("u", "time"))
        | {f"square_{name}": value for name, value in square.items()}
        | verdicts(pairs[n:], (len(CONDENSATE_US), len(SIDES)), ("u", "L"))
        | {"free": (("time",), free, {"units": "1", "long_name": "closed form at u = 0"})},
        coords={"u": list(CONDENSATE_US), "time": list(TIMES), "L": list(SIDES), "kind": list(KINDS)},
        attrs={"g": G, "space": SPACE},
    )


def _free_condensate(action: Graphene) -> float:
    cosine = FreeField(action).values.cosine
    assert cosine is not None
    return -float(np.exp(np.euler_gamma)) / (2.0 * np.pi**1.5) * float(np.sqrt(32.0 * np.pi)) * cosine


def _independent(ensemble: Ensemble) -> np.ndarray:
    """φ̄ of draws 2τ_int apart, so that a test for independent draws applies; at most 5000 of them."""
    chains = ensemble.chains("M")
    apart = max(1, round(2.0 * gamma_method(np.abs(chains)).tau_int))
    return chains[:, ::apart].ravel()[:5000]
