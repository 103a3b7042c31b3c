"""What an array has been given, and the limits of that."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drivers.limits import Limits
from firmware_bridge.errors import LimitError

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]


@dataclass
class Doses:
    """Sums over the life of an array, as far as it is known. Arrays are replaced, never changed.

    pulses: (n_sl, n_bl) programming pulses on each cell, forming pulses among them.
    forming: (n_sl, n_bl) forming pulses.
    dose_v2s: (n_sl, n_bl) V²·s, Σ (bit line − source line)² · width over all pulses.
    exposure_s: (n_bl,) time that each bit line has spent above ``limits.read_disturb_v``.
    """

    pulses: Counts
    forming: Counts
    dose_v2s: Numbers
    exposure_s: Numbers

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Doses:
        """Those of an array (n_sl, n_bl) that has been given nothing."""
        return cls(np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape[1]))

    def copy(self) -> Doses:
        """A snapshot that can be changed."""
        return replace(self)

    def __add__(self, other: Doses) -> Doses:
        return Doses(
            self.pulses + other.pulses,
            self.forming + other.forming,
            self.dose_v2s + other.dose_v2s,
            self.exposure_s + other.exposure_s,
        )

    def __sub__(self, other: Doses) -> Doses:
        return Doses(
            self.pulses - other.pulses,
            self.forming - other.forming,
            self.dose_v2s - other.dose_v2s,
            self.exposure_s - other.exposure_s,
        )

    def arrays(self) -> tuple[Counts, Counts, Numbers, Numbers]:
        """In the order of the fields."""
        return self.pulses, self.forming, self.dose_v2s, self.exposure_s

    def give(
        self, rows: NDArray[np.bool_], bl: NDArray[np.intp], dose_v2s: Numbers, forming: NDArray[np.bool_]
    ) -> None:
        """Add pulses: of each (k,) its rows (k, n_sl), bit line, dose and whether it forms."""
        pulses, formings, doses = (np.zeros(self.pulses.shape[::-1], d) for d in (np.int64, np.int64, float))
        np.add.at(pulses, bl, rows)
        np.add.at(doses, bl, rows * dose_v2s[:, None])
        if forming.any():
            np.add.at(formings, bl, rows & forming[:, None])
        self.pulses = self.pulses + pulses.T
        self.forming = self.forming + formings.T
        self.dose_v2s = self.dose_v2s + doses.T

    def refuse_cells(self, limits: Limits, board: str) -> None:
        """Raise `LimitError` for the cell that is furthest beyond what a cell may be given."""
        for name, values, limit, unit, key in (
            ("pulses on", self.pulses, limits.pulses_per_cell, "", "pulses_per_cell"),
            ("forming pulses on", self.forming, limits.forming_per_cell, "", "forming_per_cell"),
            ("dose of", self.dose_v2s, limits.dose_per_cell_v2s, "V²·s", "dose_per_cell_v2s"),
        ):
            worst = values.max()
            # Sums of many small numbers: to a rounding.
            if worst > limit * (1 + 1e-12):
                row, column = np.unravel_index(values.argmax(), values.shape)
                raise LimitError(
                    f"{name} cell (SL {row}, BL {column})",
                    worst.item(),
                    limit,
                    unit,
                    source=f"limits.{key} of board {board}",
                    advice="nothing was sent to the board; exclude the cell (xbar ledger shows the doses), or raise "
                    "the limit in the board file",
                )
