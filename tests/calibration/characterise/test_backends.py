"""The same characterisations on the gateware and on a board at the other end of a link."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from loopback import serving
from needs import needs_verilator

from calibration.characterise.endurance import Endurance
from calibration.characterise.experiment import Experiment, silent
from calibration.characterise.forming import Forming
from calibration.characterise.iv_sweeps import IvSweeps
from calibration.characterise.linearity import Linearity
from calibration.characterise.set_curve import SetCurve
from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.connect import open_crossbar

SEED = 1
SHORT = [
    IvSweeps(cycles=1, step_v=0.7, width_s=1e-5),
    SetCurve(points=2, shots=2, columns=1),
    Endurance(cycles=3, per_decade=1),
    Forming(step_v=0.75, width_s=1e-5),
]
"""Without waits, which the gateware really counts."""


def measured(address: str, experiment: Experiment) -> xr.Dataset:
    with open_crossbar(address, seed=SEED) as crossbar:
        *_, run = experiment.measure(crossbar, np.random.default_rng(0), silent)
    return run


@needs_verilator
@pytest.mark.parametrize("experiment", SHORT, ids=lambda e: e.name)
def test_the_gateware_measures_what_the_mock_measures(experiment):
    xr.testing.assert_identical(measured("rtl", experiment), measured("mock", experiment))


@pytest.mark.parametrize("experiment", [*SHORT, Linearity(cells=2, points=5, sweeps=1)], ids=lambda e: e.name)
def test_a_served_board_measures_what_the_mock_measures(experiment):
    with serving(open_bridge("mock", board=load_board(), seed=SEED)) as there:
        served = measured(str(there.address), experiment)
    xr.testing.assert_identical(served, measured("mock", experiment))
