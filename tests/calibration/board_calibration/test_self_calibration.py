"""What a board finds out about itself, against what is true of it."""

import numpy as np
import pytest
from spread_boards import CONDUCTING, spread_board, truth

from calibration.board_calibration.measuring import CalibrationError, fit
from calibration.board_calibration.self_calibration import self_calibration
from drivers.connect import mock_board, open_crossbar
from firmware_bridge.mock.array_params import ArrayParams
from firmware_bridge.mock.board import MockParams

BOARDS = 6


@pytest.fixture(scope="module")
def found():
    """[(findings, truth)] of boards whose arrays conduct."""
    out = []
    for seed in range(BOARDS):
        with open_crossbar("mock", seed=seed, mock=spread_board(**CONDUCTING)) as crossbar:
            out.append((self_calibration(crossbar), truth(mock_board(crossbar))))
    return out


QUANTITIES = [
    "adc.zero_code", "tia.offset_v", "bl.zero_code", "bl.volts_per_code", "adc.inl_bow_code", "adc.inl_ess_code",
    "bl.driver_ohm",
]  # fmt: skip


@pytest.mark.parametrize("name", QUANTITIES)
def test_truth_lies_within_four_standard_uncertainties_and_mostly_within_the_interval(found, name):
    errors, inside = [], []
    for findings, true in found:
        estimate = findings.estimates[name]
        error = estimate.value - true[name]
        errors.append(error / estimate.standard_uncertainty)
        inside.append(np.abs(error) <= estimate.half_width())
    # Of n independent intervals, 95 % hold; four standard deviations below that is a defect. Lines share errors, so the
    # number of independent ones is taken as that of boards times eight.
    assert np.mean(inside) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / (8 * BOARDS))
    assert np.abs(errors).max() < 5


def test_gains_of_the_dacs_are_known_ten_times_better_against_each_other_than_as_such(found):
    for findings, true in found:
        estimate = findings.estimates["bl.volts_per_code"]
        relative = estimate.value / true["bl.volts_per_code"]
        assert relative.std() < 0.001
        assert np.median(estimate.scatter / estimate.value) < 0.001
        assert (estimate.standard_uncertainty / estimate.value > 0.002).all()


def test_it_takes_three_seconds_of_board_time():
    with open_crossbar("mock", seed=1, mock=spread_board(**CONDUCTING)) as crossbar:
        self_calibration(crossbar)
        assert 1.0 < crossbar.board_time_s < 4.0
        assert crossbar.pulse_count.sum() == 0


def test_an_array_that_hardly_conducts_leaves_said_what_it_does_not_show():
    with open_crossbar("mock", seed=1, mock=spread_board()) as crossbar:
        findings = self_calibration(crossbar)
    assert set(findings.not_identified) == {"adc.inl", "bl.driver_ohm"}
    assert "program the array to 50 µS" in findings.not_identified["adc.inl"]
    assert "bl.driver_ohm" not in findings.estimates


def test_rows_that_are_all_alike_tell_no_bit_line_from_another():
    alike = MockParams.ideal().model_copy(update={"array": ArrayParams.ideal()})
    with open_crossbar("mock", seed=1, mock=alike) as crossbar:
        findings = self_calibration(crossbar)
    assert not {"bl.volts_per_code", "bl.driver_ohm"} & set(findings.estimates)
    assert any("bl.zero_code" in name or "not identifiable" in name for name in findings.not_identified)


def test_a_fit_names_the_parameters_that_its_data_do_not_tell_apart():
    x = np.arange(5.0)
    design = np.column_stack([np.ones(5), x, 2 * x])
    with pytest.raises(CalibrationError, match=r"not identifiable: slope, same slope"):
        fit(design, x, 1.0, ("offset", "slope", "same slope"))
