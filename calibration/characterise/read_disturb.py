"""Does reading change cells? Those that are read, beside those on lines at rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from calibration.characterise.experiment import (
    Array,
    Experiment,
    Number,
    Progress,
    parameter,
    program_cells,
    programming_variables,
    variable,
)
from drivers.crossbar import Crossbar

BLOCK = 20_000
"""Vectors in one block: some seconds of board time."""
REPEATS = 16
SIGMAS = 3.0
"""A change of this many standard errors is called disturb."""


@dataclass(frozen=True)
class ReadDisturb(Experiment):
    """Hold bit lines at the largest input through many conversions and compare their cells with those on lines at rest.

    A quarter of the bit lines is at the positive input, a quarter at the negative one, half at rest. All drift alike.
    """

    name: ClassVar[str] = "read-disturb"

    reads: int = parameter(1_000_000, "Conversions of the whole array.", 1, 100_000_000)
    first_s: float = parameter(20e-6, "Lowest conductance of the cells.", 15e-6, 105e-6, "S")
    last_s: float = parameter(100e-6, "Highest conductance of the cells.", 15e-6, 105e-6, "S")

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        result = program_cells(crossbar, rng.uniform(self.first_s, self.last_s, crossbar.shape), progress)
        bias = np.resize([1.0, 0.0, -1.0, 0.0], crossbar.shape[1]) * crossbar.board.levels.input_v
        conductances, seen = [crossbar.read_conductance(repeats=REPEATS)], [0]
        while seen[-1] < self.reads:
            block = min(BLOCK, self.reads - seen[-1])
            crossbar.measure(np.broadcast_to(bias, (block, len(bias))))
            conductances.append(crossbar.read_conductance(repeats=REPEATS))
            seen.append(seen[-1] + block)
            progress(seen[-1], self.reads)
            yield xr.Dataset(
                programming_variables(result)
                | {
                    "g_s": variable(
                        ("reading", "sl", "bl"), np.array(conductances, np.float32), "S", "conductance read"
                    ),
                    "bias_v": variable("bl", bias, "V", "bit line over source line in all conversions"),
                },
                coords={"reads": variable("reading", np.array(seen), "1", "conversions before this reading")},
            )

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        numbers = [Number("conversions", float(run["reads"][-1]))]
        for sign, name in ((1, "positive"), (-1, "negative")):
            change, error = (float(x[-1]) for x in disturb_s(run, sign))
            numbers.append(
                Number(
                    f"change of cells at the {name} input beyond those at rest", change * 1e6, "µS",
                    f"none: here ≤ {SIGMAS:g} · {error * 1e6:.2g} µS", bool(abs(change) <= SIGMAS * error),
                )
            )  # fmt: skip
        drift = (run["g_s"][-1] - run["g_s"][0]).to_numpy()[:, run["bias_v"].to_numpy() == 0]
        return [*numbers, Number("rms change of cells at rest", float(np.sqrt(np.mean(drift**2))) * 1e6, "µS")]


def disturb_s(run: xr.Dataset, sign: int) -> tuple[Array, Array]:
    """Mean change (readings,) S of the cells at the input of `sign` beyond the mean of those at rest, and its standard
    error (readings,) S. Cells that could not be programmed are left out."""
    good, bias = ~run["failed"].to_numpy(), run["bias_v"].to_numpy()
    change = (run["g_s"] - run["g_s"][0]).to_numpy().astype(float)
    held, rest = (change[:, good & (np.sign(bias) == s)] for s in (sign, 0))
    error = np.sqrt(held.var(axis=1) / held.shape[1] + rest.var(axis=1) / rest.shape[1])
    return held.mean(axis=1) - rest.mean(axis=1), error
