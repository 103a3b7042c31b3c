"""Fig. 2d: bipolar switching, swept again and again.

A board holds no switching voltage on a line while it converts: that would program without a limit on time. So a sweep
is a staircase of long pulses, with a read at ±`levels.verify_v` after each.
"""

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
    refuse_absent_column,
    refuse_too_many_pulses,
    variable,
)
from calibration.write_verify_config import WriteVerifyConfig
from drivers.crossbar import Crossbar
from firmware_bridge.errors import ProtocolError

OPEN_WINDOW = 3.0
"""A cell has switched if it conducts this many times more after the SET sweep than after the RESET sweep."""
LEAST_S = 0.1e-6
"""Least conductance that a ratio or a logarithm is taken of, S: reads of a dead cell scatter about zero."""
UNIFORM_REL = 0.10
"""Spread of the on state from cycle to cycle that is called uniform: the upper end of what is usual for TaOx."""


@dataclass(frozen=True)
class IvSweeps(Experiment):
    """Sweep cells through SET and RESET and back, again and again: pulses in a staircase, a read after each.

    All cells of one bit line at once, after a RESET. No board holds a switching voltage on a line while it converts, so
    what is shown is the current at the read voltage after each pulse. Costs each cell some 60 pulses a sweep.
    """

    name: ClassVar[str] = "iv-sweeps"
    panel: ClassVar[str] = "2d"

    cycles: int = parameter(200, "Sweeps through SET and RESET.", 1, 10_000)
    set_v: float = parameter(1.4, "Turning point of the SET sweep.", 0.2, 2.0, "V")
    reset_v: float = parameter(1.8, "Turning point of the RESET sweep, magnitude.", 0.2, 2.2, "V")
    step_v: float = parameter(0.1, "Step of the staircase.", 0.01, 1.0, "V")
    gate_v: float = parameter(
        1.2, "Word line over source line in the SET sweep, which limits the current.", 0.5, 2.2, "V"
    )
    width_s: float = parameter(1e-3, "Width of each pulse.", 1e-6, 1e-3, "s")
    column: int = parameter(0, "Bit line of the cells.", 0, 255)

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        n_sl = crossbar.shape[0]
        refuse_absent_column(crossbar, self.column)
        stairs = np.concatenate([_there_and_back(self.set_v, self.step_v), -_there_and_back(self.reset_v, self.step_v)])
        gates = np.where(stairs > 0, self.gate_v, WriteVerifyConfig().reset_gate_v)
        pulses = self.cycles * len(stairs) + 1
        refuse_too_many_pulses(crossbar, pulses, "cycles", self.cycles)
        amplitude = np.full(crossbar.shape, np.nan)

        def step(volts: float, gate_v: float) -> Array:
            amplitude[:, self.column] = volts
            crossbar.apply_pulses(amplitude, gate_v, self.width_s)
            return np.asarray(crossbar.read_conductance()[:, self.column])

        step(-self.reset_v, gates[-1])
        g = np.empty((self.cycles, len(stairs), n_sl), np.float32)
        for cycle in range(self.cycles):
            for i, (volts, gate_v) in enumerate(zip(stairs, gates, strict=True)):
                g[cycle, i] = step(volts, gate_v)
                progress(cycle * len(stairs) + i + 1, g.shape[0] * g.shape[1], f"sweep {cycle + 1}")
            run = xr.Dataset(
                {"g_s": variable(("cycle", "step", "sl"), g[: cycle + 1], "S", "conductance read after the pulse")},
                coords={"amplitude_v": variable("step", stairs, "V", "bit line over source line in the pulse")},
                attrs={"column": self.column, "verify_v": crossbar.board.levels.verify_v, "width_s": self.width_s},
            )
            if not switches(run).any():
                raise ProtocolError(
                    f"none of the {n_sl} cells on bit line {self.column} switches: no conductance after the SET sweep "
                    f"is {OPEN_WINDOW:g} times that after the RESET sweep; form the cells, or sweep further"
                )
            yield run

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        on, off = states_s(run)
        good = switches(run)
        on, off = on[:, good], off[:, good]
        spread = on.std(axis=0, ddof=1) / on.mean(axis=0) if len(on) > 1 else np.full(on.shape[1], np.nan)
        worst = float((on / np.maximum(off, LEAST_S)).min())
        tenth = max(len(on) // 10, 1)
        drift = on[-tenth:].mean() / on[:tenth].mean() - 1.0
        typical = float(np.median(spread))
        volts = set_voltages_v(run)[:, good]
        return [
            Number(
                "on over off state, worst sweep of all cells", worst, "", f"bipolar: here ≥ {OPEN_WINDOW:g}",
                bool(worst >= OPEN_WINDOW),
            ),
            Number(
                "on state, spread over sweeps, median cell", 100 * typical, "%",
                f"uniform: here ≤ {100 * UNIFORM_REL:g} %", bool(typical <= UNIFORM_REL) if len(on) > 1 else None,
            ),
            Number("on state, change from first to last tenth of the sweeps", 100 * float(drift), "%"),
            Number("on state, mean", float(on.mean()) * 1e6, "µS"),
            Number("off state, mean", float(off.mean()) * 1e6, "µS"),
            Number("SET voltage, mean", float(volts.mean()), "V"),
            Number("SET voltage, spread over sweeps, median cell", float(np.median(volts.std(axis=0))), "V"),
            Number("sweeps", float(len(on))),
            Number("cells that do not switch, left out", float((~good).sum())),
        ]  # fmt: skip


def _there_and_back(top_v: float, step_v: float) -> Array:
    """Voltages of a sweep from the first step to `top_v` and back."""
    up = np.linspace(0.0, top_v, max(round(top_v / step_v), 1) + 1)[1:]
    return np.concatenate([up, up[-2::-1]])


def states_s(run: xr.Dataset) -> tuple[Array, Array]:
    """On state, after the SET sweep, and off state, after the RESET sweep, each (cycles, n_sl) S."""
    g = run["g_s"].to_numpy().astype(float)
    turn = int((run["amplitude_v"].to_numpy() > 0).sum())
    return g[:, turn - 1], g[:, -1]


def switches(run: xr.Dataset) -> np.ndarray:
    """Which cells (n_sl,) switch, in the mean over the sweeps."""
    on, off = states_s(run)
    return np.asarray(on.mean(axis=0) > OPEN_WINDOW * np.maximum(off.mean(axis=0), LEAST_S))


def set_voltages_v(run: xr.Dataset) -> Array:
    """Voltage (cycles, n_sl) V at which the SET sweep passes the geometric mean of a cell's two states, between steps
    linear in ln g."""
    on, off = states_s(run)
    volts = run["amplitude_v"].to_numpy()
    up = int(volts.argmax()) + 1
    log_g = np.log(np.maximum(run["g_s"].to_numpy()[:, :up].astype(float), LEAST_S))
    middle = np.log(np.maximum(on, LEAST_S) * np.maximum(off, LEAST_S)) / 2
    after = np.maximum((log_g > middle[:, None]).argmax(axis=1), 1)
    above, below = (np.take_along_axis(log_g, k[:, None], axis=1)[:, 0] for k in (after, after - 1))
    share = np.clip((middle - below) / np.maximum(above - below, 1e-9), 0.0, 1.0)
    return np.asarray(volts[after - 1] + share * (volts[after] - volts[after - 1]))
