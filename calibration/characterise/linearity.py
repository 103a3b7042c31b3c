"""Fig. 2j: are cells Ohmic within the inputs' range?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from calibration.characterise.experiment import (
    Experiment,
    Number,
    Progress,
    one_cell_each,
    parameter,
    refuse_absent_column,
    variable,
)
from drivers.crossbar import Crossbar
from firmware_bridge.errors import LimitError

OHMIC_R2 = 0.999
"""Share of the variance of a cell's current that a straight line must explain to be called highly linear."""


@dataclass(frozen=True)
class Linearity(Experiment):
    """Current of cells at several levels against their voltage, within the inputs' range.

    One cell on each source line, all on one bit line, so that no other cell adds to a current. Sweeps go there and
    back and are averaged: one conversion has a step of 0.03 µA.
    """

    name: ClassVar[str] = "linearity"
    panel: ClassVar[str] = "2j"

    first_s: float = parameter(30e-6, "Lowest level.", 15e-6, 105e-6, "S")
    last_s: float = parameter(95e-6, "Highest level.", 15e-6, 105e-6, "S")
    cells: int = parameter(14, "Cells, one at each level.", 2, 16)
    points: int = parameter(41, "Voltages.", 5, 10_000)
    sweeps: int = parameter(64, "Sweeps that are averaged.", 1, 100_000)
    column: int = parameter(0, "Bit line of the cells.", 0, 255)

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        n_sl, n_bl = crossbar.shape
        refuse_absent_column(crossbar, self.column)
        spare = n_sl // self.cells
        if not spare:
            raise LimitError("cells", self.cells, (2, n_sl), source=f"board {crossbar.board.name}: one on each row")
        # All on one bit line, each on a source line of its own: nothing else carries their currents.
        rows = rng.permutation(n_sl)[: spare * self.cells].reshape(self.cells, spare)
        candidates = np.stack([rows, np.full_like(rows, self.column)], axis=-1)
        levels = np.linspace(self.first_s, self.last_s, self.cells)
        row = one_cell_each(crossbar, levels, candidates, progress)[:, 0]
        limit_v = crossbar.board.levels.input_v
        volts = np.linspace(-limit_v, limit_v, self.points)
        inputs = np.zeros((self.points, n_bl))
        inputs[:, self.column] = volts
        total = np.zeros((self.points, len(row)))
        for sweep in range(self.sweeps):
            # There and back, as a continuous sweep.
            order = slice(None) if sweep % 2 == 0 else slice(None, None, -1)
            total[order] += crossbar.measure(inputs[order]).current_a[:, row]
            progress(sweep + 1, self.sweeps)
            yield xr.Dataset(
                {"current_a": variable(("voltage", "cell"), total / (sweep + 1), "A", "current of the cell")},
                coords={
                    "voltage_v": variable("voltage", volts, "V", "bit line over source line"),
                    "g_target_s": variable("cell", levels, "S", "target conductance"),
                    "row": variable("cell", row, "1", "source line"),
                },
                attrs={"column": self.column, "averaged": sweep + 1},
            )

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        volts, current, slope, residual = lines(run)
        r2 = float((1.0 - residual.var(axis=0) / current.var(axis=0)).min())
        end_a = slope * volts.max()
        cubic = np.polynomial.polynomial.polyfit(volts, current, 3)[3] * volts.max() ** 3 / end_a
        error = slope - run["g_target_s"].to_numpy()
        return [
            Number("R² of a line, worst cell", r2, "", f"highly linear: here ≥ {OHMIC_R2}", bool(r2 >= OHMIC_R2)),
            Number("largest departure from it", 100 * float((np.abs(residual) / end_a).max()), "% of full current"),
            Number("cubic part at full voltage, rms", 100 * float(np.sqrt(np.mean(cubic**2))), "% of the current"),
            Number("conductance against target, rms", 1e6 * float(np.sqrt(np.mean(error**2))), "µS"),
        ]


def lines(run: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Voltages (n,) V, currents (n, cells) A, slopes (cells,) S of straight lines, and what they leave (n, cells) A."""
    volts, current = run["voltage_v"].to_numpy(), run["current_a"].to_numpy()
    line = np.polynomial.polynomial.polyfit(volts, current, 1)
    return volts, current, line[1], current - np.polynomial.polynomial.polyval(volts, line).T
