from __future__ import annotations

import numpy as np
import pytest

from calibration.characterise.endurance import Endurance
from calibration.characterise.experiment import silent
from calibration.characterise.forming import Forming
from calibration.characterise.iv_sweeps import IvSweeps, set_voltages_v, states_s
from drivers.board import load_board
from drivers.connect import open_crossbar
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock.array_params import CycleParams, FaultParams, FormingParams

CODE_A = 2 * 0.9 / 16384 / 3500.0
READ_S = CODE_A / load_board().levels.verify_v
"""More than what rounding does to a read's conductance, S: a whole code in every conversion."""
GATE_CODE_V = 5.0 / 65536


def floor_s(params, volts: float) -> float:
    """docs/device-model.md: where RESETs of `volts` come to rest, through a perfect switch."""
    p = params.switching
    return p.reset_floor_s * 10 ** (-(volts - p.reset_v) / p.reset_floor_decade_v)


# -- sweeps ------------------------------------------------------------------------------------------------------------
def test_sweeps_of_ideal_cells_end_where_gate_and_amplitude_say(measured):
    run, numbers, array = measured(IvSweeps(cycles=2, set_v=1.4, reset_v=1.6, step_v=0.2, gate_v=1.2))
    on, off = states_s(run)
    slope, threshold = array.params.switching.set_slope_s_per_v, array.params.transistor.v_th_v
    np.testing.assert_allclose(on, slope * (1.2 - threshold), atol=READ_S + slope * GATE_CODE_V)
    np.testing.assert_allclose(off, floor_s(array.params, 1.6), atol=READ_S)
    volts = run["amplitude_v"].to_numpy()
    np.testing.assert_allclose(
        volts[:13], [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.2, 1.0, 0.8, 0.6, 0.4, 0.2], atol=1e-12
    )
    assert volts[13:].tolist() == sorted(volts[13:21].tolist(), reverse=True) + sorted(volts[21:].tolist())
    assert numbers["on over off state, worst sweep of all cells"].met
    assert numbers["on state, spread over sweeps, median cell"].met


def test_a_set_sweep_follows_the_kinetics_of_the_cells(measured):
    run, _, array = measured(IvSweeps(cycles=1, step_v=0.05))
    p, volts = array.params.switching, run["amplitude_v"].to_numpy()
    up = volts[: int(volts.argmax()) + 1]
    # docs/device-model.md: each pulse takes the share 1 − exp(−w/τ) of the way that is left.
    rate = 10 ** ((up - p.set_v) / p.set_decade_v) / p.set_tau_s * (up >= p.disturb_v)
    on, off = p.set_slope_s_per_v * (1.2 - array.params.transistor.v_th_v), floor_s(array.params, 1.8)
    expected = on - (on - off) * np.exp(-np.cumsum(1e-3 * rate))
    # A DAC code of the bit line changes the rate by 0.16 %, and the rest of the way by less than half of that.
    bound = READ_S + 150e-6 * GATE_CODE_V + 0.001 * (on - off)
    assert np.abs(run["g_s"].to_numpy()[0, : len(up)] - expected[:, None]).max() < bound
    crossing = np.interp(np.sqrt(on * off), expected, up)
    assert np.abs(set_voltages_v(run) - crossing).max() < 0.05


def test_the_spread_over_sweeps_is_that_of_the_cells(measured):
    kappa = 3.3e-7
    cycle = CycleParams(set_granularity_s=kappa, reset_granularity_s=kappa)
    run, numbers, _ = measured(IvSweeps(cycles=40, step_v=0.7, set_v=1.4, reset_v=2.1), cycle=cycle)
    on, off = states_s(run)
    # docs/device-model.md: √(κ·(g − floor)), the floor being where the RESETs leave it.
    expected = 100 * np.sqrt(kappa * (on.mean() - off.mean())) / on.mean()
    # The median of 32 estimates from 40 sweeps each is known to 1.25 · 11 % / √32; taken at 4 σ.
    assert numbers["on state, spread over sweeps, median cell"].value == pytest.approx(expected, rel=0.1)


