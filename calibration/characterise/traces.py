"""Fig. 2f: how cells approach their targets, cycle by cycle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from calibration.characterise.experiment import (
    Experiment,
    Number,
    Progress,
    parameter,
    program_cells,
    programming_variables,
    variable,
)
from drivers.crossbar import Crossbar

PAPER_CYCLES = 30
"""The paper's cells converge in 20–30 cycles."""


@dataclass(frozen=True)
class Traces(Experiment):
    """Program an array to random targets and keep every read: how each cell approaches its target, cycle by cycle.

    A cell's cycles are the reads until it is done, those that confirm it included. Four cells are drawn: of each part
    of the range of targets the one that took the median number of cycles.
    """

    name: ClassVar[str] = "traces"
    panel: ClassVar[str] = "2f"

    first_s: float = parameter(20e-6, "Lowest target.", 15e-6, 105e-6, "S")
    last_s: float = parameter(100e-6, "Highest target.", 15e-6, 105e-6, "S")

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        result = program_cells(crossbar, rng.uniform(self.first_s, self.last_s, crossbar.shape), progress)
        trace = ("cycle", "sl", "bl")
        yield xr.Dataset(
            programming_variables(result)
            | {
                "reads_s": variable(trace, result.reads_s, "S", "conductance read in each cycle"),
                "amplitude_v": variable(trace, result.amplitude_v, "V", "pulse after that read, NaN where none"),
                "gate_v": variable(trace, result.gate_v, "V", "word line over source line in that pulse"),
                "pulses": variable(("sl", "bl"), result.pulses.astype(np.int32), "1", "pulses of the cell"),
            },
            coords={"read_time_s": variable("cycle", result.read_time_s, "s", "board time of each read")},
        )

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        done = ~run["failed"].to_numpy()
        cycles, pulses = run["cycles"].to_numpy()[done], run["pulses"].to_numpy()[done]
        median, most_cells = np.percentile(cycles, (50, 90))
        return [
            Number("cycles to converge, median", float(median), "", "paper: 20–30", bool(median <= PAPER_CYCLES)),
            Number("cycles to converge, 90 % of the cells", float(most_cells)),
            Number("cycles to converge, slowest cell", float(cycles.max())),
            Number("pulses per cell, mean", float(pulses.mean())),
            Number("cells programmed", 100 * float(done.mean()), "%"),
        ]


def shown_cells(run: xr.Dataset, count: int = 4) -> np.ndarray:
    """Rows and columns (count, 2) of cells to show: of each part of the range of targets the one that took the median
    number of cycles."""
    target, cycles, done = (run[name].to_numpy() for name in ("g_target_s", "cycles", "failed"))
    done = ~done
    edges = np.quantile(target[done], np.linspace(0, 1, count + 1))
    chosen = []
    for low, high in itertools.pairwise(edges):
        row, column = np.nonzero(done & (target >= low) & (target <= high))
        place = np.argsort(cycles[row, column], kind="stable")[len(row) // 2]
        chosen.append((row[place], column[place]))
    return np.array(chosen)
