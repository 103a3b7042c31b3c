"""Integral non-linearity as a smooth cubic: the bow and the S of converter datasheets, with a stated peak."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inl_cubics(rng: np.random.Generator, n: int, peak: float) -> NDArray[np.float64]:
    """Draw `n` cubics on u in [0, 1] that vanish at both ends (end-point fit) and reach max |f| = `peak` in between.

    Each is a random mixture of a bow ``u (1 - u)`` and an S ``u (1 - u)(1 - 2u)``. Returns coefficients (n, 4), in
    the unit of `peak`, constant term first.
    """
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    bow, ess = 4.0 * np.cos(angle), 6.0 * np.sqrt(3.0) * np.sin(angle)  # both shapes have peak 1 before mixing
    p, q = bow + ess, -2.0 * ess  # f = u (1 - u)(p + q u)
    cubics = np.stack([np.zeros(n), p, q - p, -q], axis=1)
    # f′ = p + 2 (q - p) u - 3 q u² has real roots always; this form of them survives q = 0, where one is infinite.
    half_b = q - p
    t = -(half_b + np.copysign(np.sqrt(p * p + p * q + q * q), half_b))
    with np.errstate(divide="ignore"):
        turns = np.stack([t / (-3.0 * q), p / t], axis=1)
    inside = np.clip(turns, 0.0, 1.0)  # f vanishes at both ends
    cubics *= peak / np.abs(horner(cubics[:, None], inside)).max(axis=1, keepdims=True)
    return cubics


def substitute(
    cubics: NDArray[np.float64], shift: float | NDArray[np.float64], slope: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rewrite cubics in u (n, 4) as cubics in x, ``u = shift + slope * x``, each a number or (n,)."""
    c0, c1, c2, c3 = cubics.T
    return np.stack(
        [
            c0 + shift * (c1 + shift * (c2 + shift * c3)),
            slope * (c1 + shift * (2.0 * c2 + shift * 3.0 * c3)),
            slope**2 * (c2 + shift * 3.0 * c3),
            slope**3 * c3,
        ],
        axis=1,
    )


def horner(coefficients: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """``c0 + c1 x + c2 x² + c3 x³`` with coefficients (..., 4) broadcast against `x`."""
    c = coefficients
    return ((c[..., 3] * x + c[..., 2]) * x + c[..., 1]) * x + c[..., 0]
