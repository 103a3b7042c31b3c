"""The mass gap: a correlated cosh fit to the zero-momentum two-point function (eq 38)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import solve_triangular

from anf.measurement.statistics import WINDOW, covariance, markov_observable

if TYPE_CHECKING:
    import pyerrors

_LEAST_POINTS = 3
_GOOD_P = 0.1
_LARGEST_NOISE = 0.1
"""Relative error of C(0, t) beyond which a point says nothing: an exponential tail below the noise."""


@dataclass(frozen=True)
class MassGap:
    """A (e^(−gap t) + e^(−gap (L_t − t))) fitted to C(0, t) at first ≤ t ≤ last.

    gap, error: by the Γ method.  chi2_per_dof, p_value: of the fit with the full covariance of the points.
    correlator, correlator_error: C(0, t) for t = 0 … L_t/2.
    """

    gap: float
    error: float
    first: int
    last: int
    chi2_per_dof: float
    p_value: float
    correlator: np.ndarray
    correlator_error: np.ndarray


def fit_mass_gap(slices: np.ndarray) -> MassGap:
    """The gap from C(0, t) of each configuration of Markov chains: `observables.time_slice_correlator`, ``(chain,
    draw, Lx)`` or ``(draw, Lx)``.

    C decays with several exponentials, the gap being the slowest: the fit begins at the smallest t ≥ 1 from which on
    p ≥ 0.1, or where p is largest; it ends where the error of C exceeds a tenth of it.

    Raises ValueError for fewer than three usable points, for a C that does not fall, and for chains too short for the
    covariance of the points.
    """
    sites = slices.shape[-1]
    chains = np.moveaxis(slices[..., : sites // 2 + 1], -1, 0)
    chains = chains[:, None] if chains.ndim == 2 else chains
    points = [markov_observable(series) for series in chains]
    for point in points:
        point.gamma_method(S=WINDOW)
    mean, error = np.array([p.value for p in points]), np.array([p.dvalue for p in points])
    noisy = np.flatnonzero(error > _LARGEST_NOISE * np.abs(mean))
    last = int(noisy[0]) - 1 if noisy.size else sites // 2
    if last < _LEAST_POINTS:
        raise ValueError(
            f"C(0, t) is known to {100 * _LARGEST_NOISE:g} % for t up to {last} only; a fit needs t = 1 … "
            f"{_LEAST_POINTS}: draw more configurations, or take more sites along time"
        )
    window = max(point.e_windowsize["chain"] for point in points)
    matrix = covariance(chains, window)
    fits = {}
    for first in range(1, last - _LEAST_POINTS + 2):
        used = slice(first, last + 1)
        fits[first] = _fit(points[used], np.arange(sites)[used], sites, matrix[used, used])
        if fits[first].p_value >= _GOOD_P:
            break
    first = max(fits, key=lambda t: fits[t].p_value)
    gap = fits[first].fit_parameters[1]
    gap.gamma_method(S=WINDOW)
    return MassGap(
        abs(float(gap.value)), float(gap.dvalue), first, last, float(fits[first].chisquare_by_dof),
        float(fits[first].p_value), mean, error,
    )  # fmt: skip


def _fit(points: list[pyerrors.Obs], t: np.ndarray, sites: int, matrix: np.ndarray) -> Any:
    import autograd.numpy as anp  # what pyerrors differentiates with
    from pyerrors.fits import least_squares

    def cosh(a: Any, t: Any) -> Any:
        return a[0] * (anp.exp(-a[1] * t) + anp.exp(-a[1] * (sites - t)))

    ratio = points[0].value / points[1].value
    if not ratio > 1.0:
        raise ValueError(f"C(0, t) does not fall from t = {t[0]} to {t[1]}: no mass gap can be read off")
    try:
        inverse = solve_triangular(np.linalg.cholesky(matrix), np.eye(len(matrix)), lower=True)
    except np.linalg.LinAlgError:
        raise ValueError("the chains are too short for the covariance of C(0, t): draw more configurations") from None
    return least_squares(
        t, points, cosh, silent=True, correlated_fit=True, inv_chol_cov_matrix=[inverse, [""]],
        initial_guess=[points[0].value, np.log(ratio)],
    )  # fmt: skip
