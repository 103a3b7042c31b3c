"""Fig. 2k: a layer of a network on an array, its outputs mapped back."""

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
    variable,
)
from drivers.crossbar import Crossbar


@dataclass(frozen=True)
class Products(Experiment):
    """Random weights of ±1 on 20–80 µS, random inputs of ±1 on the inputs' range, currents mapped back to outputs.

    I = Σ (middle + half·w)·V: what the middle conductance adds is known from the inputs alone and taken off. Rows
    with a cell that could not be programmed are shown apart.
    """

    name: ClassVar[str] = "mvm"
    panel: ClassVar[str] = "2k"

    first_s: float = parameter(20e-6, "Conductance of the weight −1.", 15e-6, 105e-6, "S")
    last_s: float = parameter(80e-6, "Conductance of the weight +1.", 15e-6, 105e-6, "S")
    vectors: int = parameter(256, "Input vectors.", 1, 1_000_000)

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        n_sl, n_bl = crossbar.shape
        middle_s, half_s = (self.first_s + self.last_s) / 2, (self.last_s - self.first_s) / 2
        weight = rng.uniform(-1.0, 1.0, (n_sl, n_bl))
        x = rng.uniform(-1.0, 1.0, (self.vectors, n_bl))
        volts = x * crossbar.board.levels.input_v
        target = middle_s + half_s * weight
        result = program_cells(crossbar, target, progress)
        readout = crossbar.measure(volts)
        # I = Σ (middle + half·w)·V: what the middle adds is known from the inputs alone.
        output = (readout.current_a - middle_s * volts.sum(axis=1, keepdims=True)) / (
            half_s * crossbar.board.levels.input_v
        )
        product = ("vector", "sl")
        yield xr.Dataset(
            programming_variables(result)
            | {
                "input_v": variable(("vector", "bl"), volts, "V", "bit-line voltage over the common mode"),
                "result_a": variable(product, readout.current_a, "A", "source-line current, zero-input offset removed"),
                "ideal_a": variable(product, volts @ target.T, "A", "targets times inputs, exact"),
                "output": variable(product, output, "1", "current mapped back"),
                "ideal": variable(product, x @ weight.T, "1", "weights times inputs, exact"),
            },
            attrs={"cycles": readout.cycles, "board_time_s": readout.board_time_s},
        )

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        ideal, output = outputs(run)
        sound = sound_rows(run)
        error = output - ideal
        return [
            Number("rms error over rms output", 100 * rms(error[:, sound]) / rms(ideal[:, sound]), "%"),
            Number("the same, with rows of failed cells", 100 * rms(error) / rms(ideal), "%"),
            Number("correlation", float(np.corrcoef(ideal[:, sound].ravel(), output[:, sound].ravel())[0, 1])),
            Number("rms error of a current", 1e6 * rms((run["result_a"] - run["ideal_a"]).to_numpy()[:, sound]), "µA"),
            Number("rows with a failed cell", float((~sound).sum())),
        ]


def outputs(run: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Exact outputs and those of the array, (vectors, n_sl); of a run of `xbar mvm` the currents, A."""
    names = ("ideal", "output") if "output" in run else ("ideal_a", "result_a")
    ideal, output = (run[name].to_numpy() for name in names)
    return ideal, output


def sound_rows(run: xr.Dataset) -> np.ndarray:
    """Source lines (n_sl,) without a cell that could not be programmed."""
    return np.asarray(~run["failed"].to_numpy().any(axis=1))


def rms(values: np.ndarray) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))
