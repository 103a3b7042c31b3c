"""Fig. 2h: a picture in an array, and the distribution of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

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
    wait,
)
from calibration.targets import pattern
from drivers.crossbar import Crossbar

CHECK_REPEATS = 16
"""Passes of the read by which a programming is judged: it takes no part in programming, and is less noisy."""
PAPER_TOLERANCE_S, PAPER_SHARE = 3.5e-6, 0.95


@dataclass(frozen=True)
class Pattern(Experiment):
    """Program "AI4S" into an array and judge it by a read that took no part in programming.

    Cells that could not be programmed count against the share within ±3.5 µS and not into σ.
    """

    name: ClassVar[str] = "pattern"
    panel: ClassVar[str] = "2h"

    later_s: float = parameter(0.0, "Board time between programming and the read.", 0.0, 1e8, "s")

    @property
    def wait_s(self) -> float:
        return self.later_s

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        result = program_cells(crossbar, pattern("AI4S", crossbar.shape), progress)
        programmed = programming_variables(result)
        yield xr.Dataset(programmed | check_read(crossbar), attrs={"check_repeats": CHECK_REPEATS})
        if self.later_s:
            wait(crossbar, self.later_s, progress, crossbar.board_time_s, self.later_s)
            yield xr.Dataset(programmed | check_read(crossbar), attrs={"check_repeats": CHECK_REPEATS})

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        error = errors_s(run)
        share = float(np.mean(np.abs(error) <= PAPER_TOLERANCE_S))
        good = error[~run["failed"].to_numpy()[np.isfinite(run["g_target_s"].to_numpy())]]
        return [
            Number("all cells within ±3.5 µS", 100 * share, "%", "> 95 %", bool(share > PAPER_SHARE)),
            Number("σ of the error, programmed cells", float(good.std()) * 1e6, "µS"),
            Number("mean error, programmed cells", float(good.mean()) * 1e6, "µS"),
            Number("largest error, programmed cells", float(np.abs(good).max()) * 1e6, "µS"),
            Number("cells that could not be programmed", float(run["failed"].sum())),
        ]


def check_read(crossbar: Crossbar) -> dict[str, Any]:
    """The read by which a programming is judged."""
    g = crossbar.read_conductance(repeats=CHECK_REPEATS)
    return {"g_check_s": variable(("sl", "bl"), g, "S", "conductance read afterwards, for judgement")}


def errors_s(run: xr.Dataset) -> np.ndarray:
    """Error (n,) S of every cell that had a target, failed ones as well; of a run of `xbar program`, as read there."""
    read = run["g_check_s"] if "g_check_s" in run else run["g_read_s"]
    error = (read - run["g_target_s"]).to_numpy()
    return np.asarray(error[np.isfinite(error)])
