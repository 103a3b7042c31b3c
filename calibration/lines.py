"""What a pulse of a given voltage leads to, learned cell by cell while the array is being programmed.

A `ResponseLine` is the linear model of each cell's state y after a pulse against the pulse's control voltage u: the
gate voltage of a SET (y is the conductance), or the amplitude of a RESET (y is −ln of it). It starts from a stated
line, is anchored at the last pulse, and its slope follows what the cell's own pulses did, shrunk towards the array's
mean slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MISS_GROWTH = 1.7
"""Factor on the next voltage step for every pulse in a row that did nothing, so that a line that lies far off is found
soon."""
UNSEEN_MISSES = 2
"""What a miss counts for as long as the cell has never moved, and its line is known least."""
MAX_MISSES = 10
MISSED_SIGMA = 1.0
MOVED_SIGMA = 4.0
"""Change of a cell, in standard deviations of the reads, below which a pulse did nothing, and above which it certainly
did something."""
SLOPE_FLOOR = 0.2
"""No slope falls below this share of what it is shrunk towards: however odd the data, a line keeps its direction."""


@dataclass(frozen=True)
class LinePrior:
    """The line before anything has been measured.

    onset_u, onset_y: a point of the line, V and the unit of y.
    slope: its slope, per V.
    chip_rel, cell_rel: relative standard deviation of a chip's mean slope about it, and of a cell's about its chip's.
    stride: longest step of a search for the line, unit of y.
    """

    onset_u: float
    onset_y: float
    slope: float
    chip_rel: float
    cell_rel: float
    stride: float


class ResponseLine:
    """One line per cell of `shape`; every array here has that shape."""

    def __init__(self, prior: LinePrior, shape: tuple[int, int]) -> None:
        self._prior = prior
        self._onset_y = prior.onset_y
        self._u = np.full(shape, prior.onset_u)
        self._y = np.full(shape, prior.onset_y)
        self._misses = np.zeros(shape, int)
        self._tried = np.zeros(shape, bool)
        # Normal equations of the slope: Σ Δu²/variance and Σ Δu·Δy/variance.
        self._uu = np.zeros(shape)
        self._uy = np.zeros(shape)
        self._onsets: list[Array] = []
        self.seen = np.zeros(shape, bool)
        """Cells that at least one pulse has moved."""
        self.slope = np.full(shape, prior.slope)
        """Slope of each cell's line, per V."""

    def voltage(self, y: Array) -> Array:
        """Control voltage that leads to `y`, V; further on after pulses that did nothing."""
        step = y - self._y
        # A search that grows without bound ends in a leap; one that is far off has long steps anyway.
        longer = np.minimum(step * MISS_GROWTH**self._misses, np.maximum(step, self._prior.stride))
        own = self._u + np.where(step > 0, longer, step) / self.slope
        # A cell that has not moved yet does not move before the others did, at least.
        array = self._prior.onset_u + (y - self._onset_y) / self.slope
        return np.where(self.seen, own, np.maximum(own, array))

    def update(self, cells: Mask, u: Array, y: Array, variance: Array, change: Array) -> None:
        """Take in what a pulse at `u` V did to `cells`, which are now at `y`.

        variance: of y about the line, from the pulse's randomness and the reads' noise.
        change: how far it moved each cell in its direction, in standard deviations of the reads.
        """
        moved, missed = cells & (change > MOVED_SIGMA), cells & (change < MISSED_SIGMA)
        # Two pulses that moved a cell give a slope; one that did not only says that the line is not above y there.
        known = moved & self.seen
        du, dy = u[known] - self._u[known], y[known] - self._y[known]
        self._uu[known] += du * du / variance[known]
        self._uy[known] += du * dy / variance[known]
        self._solve_slopes()
        # What first pulses missed the stated line by, cells that have not been tried yet will miss it by as well.
        first = moved & ~self.seen
        if first.any():
            self._onsets.append(y[first] - self.slope[first] * (u[first] - self._prior.onset_u))
            self._onset_y = float(np.median(np.concatenate(self._onsets)))
        self._tried |= cells
        self._y[~self._tried] = self._onset_y
        self._u[cells], self._y[cells] = u[cells], y[cells]
        self._misses[missed] = np.minimum(
            self._misses[missed] + np.where(self.seen[missed], 1, UNSEEN_MISSES), MAX_MISSES
        )
        self._misses[moved] = 0
        self.seen |= moved

    def forget(self, cells: Mask) -> None:
        """Start again on `cells`, which are no longer what they were."""
        self._u[cells], self._y[cells] = self._prior.onset_u, self._onset_y
        self._misses[cells] = 0
        self._tried[cells] = self.seen[cells] = False
        self._uu[cells] = self._uy[cells] = 0.0

    def _solve_slopes(self) -> None:
        p = self._prior
        weight = 1.0 / (p.chip_rel * p.slope) ** 2
        chip = (weight * p.slope + self._uy.sum()) / (weight + self._uu.sum())
        chip = max(chip, SLOPE_FLOOR * p.slope)
        weight = 1.0 / (p.cell_rel * chip) ** 2
        self.slope = np.maximum((weight * chip + self._uy) / (weight + self._uu), SLOPE_FLOOR * chip)