def test_a_cell_that_does_not_switch_is_left_out_of_the_sweeps_numbers(measured):
    stuck = FaultParams(stuck_high_fraction=0.0, stuck_low_fraction=0.0, stuck_low_cells=((4, 3),))
    _, numbers, _ = measured(IvSweeps(cycles=1, step_v=0.7, column=3), faults=stuck)
    assert numbers["cells that do not switch, left out"].value == 1
    assert numbers["on over off state, worst sweep of all cells"].value > 3


def test_sweeps_of_which_no_cell_switches_are_an_error_that_says_so(measured):
    dead = FaultParams(stuck_high_fraction=0.0, stuck_low_fraction=1.0)
    with pytest.raises(ProtocolError, match="none of the 32 cells on bit line 0 switches"):
        measured(IvSweeps(cycles=1, step_v=0.7), faults=dead)


@pytest.mark.parametrize("experiment", [IvSweeps(cycles=5000, step_v=0.1), Endurance(cycles=60_000)])
def test_more_pulses_than_a_cell_may_get_are_refused_before_the_first(experiment):
    with open_crossbar("mock") as crossbar:
        with pytest.raises(LimitError, match=r"cycles = .* pulses for each cell, limits.pulses_per_cell = 100000"):
            next(experiment.measure(crossbar, np.random.default_rng(0), silent))
        assert not crossbar.pulse_count.any()


# -- endurance ---------------------------------------------------------------------------------------------------------
def test_endurance_reads_both_states_at_cycles_that_grow_tenfold(measured):
    run, numbers, array = measured(Endurance(cycles=100, per_decade=2, column=7))
    assert run["cycle"].values.tolist() == [1, 3, 10, 32, 100]
    on = array.params.switching.set_slope_s_per_v * (1.2 - array.params.transistor.v_th_v)
    np.testing.assert_allclose(run["on_s"], on, atol=READ_S + 150e-6 * GATE_CODE_V)
    np.testing.assert_allclose(run["off_s"], floor_s(array.params, 2.0), atol=READ_S)
    assert numbers["cells that switched in the first cycle"].value == 32
    assert numbers["of them no longer 3 times on over off at the end"].value == 0


def test_a_cell_that_wears_out_is_counted():
    experiment = Endurance(cycles=10, per_decade=1)
    with open_crossbar("mock", seed=1) as crossbar:
        *_, run = experiment.measure(crossbar, np.random.default_rng(0), silent)
    run["on_s"][-1, :5] = run["off_s"][-1, :5]
    numbers = {n.name: n.value for n in Endurance.numbers(run)}
    assert numbers["of them no longer 3 times on over off at the end"] == 5


# -- forming -----------------------------------------------------------------------------------------------------------
def test_forming_finds_each_cells_voltage_and_leaves_what_the_gate_allows(measured):
    run, numbers, array = measured(Forming(step_v=0.05), forming=FormingParams(unformed_fraction=1.0))
    assert numbers["cells that did not conduct"].value == 1024
    assert numbers["of them formed"].value == 100
    p = array.params.forming
    early = p.form_v and array._cells.form_v.reshape(array.shape) - run["form_v"].to_numpy()
    # A pulse of 100 times the time constant forms with probability 1 − exp(−100·10^(−early/decade)): one cell in 10⁴
    # has formed 0.9 V early, and none that is over its voltage has not.
    assert early.min() > -0.05
    assert np.mean(early < 0.9) > 0.999
    expected = p.overshoot * array.params.switching.set_slope_s_per_v * (1.0 - array.params.transistor.v_th_v)
    assert numbers["conductance after forming, median"].value == pytest.approx(expected * 1e6, abs=READ_S * 1e6)


def test_forming_pulses_no_cell_that_conducts():
    with open_crossbar("mock", seed=1) as crossbar:
        conducting = crossbar.read_conductance(repeats=16) > 0.5e-6
        *_, run = Forming(step_v=0.5).measure(crossbar, np.random.default_rng(0), silent)
        assert conducting.sum() == 1024 - int(run["pristine"].sum()) > 1000
        assert not crossbar.pulse_count[conducting].any()
        assert (crossbar.pulse_count[~conducting] > 0).all()


def test_an_array_that_conducts_everywhere_is_not_formed(measured):
    with pytest.raises(ProtocolError, match="every cell conducts already"):
        measured(Forming())
