"""At which voltage cells form that have never conducted."""

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

FORMED_S = 5e-6
"""A cell that reads more than this conducts, S."""


@dataclass(frozen=True)
class Forming(Experiment):
    """Raise forming pulses step by step on the cells that do not conduct yet, each until it does.

    Cells that conduct are never pulsed. What a cell forms to is set by --gate-v. On the mock, a virgin chip is a --mock
    file with [array.forming] unformed_fraction = 1.0.
    """

    name: ClassVar[str] = "forming"

    first_v: float = parameter(2.4, "First amplitude.", 1.0, 4.0, "V")
    last_v: float = parameter(3.9, "Last amplitude.", 1.0, 4.0, "V")
    step_v: float = parameter(0.1, "Step.", 0.01, 1.0, "V")
    gate_v: float = parameter(1.0, "Word line over source line, which limits what a cell forms to.", 0.5, 1.6, "V")
    width_s: float = parameter(100e-6, "Width of each pulse.", 1e-6, 1e-2, "s")

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        amplitudes = np.linspace(self.first_v, self.last_v, round((self.last_v - self.first_v) / self.step_v) + 1)
        before = crossbar.read_conductance(repeats=4)
        pristine = before < WriteVerifyConfig().unformed_s
        if not pristine.any():
            raise ProtocolError("every cell conducts already: there is nothing to form; nothing was pulsed")
        form_v, formed_s = np.full(crossbar.shape, np.nan), np.full(crossbar.shape, np.nan)
        for k, amplitude_v in enumerate(amplitudes):
            # Only these: a pulse like that takes a cell that conducts to another conductance, or breaks it.
            waiting = pristine & np.isnan(form_v) & (crossbar.forming_left > 0)
            if waiting.any():
                crossbar.apply_pulses(np.where(waiting, amplitude_v, np.nan), self.gate_v, self.width_s, forming=True)
                g = crossbar.read_conductance(repeats=4)
                formed = waiting & (g > FORMED_S)
                form_v[formed], formed_s[formed] = amplitude_v, g[formed]
            progress(k + 1, len(amplitudes), f"{amplitude_v:.2f} V")
            grid = ("sl", "bl")
            yield xr.Dataset(
                {
                    "before_s": variable(grid, before, "S", "conductance read at the beginning"),
                    "form_v": variable(grid, form_v.copy(), "V", "amplitude that formed the cell, NaN where none did"),
                    "formed_s": variable(grid, formed_s.copy(), "S", "conductance read after that pulse"),
                    "pristine": (grid, pristine, {"long_name": "did not conduct at the beginning"}),
                },
                coords={"amplitude_v": variable("step", amplitudes[: k + 1], "V", "amplitude of each step")},
                attrs={"gate_v": self.gate_v, "width_s": self.width_s},
            )

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        pristine, form_v = run["pristine"].to_numpy(), run["form_v"].to_numpy()
        done = np.isfinite(form_v)
        numbers = [
            Number("cells that did not conduct", float(pristine.sum())),
            Number("of them formed", 100 * float(done.sum() / pristine.sum()), "%"),
        ]
        if done.any():
            g = run["formed_s"].to_numpy()[done]
            numbers += [
                Number("forming voltage, median", float(np.median(form_v[done])), "V"),
                Number("forming voltage, σ", float(form_v[done].std()), "V"),
                Number("conductance after forming, median", float(np.median(g)) * 1e6, "µS"),
                Number("conductance after forming, σ", float(g.std()) * 1e6, "µS"),
            ]
        return numbers
