"""Fig. 2g: how conductances are distributed that were programmed to evenly spaced levels."""

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
    parameter,
    program_cells,
    programming_variables,
)
from calibration.characterise.pattern import CHECK_REPEATS, check_read
from drivers.crossbar import Crossbar

PAPER_SIGMA_S = 0.54e-6
"""Standard deviation of the paper's peaks, S (it gives no unit; µS presumed)."""


@dataclass(frozen=True)
class Levels(Experiment):
    """Program an array to evenly spaced levels, cells drawn at random, and look at each level's distribution.

    Judged by a read of 16 passes that took no part in programming. σ is that of the cells of one level; failed cells
    are counted and left out of it.
    """

    name: ClassVar[str] = "levels"
    panel: ClassVar[str] = "2g"

    first_s: float = parameter(20e-6, "Lowest level.", 15e-6, 105e-6, "S")
    last_s: float = parameter(100e-6, "Highest level.", 15e-6, 105e-6, "S")
    levels: int = parameter(17, "Levels.", 2, 1000)

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        levels = np.linspace(self.first_s, self.last_s, self.levels)
        cells = crossbar.shape[0] * crossbar.shape[1]
        # At random over the array, so that no level has the short wires for itself.
        target = rng.permutation(np.resize(levels, cells)).reshape(crossbar.shape)
        result = program_cells(crossbar, target, progress)
        variables = programming_variables(result) | check_read(crossbar)
        yield xr.Dataset(variables, attrs={"check_repeats": CHECK_REPEATS})

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        levels, sigma = level_sigmas_s(run)
        good = ~run["failed"].to_numpy()
        error = (run["g_check_s"] - run["g_target_s"]).to_numpy()[good]
        mean = float(sigma.mean())
        return [
            Number("σ of a level, mean", mean * 1e6, "µS", "≤ 0.54 µS", bool(mean <= PAPER_SIGMA_S)),
            Number("σ of a level, largest", float(sigma.max()) * 1e6, "µS"),
            Number("mean error", float(error.mean()) * 1e6, "µS"),
            Number("step between levels over mean σ", float(np.diff(levels).mean() / mean)),
            Number("cells programmed", 100 * float(good.mean()), "%"),
        ]


def level_sigmas_s(run: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Levels (n,) S and the standard deviation (n,) S of the cells programmed to each, failed ones left out."""
    target, read = run["g_target_s"].to_numpy(), run["g_check_s"].to_numpy()
    good = ~run["failed"].to_numpy()
    levels = np.unique(target[np.isfinite(target)])
    return levels, np.array([read[good & (target == level)].std(ddof=1) for level in levels])
