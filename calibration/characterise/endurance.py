"""How long cells go on switching."""

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
    refuse_absent_column,
    refuse_too_many_pulses,
    variable,
)
from calibration.characterise.iv_sweeps import LEAST_S, OPEN_WINDOW
from calibration.write_verify_config import WriteVerifyConfig
from drivers.crossbar import Crossbar

REPEATS = 4


@dataclass(frozen=True)
class Endurance(Experiment):
    """SET and RESET the cells of a bit line again and again, and read both states at cycles that grow tenfold.

    It wears the cells of that bit line. The board's own limit on pulses of a cell is checked before the first. Cells of
    the mock do not wear out.
    """

    name: ClassVar[str] = "endurance"

    cycles: int = parameter(1000, "Cycles of one SET and one RESET.", 1, 1_000_000)
    per_decade: int = parameter(5, "Readings in each factor of ten of cycles.", 1, 1000)
    gate_v: float = parameter(1.2, "Word line over source line in the SET.", 0.5, 2.2, "V")
    column: int = parameter(0, "Bit line of the cells.", 0, 255)

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        refuse_absent_column(crossbar, self.column)
        refuse_too_many_pulses(crossbar, 2 * self.cycles, "cycles", self.cycles)
        c = WriteVerifyConfig()
        cells = np.full(crossbar.shape, np.nan)
        cells[:, self.column] = 1.0
        set_ = (cells * c.set_v, self.gate_v, c.set_width_s)
        reset = (-cells * c.reset_v[1], c.reset_gate_v, c.reset_width_s)
        readings = 1 + round(self.per_decade * np.log10(self.cycles))
        at = np.unique(np.geomspace(1, self.cycles, max(readings, 1)).round().astype(int))
        states, seen = [], []
        for cycle in range(1, self.cycles + 1):
            read = cycle in at
            crossbar.apply_pulses(*set_)
            on = crossbar.read_conductance(repeats=REPEATS)[:, self.column] if read else None
            crossbar.apply_pulses(*reset)
            progress(cycle, self.cycles)
            if on is None:
                continue
            states.append([on, crossbar.read_conductance(repeats=REPEATS)[:, self.column]])
            seen.append(cycle)
            g = np.array(states)
            reading = ("reading", "sl")
            yield xr.Dataset(
                {
                    "on_s": variable(reading, g[:, 0], "S", "conductance after the SET"),
                    "off_s": variable(reading, g[:, 1], "S", "conductance after the RESET"),
                },
                coords={"cycle": variable("reading", np.array(seen), "1", "cycles done, this one included")},
                attrs={"column": self.column, "set_v": c.set_v, "reset_v": c.reset_v[1], "gate_v": self.gate_v},
            )

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        on, off = run["on_s"].to_numpy(), run["off_s"].to_numpy()
        open_ = on > OPEN_WINDOW * np.maximum(off, LEAST_S)
        alive = open_[0]
        worn = alive & ~open_[-1]
        window = (
            np.median((on / np.maximum(off, LEAST_S))[:, alive], axis=1) if alive.any() else np.full(len(on), np.nan)
        )
        return [
            Number("cycles", float(run["cycle"][-1])),
            Number("cells that switched in the first cycle", float(alive.sum())),
            Number(f"of them no longer {OPEN_WINDOW:g} times on over off at the end", float(worn.sum())),
            Number("on over off, median, first reading", float(window[0])),
            Number("on over off, median, last reading", float(window[-1])),
        ]
