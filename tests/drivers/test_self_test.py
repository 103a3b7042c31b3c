"""The self-test and the watch: healthy boards pass, every fault is told of with the outputs safe, or does no harm."""

import numpy as np
import pytest
from fault_trials import trial

from calibration.write_verify import program
from drivers.connect import mock_board, open_crossbar
from drivers.self_test import CELLS_S, SelfTestError, Watch, check_registers, self_test
from firmware_bridge.mock.board import MockParams
from firmware_bridge.mock.faults.catalogue import CATALOGUE
from firmware_bridge.mock.faults.lines import DriftJump, Supply

NOT_TESTED_SL = "not tested: all SLs are too much like others of one ADC"


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_fault_is_told_of_with_outputs_safe_or_leaves_later_products_within_what_cells_do_anyway(name):
    seen = trial(name)
    assert seen.safe
    assert seen.at_work is not None or seen.within_band
    assert seen.after_s < 0.02


def test_a_drift_within_the_band_is_not_told_of():
    # It costs acceptance, and nothing else: docs/theory.md, Metropolis–Hastings.
    seen = trial("drift jump of 1 % of each cell")
    assert seen.at_open is None
    assert seen.at_work is None
    assert 0 < seen.moved_s < CELLS_S


def test_a_fault_that_nobody_told_of_and_moved_more_would_be_seen(mocker):
    mocker.patch.object(Watch, "look")
    seen = trial("drift jump of 10 % of each cell")
    assert seen.at_work is None
    assert not seen.within_band


@pytest.mark.parametrize("mock", [None, MockParams.ideal()])
@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_board_passes_whatever_its_array_holds(seed, mock):
    with open_crossbar("mock", seed=seed, mock=mock) as crossbar:
        assert self_test(crossbar).board_time_s < 0.03
        crossbar.apply_pulses(1.5, np.random.default_rng(seed).uniform(0.9, 1.1, (32, 32)), 1e-6)
        tested = self_test(crossbar).tested
        # Without noise nobody can say whether lines that are alike are one.
        assert tested["muxes"] == ("all different" if mock is None else NOT_TESTED_SL)
        assert tested["word lines"] == "each alone"


@pytest.mark.parametrize("mock", [None, MockParams.ideal()])
@pytest.mark.parametrize("pattern", ["stripes", "checkerboard", "corner", "alike"])
def test_lines_that_were_programmed_alike_are_not_taken_for_joined(pattern, mock):
    sl, bl = np.indices((32, 32))
    target_s = {
        "stripes": np.where(bl % 2, 80e-6, 20e-6), "checkerboard": np.where((sl + bl) % 2, 80e-6, 20e-6),
        "corner": np.where((sl < 3) & (bl < 5), 60e-6, np.nan), "alike": np.full((32, 32), 50e-6),
    }[pattern]  # fmt: skip
    with open_crossbar("mock", seed=1, mock=mock) as crossbar, np.errstate(invalid="ignore", divide="ignore"):
        program(crossbar, target_s)
        self_test(crossbar)


def test_what_could_not_be_tested_is_said():
    with open_crossbar("mock", seed=1) as crossbar:
        program(crossbar, np.full((32, 32), 50e-6))
        assert "BLs, which are too much alike" in self_test(crossbar).tested["bit lines"]
        array = mock_board(crossbar).array
        array.reconnect(np.indices((32, 32))[0] < 8, False, array.now_s)
        tested = self_test(crossbar).tested
    for part in ("ADC span", "word lines"):
        assert "not tested: 8 of 32" in tested[part]


def test_the_self_test_pulses_nothing():
    with open_crossbar("mock", seed=1) as crossbar:
        before = mock_board(crossbar).array.save_state()
        self_test(crossbar)
        after = mock_board(crossbar).array.save_state()
        assert not crossbar.pulse_count.any()
    np.testing.assert_array_equal(before["cells_base_s"], after["cells_base_s"])


def test_a_healthy_board_is_never_told_of_in_a_day_of_looks():
    with open_crossbar("mock", seed=2) as crossbar:
        crossbar.apply_pulses(1.5, np.random.default_rng(0).uniform(0.9, 1.1, (32, 32)), 1e-6)
        crossbar.wait(60.0)
        watch = Watch(crossbar)
        for _ in range(48):
            crossbar.wait(1800.0)
            watch.look()
    assert watch.looks == 48
    # A look a second is less than a hundredth of board time.
    assert watch.cycles / watch.looks * crossbar.board.timing.period_s < 0.01


def test_the_error_names_part_expectation_measurement_limit_and_what_to_do():
    with open_crossbar("mock", seed=1) as crossbar:
        mock_board(crossbar).faults.add(Supply(dac=5, vdd_v=2.6))
        with pytest.raises(SelfTestError, match="outputs are safe") as told:
            check_registers(crossbar)
    error = told.value
    assert (error.part, error.expected, error.measured) == ("DAC 5 register STATUS", "0x0000", "0x0001")
    assert "supply" in error.advice
    assert "exact" in error.limit


def test_a_board_whose_cells_jumped_can_be_watched_anew():
    with open_crossbar("mock", seed=1) as crossbar:
        crossbar.apply_pulses(1.5, np.random.default_rng(0).uniform(0.9, 1.1, (32, 32)), 1e-6)
        watch = Watch(crossbar)
        mock_board(crossbar).faults.add(DriftJump(relative=0.1))
        with pytest.raises(SelfTestError):
            watch.look()
        Watch(crossbar).look()
