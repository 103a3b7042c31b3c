"""Leapfrog on the even half of the lattice, with the odd half integrated out (S_eff of `completion`).

Chains stand side by side, batch last: fields are ``(V/2, n)`` float64. Any force that is a function of the field alone
keeps HMC exact, so that the slope of log z is a polynomial here, which becomes vector code; S_eff is the table's.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.polynomial import chebyshev

from anf.lattice.kernels import Site, compiled, sine
from anf.lattice.site_kernels import log_z
from anf.lattice.site_tables import SiteTables

ERROR = 1e-5
"""Largest error of the slope, relative to its largest value."""
_REACH = 0.75
"""Part of a table that does not fold which the polynomial covers. Beyond, the force is that at the end."""
_HIGHEST = 41


class Slope(NamedTuple):
    """d log z/dh = linear · h + t P(t²), t = h / reach folded into [−½, ½] or clipped to [−1, 1]; P's coefficients from
    the highest power down."""

    linear: float
    inverse_reach: float
    folds: bool
    coefficients: tuple[float, ...]


def slope_of(tables: SiteTables) -> Slope:
    """The polynomial of the least degree that is good to `ERROR`."""
    table, scale, site, hopping = tables.log_z
    folds = scale.period > 0.0
    reach, edge = (scale.period, 0.5) if folds else (_REACH * scale.top, 1.0)
    linear = 2.0 * scale.quadratic

    def rest(t: np.ndarray) -> np.ndarray:
        return np.array([log_z(reach * at, table, scale, site, hopping)[1] - linear * reach * at for at in t])

    fine = np.linspace(0.0, edge, 401)
    exact = rest(fine)
    allowed = ERROR * max(np.abs(exact + linear * reach * fine).max(), 1.0)
    for degree in range(1, _HIGHEST + 1, 2):
        t = edge * np.cos(np.pi * (np.arange(2 * degree) + 0.5) / (2 * degree))
        series = chebyshev.chebfit(t / edge, rest(t), degree)
        series[::2] = 0.0  # odd in h
        power = chebyshev.cheb2poly(series)[1::2] / edge ** np.arange(1, degree + 1, 2)
        if np.abs(fine * np.polynomial.polynomial.polyval(fine**2, power) - exact).max() < allowed:
            return Slope(linear, 1.0 / reach, folds, tuple(power[::-1].tolist()))
    raise ValueError(
        f"site potential {tables.site}: log z is too sharp for a polynomial of degree {_HIGHEST}; run HMC on all sites"
    )


@compiled
def kick(
    even: np.ndarray,
    momentum: np.ndarray,
    scale: float,
    odd_neighbours: np.ndarray,
    even_neighbours: np.ndarray,
    site: Site,
    slope: Slope,
    slopes: np.ndarray,
) -> None:
    """momentum −= scale · ∂S_eff/∂φ, in place; slopes (V/2, n) is work space."""
    half, n = even.shape
    quadratic, quartic, cosine, frequency = site
    linear, cubic = 2.0 * quadratic, 4.0 * quartic
    amplitude, turns = cosine * frequency, frequency / (2.0 * math.pi)
    rise, inverse_reach, folds, powers = slope
    for j in range(half):
        a, b, c, d = odd_neighbours[j]
        row = slopes[j]
        for k in range(n):
            h = even[a, k] + even[b, k] + even[c, k] + even[d, k]
            t = h * inverse_reach
            t = t - math.floor(t + 0.5) if folds else min(max(t, -1.0), 1.0)
            square = t * t
            p = 0.0
            for coefficient in powers:
                p = p * square + coefficient
            row[k] = rise * h + t * p
    for i in range(half):
        a, b, c, d = even_neighbours[i]
        for k in range(n):
            f = even[i, k]
            pull = slopes[a, k] + slopes[b, k] + slopes[c, k] + slopes[d, k]
            momentum[i, k] -= scale * (f * (linear + cubic * f * f) - pull)
        if amplitude != 0.0:
            for k in range(n):
                momentum[i, k] -= scale * amplitude * sine(turns * even[i, k])


@compiled
def leapfrog(
    even: np.ndarray,
    momentum: np.ndarray,
    step: float,
    n_steps: int,
    odd_neighbours: np.ndarray,
    even_neighbours: np.ndarray,
    site: Site,
    slope: Slope,
    slopes: np.ndarray,
) -> None:
    """Half a kick, then n_steps drifts with a kick after each, the last one half again; in place."""
    kick(even, momentum, 0.5 * step, odd_neighbours, even_neighbours, site, slope, slopes)
    for k in range(n_steps):
        for i in range(even.shape[0]):
            for j in range(even.shape[1]):
                even[i, j] += step * momentum[i, j]
        last = 0.5 if k == n_steps - 1 else 1.0
        kick(even, momentum, last * step, odd_neighbours, even_neighbours, site, slope, slopes)
