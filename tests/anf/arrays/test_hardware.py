"""A flow on arrays, in software, and HMC beside each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from anf.arrays.hardware import HMC_CHAINS, Compared, compare
from anf.arrays.tuning import Tuning
from anf.flows.checkpoint import load_flow, shipped
from anf.lattice.actions import Phi4
from drivers.board import load_board
from drivers.connect import open_crossbar

ACTION, BOARD, N = Phi4(-4.0, 5.5, (4, 4)), load_board(), 1024


def compared(*, on_board: bool, tuning: Tuning | None) -> Compared:
    flow, _ = load_flow(Path(shipped(ACTION, "field")), ACTION)
    if not on_board:
        return compare(flow, ACTION, BOARD, [], proposals=N, tuning=tuning, seed=1)
    with open_crossbar("mock", board=BOARD, seed=1) as crossbar:
        return compare(flow, ACTION, BOARD, [crossbar], proposals=N, tuning=tuning, seed=1)


def test_a_field_flow_on_one_array_is_nearly_as_good_as_in_software_and_agrees_with_hmc() -> None:
    found = compared(on_board=True, tuning=Tuning(steps=4, batch=64))
    assert found.arrays == 1
    assert found.ess_software > 0.98
    assert found.ess_untuned > 0.9 * found.ess_software
    assert found.ess_hardware > 0.9 * found.ess_software
    assert found.cycles > 0
    assert found.board_time_s == pytest.approx(found.cycles * 1e-8)
    # Every cell at 100 µS and every line at full scale would take 0.1² V² · Σ G.
    assert 0 < found.cells_j < found.board_time_s * 0.1**2 * 1024 * 100e-6
    assert abs(found.pull("chi2")) < 4
    assert set(found.identities) >= {"virial", "zero_mode"}
    assert all(abs(pull) < 4 for pull in found.identities.values())
    assert found.hmc["chi2"].n_effective > HMC_CHAINS


def test_simulated_arrays_take_no_board_time_and_no_tuning_leaves_the_ess_as_it_is() -> None:
    found = compared(on_board=False, tuning=None)
    assert (found.cycles, found.board_time_s, found.cells_j) == (0, 0.0, 0)
    assert all(abs(pull) < 4 for pull in found.identities.values())
    assert found.ess_hardware == pytest.approx(found.ess_untuned, abs=0.1)
    here, there = found.hardware["chi2"], found.hmc["chi2"]
    assert found.pull("chi2") == pytest.approx((here.value - there.value) / np.hypot(here.error, there.error))
