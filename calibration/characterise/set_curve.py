"""Fig. 2e: what one SET leaves, against the word line's voltage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from calibration.characterise.experiment import Experiment, Number, Progress, parameter, variable
from calibration.write_verify_config import WriteVerifyConfig
from drivers.crossbar import Crossbar
from firmware_bridge.errors import ProtocolError

LINEAR_R2 = 0.98
"""Share of the variance of the means that a straight line must explain to be called roughly linear."""
MOVES_S = 15e-6
"""A cell whose mean differs by less than this over the gate voltages does not switch, S."""


@dataclass(frozen=True)
class SetCurve(Experiment):
    """Single-shot SET: RESET, one SET at each word-line voltage, read; mean, slope and spread.

    Cycle-to-cycle spread is that of one cell's shots, device-to-device spread that of the cells' means. Cells that do
    not switch are counted and left out. Costs each cell two pulses a shot and voltage.
    """

    name: ClassVar[str] = "set-curve"
    panel: ClassVar[str] = "2e"

    first_v: float = parameter(0.9, "Lowest word-line voltage.", 0.5, 2.2, "V")
    last_v: float = parameter(1.4, "Highest word-line voltage.", 0.5, 2.2, "V")
    points: int = parameter(11, "Word-line voltages.", 2, 1000)
    shots: int = parameter(20, "Shots at each voltage.", 2, 100_000)
    columns: int = parameter(4, "Bit lines whose cells are measured.", 1, 32)

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        pulse = WriteVerifyConfig()
        cells = np.arange(crossbar.shape[1]) < self.columns
        set_v, reset_v = (
            np.where(cells, v, np.nan) + np.zeros(crossbar.shape) for v in (pulse.set_v, -pulse.reset_v[1])
        )
        gates = np.linspace(self.first_v, self.last_v, self.points)
        reads = np.empty((self.shots, self.points, crossbar.shape[0], int(cells.sum())))
        attrs = {"set_v": pulse.set_v, "set_width_s": pulse.set_width_s, "reset_v": pulse.reset_v[1]}
        for shot in range(self.shots):
            for i, gate_v in enumerate(gates):
                crossbar.apply_pulses(reset_v, pulse.reset_gate_v, pulse.reset_width_s)
                crossbar.apply_pulses(set_v, gate_v, pulse.set_width_s)
                reads[shot, i] = crossbar.read_conductance()[:, cells]
                progress(shot * self.points + i + 1, reads.shape[0] * reads.shape[1])
            run = xr.Dataset(
                {
                    "g_s": variable(
                        ("shot", "gate", "sl", "bl"), reads[: shot + 1], "S", "conductance after RESET and one SET"
                    )
                },
                coords={"gate_v": variable("gate", gates, "V", "word line over source line in the SET")},
                attrs=attrs,
            )
            if not switches(run).any():
                raise ProtocolError(
                    f"none of the {reads[0, 0].size} cells on the first {self.columns} bit lines switches: over the "
                    f"gate voltages their means differ by less than {MOVES_S * 1e6:g} µS; see `xbar doctor`, or form "
                    "the cells"
                )
            yield run

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        gate, means = run["gate_v"].to_numpy(), cell_means_s(run)
        switching = switches(run)
        mean = means[:, switching].mean(axis=1)
        slope, offset = np.polyfit(gate, mean, 1)
        r2 = 1.0 - np.var(mean - slope * gate - offset) / np.var(mean)
        per_cycle = run["g_s"].to_numpy().std(axis=0, ddof=1)[:, switching] / means[:, switching]
        per_device = means[:, switching].std(axis=1) / mean
        linear = bool(r2 >= LINEAR_R2)
        return [
            Number("mean against voltage: R² of a line", r2, "", f"roughly linear: here ≥ {LINEAR_R2}", linear),
            Number("slope", slope * 1e6, "µS/V"),
            Number("voltage at which the line starts", -offset / slope, "V"),
            Number("cycle-to-cycle spread, median", 100 * float(np.median(per_cycle)), "%"),
            Number("device-to-device spread, median", 100 * float(np.median(per_device)), "%"),
            Number("cells that do not switch, left out", float((~switching).sum())),
        ]


def cell_means_s(run: xr.Dataset) -> np.ndarray:
    """Mean over the shots, (gates, n_sl, columns) S."""
    return run["g_s"].mean("shot").to_numpy()


def switches(run: xr.Dataset) -> np.ndarray:
    """Which cells (n_sl, columns) switch at all."""
    means = cell_means_s(run)
    return np.asarray(means.max(axis=0) - means.min(axis=0) > MOVES_S)
