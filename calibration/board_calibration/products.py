"""End to end: are products what the conductances say, as closely as noise lets anyone see?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibration.board_calibration.measuring import Array, Progress, silent
from drivers.board import Board
from drivers.crossbar import Crossbar

VECTORS, REPEATS, PASSES = 64, 16, 64
FULL_SCALE_LIMIT, NOISE_LIMIT = 0.01, 1.2
"""Largest rms error, over full scale and over the noise of one conversion."""


@dataclass(frozen=True)
class ProductCheck:
    """error_a, noise_a: rms A. full_scale_a: A. The error is that of one product, noise included."""

    error_a: float
    noise_a: float
    full_scale_a: float

    @property
    def passed(self) -> bool:
        """Whether the error is within both bounds."""
        return self.error_a <= min(FULL_SCALE_LIMIT * self.full_scale_a, NOISE_LIMIT * self.noise_a)


def compare(current_a: Array, expected_a: Array, full_scale_a: float) -> ProductCheck:
    """Currents (repeats, n, n_sl) A against what they should be (n, n_sl) A."""
    error = current_a - expected_a
    noise = np.sqrt(current_a.var(axis=0, ddof=1).mean())
    return ProductCheck(float(np.sqrt(np.mean(error**2))), float(noise), full_scale_a)


def random_products(crossbar: Crossbar, seed: int = 0, progress: Progress = silent) -> tuple[Array, Array]:
    """Products of random voltages with the array as it is, (repeats, n, n_sl) A, and what the conductances that the
    board itself reads make of them, (n, n_sl) A.

    Gains that are wrong in the same way in reads and in products do not show: only a bench sees those.
    """
    volts = np.random.default_rng(seed).uniform(-1, 1, (VECTORS, crossbar.shape[1])) * crossbar.board.levels.input_v
    conductance = crossbar.read_conductance(repeats=PASSES)
    progress(1, 2, "conductances")
    current = crossbar.mvm(np.tile(volts, (REPEATS, 1, 1)))
    progress(2, 2, "products")
    return current, volts @ conductance.T


def full_scale_a(board: Board) -> float:
    """Current at which the ADC's range ends, A."""
    return board.adc.vref_v / board.tia.rf_ohm


def check_products(crossbar: Crossbar, seed: int = 0) -> ProductCheck:
    """Random products against the conductances that the board itself reads."""
    return compare(*random_products(crossbar, seed), full_scale_a(crossbar.board))
