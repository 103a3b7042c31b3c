"""Weights as conductances and back (paper, Fig. 2k): pure functions of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class AffineMapping:
    """``G = centre + scale · W`` with the centre in the middle of [low_s, high_s] (paper: 20–80 µS).

    A product of the array is ``I = G v = centre · Σv + scale · W v``: the digital side knows Σv and takes the first
    term away.
    """

    low_s: float = 20e-6
    high_s: float = 80e-6

    def __post_init__(self) -> None:
        if not 0 < self.low_s < self.high_s:
            raise ValueError(f"conductance range {self.low_s:g} … {self.high_s:g} S: needs 0 < low < high")

    @property
    def centre_s(self) -> float:
        """Conductance of a zero weight, S."""
        return (self.low_s + self.high_s) / 2

    def scale_s(self, weight: Matrix) -> float:
        """Conductance per unit weight, S, that puts the largest |weight| at an end of the range.

        Raises ValueError for weights that are not finite or all zero.
        """
        peak = float(np.abs(weight).max(initial=0.0))
        if not np.isfinite(peak) or peak == 0.0:
            raise ValueError(
                f"largest |weight| = {peak:g}: a matrix needs finite weights and at least one that is not zero"
            )
        return (self.high_s - self.low_s) / 2 / peak

    def conductance_s(self, weight: Matrix, scale_s: float) -> Matrix:
        """Target conductances of weights, same shape, S."""
        return self.centre_s + scale_s * weight

    def weight(self, conductance_s: Matrix, scale_s: float) -> Matrix:
        """Weights that conductances stand for, same shape."""
        return (conductance_s - self.centre_s) / scale_s
