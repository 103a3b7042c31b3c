"""Boards whose parts are known one by one, so that a test can say what a characterisation must find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from calibration.characterise.experiment import Experiment, silent
from drivers.connect import mock_board, open_crossbar
from drivers.crossbar import Crossbar
from firmware_bridge.mock.array import Array
from firmware_bridge.mock.board import MockParams

CODE_A = 2 * 0.9 / 16384 / 3500.0
"""Current of one ADC code on the default board, A."""
IDEAL = MockParams.ideal()
# Write-verify weighs pulses by the noise of its reads: without any, nothing is known about them.
QUIET = IDEAL.model_copy(update={"adc": IDEAL.adc.model_copy(update={"noise_lsb_rms": 0.2})})


@pytest.fixture
def measured() -> Callable[..., tuple[xr.Dataset, dict[str, Any], Array]]:
    """``measured(experiment, array parts…)``: the run, its numbers by name, and the array, on chips without error,
    whose converters have a fifth of a code of noise."""

    def run(experiment: Experiment, *, chips: MockParams = QUIET, **parts: Any):
        mock = chips.model_copy(update={"array": chips.array.model_copy(update=parts)})
        with open_crossbar("mock", mock=mock, seed=3) as crossbar:
            *_, data = experiment.measure(crossbar, np.random.default_rng(0), silent)
            return data, {n.name: n for n in experiment.numbers(data)}, array_of(crossbar)

    return run


def array_of(crossbar: Crossbar) -> Array:
    board = mock_board(crossbar)
    assert board is not None
    return board.array
