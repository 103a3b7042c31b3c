"""Fig. 2i: repeated reads of programmed cells over days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from calibration.characterise.experiment import Experiment, Number, Progress, one_cell_each, parameter, variable, wait
from calibration.characterise.pattern import PAPER_TOLERANCE_S
from drivers.crossbar import Crossbar

FIRST_READ_S = 1.0
CANDIDATES = 3


@dataclass(frozen=True)
class Retention(Experiment):
    """Program cells to levels and read them at times that grow tenfold. A real board really waits.

    One cell for each level, the first of three that can be programmed; the first read is one second after programming.
    The mock skips the time; a real board needs --yes for more than an hour, and may be interrupted and resumed.
    """

    name: ClassVar[str] = "retention"
    panel: ClassVar[str] = "2i"

    first_s: float = parameter(30e-6, "Lowest level.", 15e-6, 105e-6, "S")
    last_s: float = parameter(95e-6, "Highest level.", 15e-6, 105e-6, "S")
    cells: int = parameter(20, "Cells, one at each level.", 2, 300)
    duration_s: float = parameter(1e6, "Time of the last read.", 1.0, 1e8, "s")
    per_decade: int = parameter(5, "Reads in each factor of ten of time.", 1, 1000)
    repeats: int = parameter(16, "Passes in each read.", 1, 10_000)

    @property
    def wait_s(self) -> float:
        return self.duration_s

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        levels = np.linspace(self.first_s, self.last_s, self.cells)
        places = rng.permutation(crossbar.shape[0] * crossbar.shape[1])[: self.cells * CANDIDATES]
        candidates = np.stack(np.divmod(places, crossbar.shape[1]), axis=-1).reshape(self.cells, CANDIDATES, 2)
        row, column = one_cell_each(crossbar, levels, candidates, progress).T
        start_s = crossbar.board_time_s
        reads = 1 + round(self.per_decade * np.log10(self.duration_s / FIRST_READ_S))
        times, g = np.geomspace(FIRST_READ_S, self.duration_s, max(reads, 2)), []
        for k, t in enumerate(times):
            wait(crossbar, max(start_s + t - crossbar.board_time_s, 0.0), progress, start_s, self.duration_s)
            times[k] = crossbar.board_time_s - start_s
            g.append(crossbar.read_conductance(repeats=self.repeats)[row, column])
            yield xr.Dataset(
                {"g_s": variable(("time", "cell"), np.array(g), "S", "conductance read")},
                coords={
                    "time_s": variable("time", times[: k + 1].copy(), "s", "board time since programming"),
                    "g_target_s": variable("cell", levels, "S", "target conductance"),
                    "row": variable("cell", row, "1", "source line"),
                    "column": variable("cell", column, "1", "bit line"),
                },
            )

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        change = (run["g_s"] - run["g_s"][0]).to_numpy()
        worst = float(np.abs(change).max())
        relative = change[-1] / run["g_s"][0].to_numpy()
        return [
            Number(
                "largest change of a cell, at any time", worst * 1e6, "µS", "stable: here ≤ 3.5 µS",
                bool(worst <= PAPER_TOLERANCE_S),
            ),
            Number("rms change at the end", float(np.sqrt(np.mean(change[-1] ** 2))) * 1e6, "µS"),
            Number("mean change at the end", 100 * float(relative.mean()), "%"),
            Number("time of the last read", float(run["time_s"][-1]), "s"),
        ]  # fmt: skip
