from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from calibration.characterise import EXPERIMENTS
from calibration.characterise.experiment import silent
from calibration.characterise.levels import Levels
from calibration.characterise.linearity import Linearity
from calibration.characterise.pattern import Pattern
from calibration.characterise.products import Products
from calibration.characterise.retention import Retention
from calibration.characterise.set_curve import SetCurve
from drivers.board import load_board
from drivers.connect import open_crossbar
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock.array_params import (
    CycleParams,
    FaultParams,
    NonlinearityParams,
    RelaxationParams,
    RetentionParams,
    SpreadParams,
)

CODE_A = 2 * 0.9 / 16384 / 3500.0
GATE_CODE_V = 5.0 / 65536
VERIFY_V, INPUT_V = load_board().levels.verify_v, load_board().levels.input_v
READ_S = CODE_A / VERIFY_V
"""More than what rounding does to a read's conductance, S: a whole code in every conversion."""


# -- set curve ---------------------------------------------------------------------------------------------------------
def test_a_set_curve_finds_the_slope_and_the_threshold_of_ideal_cells(measured):
    _, numbers, array = measured(SetCurve(first_v=0.9, last_v=1.4, points=3, shots=2, columns=1))
    slope = array.params.switching.set_slope_s_per_v * 1e6
    # A mean over 32 equal cells at either end of half a volt, each off by a read and by half a code of the gate.
    error = 2 * READ_S * 1e6 / 0.5 + slope * GATE_CODE_V / 0.5
    assert numbers["slope"].value == pytest.approx(slope, abs=error)
    threshold = array.params.transistor.v_th_v
    assert numbers["voltage at which the line starts"].value == pytest.approx(threshold, abs=2 * error / slope)
    assert numbers["mean against voltage: R² of a line"].met


def test_a_set_curve_tells_cycle_to_cycle_from_device_to_device_spread(measured):
    kappa, relative = 3.3e-7, 0.08
    cycle = CycleParams(set_granularity_s=kappa, reset_granularity_s=kappa)
    spread = SpreadParams(set_slope_rel=relative, v_th_v=0.0, set_v=0.0, reset_v=0.0)
    experiment = SetCurve(first_v=1.0, last_v=1.2, points=2, shots=40, columns=2)
    run, numbers, array = measured(experiment, cycle=cycle, spread=spread)
    # docs/device-model.md: a SET from a low conductance to g has √(κ·(g − floor));
    # the floor is where a RESET leaves it.
    g, floor = run["g_s"].mean(("shot", "sl", "bl")).to_numpy(), array.params.switching.g_min_s
    low, high = (100 * np.sqrt(kappa * (g - cut)) / g for cut in (5e-6, floor))
    # The median of 128 estimates from 40 shots each is known to 1.25 · 11 % / √128.
    expected = (low.min(), high.max())
    assert 0.95 * expected[0] < numbers["cycle-to-cycle spread, median"].value < 1.05 * expected[1]
    slopes = array._cells.slope_s_per_v.reshape(array.shape)[:, :2]
    own = 100 * slopes.std() / slopes.mean()
    assert numbers["device-to-device spread, median"].value == pytest.approx(own, rel=0.1)


def test_a_cell_that_does_not_switch_is_left_out_of_a_set_curve(measured):
    stuck = FaultParams(stuck_high_fraction=0.0, stuck_low_fraction=0.0, stuck_low_cells=((4, 0),))
    run, numbers, _ = measured(SetCurve(points=2, shots=2, columns=1), faults=stuck)
    assert numbers["cells that do not switch, left out"].value == 1
    assert float(run["g_s"].isel(sl=4).max()) < 2e-6
    assert numbers["device-to-device spread, median"].value < 0.5


def test_cells_none_of_which_switches_are_an_error_that_says_so(measured):
    dead = FaultParams(stuck_high_fraction=0.0, stuck_low_fraction=1.0)
    with pytest.raises(ProtocolError, match="none of the 32 cells on the first 1 bit lines switches"):
        measured(SetCurve(points=2, shots=2, columns=1), faults=dead)


