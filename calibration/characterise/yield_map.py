"""Which cells and lines of an array work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from calibration.characterise.experiment import Experiment, Number, Progress, parameter, program_cells, variable
from calibration.failures import Failure
from drivers.crossbar import Crossbar

LINE_SHARE = 0.9
"""A line of whose cells this share fails is itself broken, or its driver."""


@dataclass(frozen=True)
class YieldMap(Experiment):
    """Program every cell to a high and to a low level, and map those that cannot hold both, with the reason.

    A line of which nine cells in ten fail is counted as broken itself.
    """

    name: ClassVar[str] = "yield-map"

    first_s: float = parameter(20e-6, "Low level.", 15e-6, 105e-6, "S")
    last_s: float = parameter(100e-6, "High level.", 15e-6, 105e-6, "S")

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        levels = np.array([self.last_s, self.first_s])
        failures, reads, cycles = [], [], []
        for k, level in enumerate(levels):
            result = program_cells(crossbar, np.full(crossbar.shape, level), progress, may_fail=True)
            failures.append(result.failure)
            reads.append(result.g_read_s)
            cycles.append(result.cycles)
            grid = ("level", "sl", "bl")
            yield xr.Dataset(
                {
                    "failure": (
                        grid, np.array(failures, np.int8),
                        {"long_name": "why not", "flag_meanings": " ".join(f.name.lower() for f in Failure)},
                    ),
                    "g_read_s": variable(grid, np.array(reads), "S", "conductance read at the end"),
                    "cycles": variable(grid, np.array(cycles, np.int32), "1", "write-verify cycles"),
                },
                coords={"level_s": variable("level", levels[: k + 1], "S", "level asked for")},
            )  # fmt: skip

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        failure = worst_failure(run)
        rows, columns = broken_lines(failure)
        count = [Number(f.name.lower().replace("_", " "), float((failure == f).sum())) for f in Failure if f]
        return [
            Number("cells that hold every level", 100 * float((failure == Failure.NONE).mean()), "%"),
            *count,
            Number("source or word lines without working cells", float(rows.sum())),
            Number("bit lines without working cells", float(columns.sum())),
        ]


def worst_failure(run: xr.Dataset) -> np.ndarray:
    """`Failure` of each cell (n_sl, n_bl), of the first level at which it failed."""
    failure = run["failure"].to_numpy()
    return np.asarray(np.take_along_axis(failure, (failure > 0).argmax(axis=0)[None], axis=0)[0])


def broken_lines(failure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n_sl,) and columns (n_bl,) of which nearly all cells fail."""
    failed = failure > 0
    return failed.mean(axis=1) >= LINE_SHARE, failed.mean(axis=0) >= LINE_SHARE
