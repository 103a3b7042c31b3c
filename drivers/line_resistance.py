"""What the lines' resistance makes of an array: cells behind drivers and wires, and back.

Bit line j is driven at row 0 through its driver, source line i leaves at column 0. With unit voltage on one bit line,
its cells form a ladder down the line, which has an exact solution; by reciprocity, the share of a cell's current that
arrives at the amplifier is that of a ladder along its source line. The product of the two leaves out that ladders
touch each other: an error of second order, below 10⁻³ of a conductance for 32 × 32 cells of 80 µS with wires of 0.1 Ω
per cell (a test holds it there against an exact solution of the network).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import BoardError

Array = NDArray[np.float64]

_MAX_ITERATIONS = 200
_CONVERGED = 1e-9


class NoSuchCells(BoardError):
    """No conductances of cells lead to what was read, with resistances as they are given."""


@dataclass(frozen=True, eq=False)
class LineResistance:
    """driver_ohm: (n_bl,) Ω, DAC to the array's edge. sl_series_ohm: (n_sl,) Ω, edge to amplifier. Segments: Ω from one
    cell to the next, and from the edge to the first."""

    driver_ohm: Array
    bl_segment_ohm: float
    sl_segment_ohm: float
    sl_series_ohm: Array

    def transfer(self, cells_s: Array) -> Array:
        """(n_sl, n_bl) S, source-line current over the voltage of each DAC, of cells (n_sl, n_bl) S."""
        return cells_s * self._lost(cells_s)

    def cells(self, transfer_s: Array) -> Array:
        """Cells (n_sl, n_bl) S whose `transfer` is `transfer_s`.

        Raises `NoSuchCells` if there are none: a line that would carry more than its driver can give.
        """
        cells_s = transfer_s * self.driver_gain(transfer_s)
        for _ in range(_MAX_ITERATIONS):
            lost = self._lost(cells_s)
            new = transfer_s / lost
            change = float(np.abs(new - cells_s).max())
            cells_s = new
            if change <= _CONVERGED * float(np.abs(new).max()):
                return cells_s
        raise NoSuchCells(
            f"conductances behind lines of {self.driver_ohm.max():.3g} Ω did not settle in {_MAX_ITERATIONS} steps; "
            "the resistances of the calibration do not belong to this array: calibrate anew"
        )

    def driver_gain(self, transfer_s: Array) -> Array:
        """(n_bl,) factor on a DAC's voltage that makes up for what its driver loses to the cells of its line.

        Raises `NoSuchCells` where the driver would lose everything.
        """
        left = 1.0 - self.driver_ohm * transfer_s.sum(axis=0)
        if not (left > 0.05).all():
            line = int(np.argmin(left))
            raise NoSuchCells(
                f"bit line {line} takes {transfer_s[:, line].sum() * 1e3:.3g} mS, which leaves nothing behind its "
                f"driver of {self.driver_ohm[line]:.4g} Ω; calibrate the resistances anew"
            )
        return 1.0 / left

    def _lost(self, cells_s: Array) -> Array:
        down = _ladder(cells_s.T, self.bl_segment_ohm, self.driver_ohm).T
        along = _ladder(cells_s, self.sl_segment_ohm, self.sl_series_ohm)
        return down * along


def _ladder(rungs_s: Array, segment_ohm: float, end_ohm: Array) -> Array:
    """Voltages (lines, taps) of lines driven with 1 V through `end_ohm` (lines,), with conductances to ground at taps.

    ``v = 1 − R diag(g) v`` with R the resistance that two taps' currents share.
    """
    taps = rungs_s.shape[1]
    position = np.arange(1, taps + 1)
    shared = segment_ohm * np.minimum(position[:, None], position) + end_ohm[:, None, None]
    solved = np.linalg.solve(np.eye(taps) + shared * rungs_s[:, None, :], np.ones((len(rungs_s), taps, 1)))
    return np.asarray(solved[..., 0], np.float64)