# -- levels and pattern ------------------------------------------------------------------------------------------------
def test_levels_are_judged_by_what_the_cells_hold(measured):
    run, numbers, array = measured(Levels(levels=5), cycle=CycleParams(), spread=SpreadParams())
    truth = array.conductance_s(array.now_s)
    assert np.abs(run["g_check_s"].to_numpy() - truth).max() < READ_S
    target, good = run["g_target_s"].to_numpy(), ~run["failed"].to_numpy()
    sigma = np.mean([truth[good & (target == g)].std(ddof=1) for g in np.unique(target)]) * 1e6
    assert numbers["σ of a level, mean"].value == pytest.approx(sigma, abs=READ_S * 1e6)
    assert numbers["σ of a level, mean"].met


def test_levels_are_spread_evenly_over_cells_at_random(measured):
    run, _, _ = measured(Levels(first_s=20e-6, last_s=100e-6, levels=17))
    level, count = np.unique(run["g_target_s"], return_counts=True)
    np.testing.assert_allclose(level, np.arange(20, 101, 5) * 1e-6)
    assert count.max() - count.min() <= 1


def test_failed_cells_count_against_a_pattern_and_not_into_its_sigma(measured):
    stuck = tuple((row, 3) for row in range(32))
    faults = FaultParams(stuck_high_fraction=0.0, stuck_low_fraction=0.0, stuck_high_cells=stuck, stuck_high_s=150e-6)
    _, numbers, _ = measured(Pattern(), faults=faults)
    assert numbers["cells that could not be programmed"].value == 32
    assert numbers["all cells within ±3.5 µS"].value == pytest.approx(100 * 992 / 1024)
    assert numbers["σ of the error, programmed cells"].value < 0.5


@pytest.mark.parametrize(("off", "met"), [(51, True), (52, False)])
def test_the_bar_of_a_pattern_is_more_than_95_percent(off, met):
    error = np.zeros(1024)
    error[:off] = 3.6e-6
    grid = ("sl", "bl")
    run = xr.Dataset(
        {
            "g_target_s": (grid, np.full((32, 32), 5e-5)),
            "g_check_s": (grid, 5e-5 + error.reshape(32, 32)),
            "failed": (grid, np.zeros((32, 32), bool)),
        }
    )
    assert Pattern.numbers(run)[0].met is met


# -- retention ---------------------------------------------------------------------------------------------------------
def test_retention_follows_the_drift_of_the_cells(measured):
    relaxation = RelaxationParams(mean_s=-0.2e-6, sigma_s=0.0, t0_s=1e-3, step_scale_s=1e-12)
    loss = RetentionParams(loss_per_decade=0.02, start_s=1e3)
    experiment = Retention(cells=4, duration_s=1e6, per_decade=1, repeats=1)
    run, numbers, _ = measured(experiment, relaxation=relaxation, retention=loss)
    t = run["time_s"].to_numpy()
    np.testing.assert_allclose(t, np.geomspace(1.0, 1e6, 7), rtol=1e-6)
    g = run["g_s"].to_numpy()
    # The last pulse of a cell came before the first read, by 10.5 s of write-verify at most.
    for lag in (0.0, 10.5):
        drift = -0.2e-6 * np.log((t + lag) / (t[0] + lag))
        kept = (1 - 0.02 * np.log10(1 + (t + lag) / 1e3))[:, None]
        expected = (g[0] + drift[:, None]) * kept
        late = t > 1e4
        # What the lag does to the first read is c · ln(1 + 10.5 s / 1 s) at most.
        assert np.abs(g - expected)[late].max() < 2 * READ_S + 0.2e-6 * np.log(11.5)
    assert numbers["largest change of a cell, at any time"].met is False


