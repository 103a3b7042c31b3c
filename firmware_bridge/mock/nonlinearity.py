"""Integral non-linearity as a smooth cubic: the bow and the S of converter datasheets, with a stated peak."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import Polynomial
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
    for row in cubics:
        shape = Polynomial(row)
        turns = shape.deriv().roots()
        inside = turns.real[(abs(turns.imag) < 1e-12) & (turns.real > 0.0) & (turns.real < 1.0)]
        row *= peak / np.max(np.abs(shape(inside)))
    return cubics


def substitute(cubics: NDArray[np.float64], shift: float, slope: float) -> NDArray[np.float64]:
    """Rewrite cubics in u (n, 4) as cubics in x with ``u = shift + slope * x``; (n, 4), constant term first."""
    inner = Polynomial([shift, slope])
    rewritten = np.zeros_like(cubics)
    for row, cubic in zip(rewritten, cubics, strict=True):
        coefficients = Polynomial(cubic)(inner).coef
        row[: len(coefficients)] = coefficients
    return rewritten


def horner(coefficients: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """``c0 + c1 x + c2 x² + c3 x³`` with coefficients (..., 4) broadcast against `x`."""
    c = coefficients
    return ((c[..., 3] * x + c[..., 2]) * x + c[..., 1]) * x + c[..., 0]
