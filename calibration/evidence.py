"""What the reads say about each cell since its last pulse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MEMORY_READS = 8
"""Reads that a mean reaches back: enough against white noise, short enough to follow relaxation."""
FIRST_NOISE_S = 0.2e-6
"""Read noise assumed until two reads without a pulse between them have shown it, S: one ADS8324 code at 60 mV is 0.5
µS, spread over the conversions of a pass."""


class Evidence:
    """Mean of each cell's reads since its last pulse, and how much they scatter. Arrays of `shape`.

    mean_s: mean of the reads, S. count: how many, up to `MEMORY_READS`.
    noise_s: standard deviation of one read of a typical cell, S.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.mean_s = np.zeros(shape)
        self.count = np.zeros(shape, int)
        self.noise_s = FIRST_NOISE_S
        self._squares = np.zeros(shape)
        self._pairs = np.zeros(shape, int)

    def add(self, g_s: Array) -> None:
        """Take in one read of the array."""
        held = self.count > 0
        if held.any():
            # A read and the mean of n others differ with variance σ²(1 + 1/n).
            scatter = (g_s - self.mean_s)[held] ** 2 / (1.0 + 1.0 / self.count[held])
            self._squares[held] += scatter
            self._pairs[held] += 1
            if held.mean() > 0.25:
                # A median, against the few cells with telegraph noise: that of χ² with one degree of freedom is 0.455.
                self.noise_s = float(np.sqrt(np.median(scatter) / 0.455))
        self.count = np.minimum(self.count + 1, MEMORY_READS)
        self.mean_s += (g_s - self.mean_s) / self.count

    def forget(self, cells: NDArray[np.bool_] | slice = slice(None)) -> None:
        """`cells` have been pulsed, or a long time has passed."""
        self.count[cells] = 0

    def error_s(self) -> Array:
        """Standard error of the means, S."""
        return self.noise_s / np.sqrt(np.maximum(self.count, 1))

    def scatter_s(self) -> Array:
        """Standard deviation of each cell's reads between which it was not pulsed, S; 0 where there were none."""
        return np.sqrt(self._squares / np.maximum(self._pairs, 1))