def test_cells_that_do_not_drift_do_not_change(measured):
    run, numbers, _ = measured(Retention(cells=3, duration_s=100.0, per_decade=1, repeats=1))
    assert float(np.ptp(run["g_s"].to_numpy(), axis=0).max()) < READ_S
    assert numbers["largest change of a cell, at any time"].met


def test_a_level_none_of_whose_cells_can_be_programmed_is_named(measured):
    everything = FaultParams(stuck_high_fraction=0.0, stuck_low_fraction=1.0)
    with pytest.raises(
        ProtocolError, match=r"none of 3 cells could be programmed to 30\.0 µS: cell \(SL \d+, BL \d+\)"
    ):
        measured(Retention(cells=2, duration_s=1.0), faults=everything)


# -- linearity ---------------------------------------------------------------------------------------------------------
def test_ohmic_cells_are_found_ohmic_and_their_slope_is_their_conductance(measured):
    # What the mock adds beyond ±0.1 V must not show within.
    run, numbers, array = measured(
        Linearity(cells=4, points=9, sweeps=2, column=5), nonlinearity=NonlinearityParams(coefficient=0.5)
    )
    truth = array.conductance_s(array.now_s)[run["row"].to_numpy(), 5]
    current, volts = run["current_a"].to_numpy(), run["voltage_v"].to_numpy()
    # A rounded code, a rounded zero, noise of a fifth of a code at 5 σ, and a rounded DAC code.
    bound = 2 * CODE_A + truth * GATE_CODE_V / 2
    assert (np.abs(current - volts[:, None] * truth) <= bound).all()
    assert numbers["R² of a line, worst cell"].met
    assert numbers["largest departure from it"].value < 100 * 3 * CODE_A / (truth.min() * INPUT_V)


def test_a_bent_line_misses_the_bar_of_linearity():
    volts = np.linspace(-0.1, 0.1, 41)
    current = 5e-5 * (volts + 20 * volts**3)
    run = xr.Dataset(
        {"current_a": (("voltage", "cell"), current[:, None])},
        coords={"voltage_v": ("voltage", volts), "g_target_s": ("cell", [5e-5])},
    )
    numbers = {n.name: n for n in Linearity.numbers(run)}
    # 20 V⁻² · (0.1 V)² = 20 % of the Ohmic current; the fitted line is 3/5 of that steeper.
    assert numbers["cubic part at full voltage, rms"].value == pytest.approx(20 / (1 + 0.6 * 0.2 * 41 / 39), rel=0.02)
    assert numbers["R² of a line, worst cell"].met is False


def test_a_bit_line_that_the_array_does_not_have_is_refused():
    with open_crossbar("mock") as crossbar, pytest.raises(LimitError, match="column = 32 is outside 0 … 31"):
        next(Linearity(column=32).measure(crossbar, np.random.default_rng(0), silent))


# -- products ----------------------------------------------------------------------------------------------------------
def test_outputs_mapped_back_are_those_of_the_weights_that_the_array_holds(measured):
    run, numbers, array = measured(Products(vectors=20))
    held = (array.conductance_s(array.now_s) - 50e-6) / 30e-6
    x = run["input_v"].to_numpy() / INPUT_V
    # A rounded code, a rounded zero and 5 σ of noise; 32 inputs rounded to DAC codes, on up to 80 µS, over 30 µS.
    bound = 2 * CODE_A / (30e-6 * INPUT_V) + 32 * GATE_CODE_V / 2 / INPUT_V * 80 / 30
    assert np.abs(run["output"].to_numpy() - x @ held.T).max() < bound
    assert numbers["rows with a failed cell"].value == 0
    assert numbers["rms error over rms output"].value < 5


# -- all ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_parameter_outside_its_range_is_refused_by_name(name):
    kind = EXPERIMENTS[name]
    for key, f in kind.__dataclass_fields__.items():
        if "high" in f.metadata:
            with pytest.raises(LimitError, match=f"^{key} = .*xbar characterise {name}"):
                kind(**{key: f.metadata["high"] * 2 + 1})
