"""States in which conversions are made, and lines that are held for somebody to measure."""

import math

import numpy as np
import pytest
from spread_boards import CONDUCTING, spread_board

from drivers.connect import mock_bench, mock_board, open_crossbar
from drivers.line_control import READ, ReadState
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock.array_params import ArrayParams, InitialParams
from firmware_bridge.mock.board import MockParams
from firmware_bridge.mock.stream import Route

VCM, VFORM = 32768, 13107


@pytest.fixture
def crossbar():
    """Without errors, cells that differ."""
    array = ArrayParams.ideal().model_copy(update={"initial": InitialParams(g_median_s=50e-6, log_spread=0.3)})
    with open_crossbar("mock", seed=3, mock=MockParams.ideal().model_copy(update={"array": array})) as it:
        yield it


def codes(offset, level=VCM):
    return np.full((1, 32), level + offset, np.uint16)


def hold(crossbar, code, then):
    with crossbar.held([np.full(64, code, np.uint16)], connect=True) as steps:
        next(steps)
        then()


def test_with_rows_off_no_current_flows_and_with_one_on_its_alone(crossbar):
    assert not crossbar.convert(codes(1000), ReadState(rows=())).any()
    alone = crossbar.convert(codes(1000), ReadState(rows=(5,)))[0]
    np.testing.assert_array_equal(np.flatnonzero(alone), [5])
    assert alone[5] == crossbar.convert(codes(1000))[0, 5]


def test_bit_lines_on_the_common_mode_see_nothing_of_the_dacs(crossbar):
    assert not crossbar.convert(codes(1000), ReadState(bit_lines="vcm")).any()


def test_around_the_forming_level_cells_conduct_as_around_the_common_mode(crossbar):
    # 1.0 V lies a fifth of a code off the nearest one.
    there = crossbar.convert(codes(1000, VFORM), ReadState(reference="form"))
    here = crossbar.convert(codes(1000))
    assert np.abs(there - here).max() <= 3
    assert np.abs(here).min() > 1000


def test_open_converters_show_their_own_zero(crossbar):
    assert not crossbar.convert(codes(1000), ReadState(adc_inputs="open")).any()


def test_every_state_leaves_reads_as_they_were(crossbar):
    before = crossbar.read_conductance()
    for state in (ReadState(rows=(1,)), ReadState(reference="form"), ReadState(bit_lines="vcm"), ReadState(rows=())):
        crossbar.convert(codes(0, VFORM if state.reference == "form" else VCM), state)
        np.testing.assert_array_equal(crossbar.read_conductance(), before)
    crossbar.convert(codes(0, VFORM), ReadState(reference="form"))
    crossbar.apply_pulses(1.5, 1.2, 1e-6)
    assert (crossbar.read_conductance() > before).mean() > 0.9


def test_a_bias_beyond_a_read_is_refused_in_every_state(crossbar):
    for state, level in ((READ, VCM), (ReadState(reference="form"), VFORM)):
        with pytest.raises(LimitError, match="bias of connected BL"):
            crossbar.convert(codes(4000, level), state)
        assert not mock_board(crossbar).gate
    with pytest.raises(ProtocolError, match=r"expected uint16, \(n, 32\)"):
        crossbar.convert(np.full((1, 32), VCM))


def test_lines_are_held_one_set_after_the_other_and_at_rest_afterwards(crossbar):
    board = mock_board(crossbar)
    held = [np.full(64, code, np.uint16) for code in (VCM + 1000, VCM - 1000)]
    with crossbar.held(held, connect=True) as steps:
        seen = [board.lines_v(math.inf)[0][7] for _ in steps]
    np.testing.assert_allclose(seen, [2.5 + 1000 * 5 / 65536, 2.5 - 1000 * 5 / 65536], atol=1e-9)
    assert not board.gate
    assert (board.lines_v(math.inf)[1] == 0).all()


def test_lines_are_at_rest_after_an_error_while_they_were_held(crossbar):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hold(crossbar, VCM, interrupt)
    assert not mock_board(crossbar).gate


def test_held_lines_are_refused_what_a_read_is_refused(crossbar):
    with pytest.raises(LimitError, match="bias of connected BL"):
        hold(crossbar, 60000, lambda: None)
    assert not mock_board(crossbar).gate


def test_the_mocks_quick_way_over_bit_lines_on_the_common_mode_agrees_with_its_slow_one(mocker):
    params = spread_board(**CONDUCTING)
    many = np.tile(codes(500), (20, 1))
    with open_crossbar("mock", seed=3, mock=params) as crossbar:
        quick = crossbar.convert(many, ReadState(bit_lines="vcm"))
    mocker.patch.object(Route, "of", return_value=None)
    with open_crossbar("mock", seed=3, mock=params) as crossbar:
        slow = crossbar.convert(many, ReadState(bit_lines="vcm"))
    np.testing.assert_array_equal(quick, slow)


def test_references_of_a_mock_stay_within_their_tolerance_and_differ_from_board_to_board():
    levels = []
    for seed in range(20):
        with open_crossbar("mock", seed=seed, mock=spread_board()) as crossbar:
            levels.append((mock_board(crossbar).vcm_v / 2.5, mock_board(crossbar).vform_v / 1.0))
    off = np.array(levels) - 1
    assert np.abs(off).max() < 0.004
    assert len(np.unique(off)) == off.size
    with open_crossbar("mock", seed=1) as crossbar:
        assert (mock_board(crossbar).vcm_v, mock_board(crossbar).vform_v) == (2.5, 1.0)


def test_a_resistor_between_two_lines_carries_their_voltage_over_its_value_and_its_driver(crossbar):
    with mock_bench(crossbar) as bench:
        bench.connect_resistor(4, 9, 1000.0)
        pair = np.full((2, 32), VCM, np.uint16)
        pair[0, 9], pair[1, 8] = VCM + 1000, VCM + 1000
        code = crossbar.convert(pair, ReadState(rows=()))
    current_a = code * crossbar.nominal_amperes_per_code
    assert current_a[0, 4] == pytest.approx(1000 * 5 / 65536 / 1000.0, rel=1e-3)
    assert np.count_nonzero(code) == 1
    assert not crossbar.convert(pair, ReadState(rows=())).any()
