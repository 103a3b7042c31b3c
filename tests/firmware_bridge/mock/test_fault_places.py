"""What each fault does at its place, to the bit, and that it leaves all other places alone."""

import math

import numpy as np
import pytest

from drivers.board import load_board
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.faults.base import Fault, Striking
from firmware_bridge.mock.faults.catalogue import CATALOGUE
from firmware_bridge.mock.faults.lines import (
    BrokenLine,
    DriftJump,
    ShortedBitLines,
    ShortedCell,
    ShortedSourceLines,
    ShortedWordLines,
    Supply,
)
from firmware_bridge.mock.faults.pins import (
    DeafDac,
    FlippedBit,
    LostFrame,
    SaturatingAdc,
    StuckChainBit,
    StuckDout,
    StuckMiso,
    StuckMux,
)

CODES = np.array([-8192, -3, 0, 5, 8191], np.int16)


@pytest.fixture
def board():
    return MockBoard(load_board().wiring, MockParams.ideal(), seed=0)


def test_a_flipped_bit_is_the_named_one_of_the_named_dac_once():
    fault = FlippedBit(dac=1, bit=9, from_s=1.0)
    assert fault.sdi(1, 0xABCDEF, 24, 0.5) == 0xABCDEF
    assert fault.sdi(0, 0xABCDEF, 24, 1.5) == 0xABCDEF
    assert fault.sdi(1, 0xABCDEF, 24, 1.5) == 0xABCDEF ^ 0x200
    assert fault.sdi(1, 0xABCDEF, 24, 2.0) == 0xABCDEF


def test_a_bit_that_nobody_names_is_any_of_the_frame():
    flipped = {FlippedBit(seed=seed).sdi(3, 0, 24, 0.0) for seed in range(300)}
    assert flipped == {1 << bit for bit in range(24)}


def test_a_lost_frame_is_one_of_the_named_dac():
    fault = LostFrame(dac=6)
    assert [fault.sdi(dac, 5, 24, 0.0) for dac in (5, 6, 6)] == [5, None, 5]
    assert LostFrame().sdi(2, 5, 24, 0.0) is None


def test_a_deaf_dac_receives_nothing_and_answers_zeros():
    fault = DeafDac(dac=2)
    assert [fault.sdi(dac, 7, 24, 0.0) for dac in (1, 2, 3)] == [7, None, 7]
    assert [fault.sdo(dac, 7, 24) for dac in (1, 2, 3)] == [7, 0, 7]


@pytest.mark.parametrize(("level", "word"), [(0, 0), (1, 0xFFFFFF)])
def test_a_stuck_miso_reads_one_level_in_every_bit(level, word):
    assert [StuckMiso(dac=3, level=level).sdo(dac, 0x123456, 24) for dac in (2, 3)] == [0x123456, word]


def test_a_stuck_bit_of_the_chain_is_that_bit():
    assert [StuckChainBit(bit=3, level=1).chain(word) for word in (0, 8, 0xF7)] == [8, 8, 0xFF]
    assert [StuckChainBit(bit=3, level=0).chain(word) for word in (0, 8, 0xFF)] == [0, 0, 0xF7]


def test_a_stuck_mux_connects_its_own_input_whatever_is_selected():
    assert [StuckMux(adc=2, channel=0).adc_input(adc, 3) for adc in (1, 2)] == [3, 0]
    assert StuckMux(adc=2, channel=None).adc_input(2, 3) is None


def test_converters_give_what_their_pin_or_their_input_lets_them():
    for fault, codes in (
        (StuckDout(adc=4, level=0), [0] * 5),
        (StuckDout(adc=4, level=1), [-1] * 5),
        (SaturatingAdc(adc=4, low=-2, high=4), [-2, -2, 0, 4, 4]),
        (SaturatingAdc(adc=4), CODES.tolist()),
    ):
        assert fault.code(4, CODES).tolist() == codes
        assert fault.code(3, CODES).tolist() == CODES.tolist()


def test_joined_lines_stand_at_their_mean_and_others_where_they_were():
    volts = np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 5.0]])
    joined = [[1.0, 3.0, 3.0], [0.0, 3.0, 3.0]]
    assert ShortedBitLines(lines=(1, 2)).bit_lines(volts).tolist() == joined
    assert ShortedWordLines(lines=(1, 2)).word_lines(volts).tolist() == joined
    assert ShortedBitLines(lines=(1, 2)).word_lines(volts) is ShortedWordLines(lines=(1, 2)).bit_lines(volts) is volts
    assert volts.tolist() == [[1.0, 2.0, 4.0], [0.0, 1.0, 5.0]]


def test_a_shorted_cell_conducts_by_its_resistance_until_it_is_over(board):
    fault = ShortedCell(sl=7, bl=8, ohm=40.0)
    fault.begin(board, 0.0)
    assert np.argwhere(board.bridged_s).tolist() == [[7, 8]]
    assert board.bridged_s[7, 8] == 1 / 40
    fault.end(board, 1.0)
    assert not board.bridged_s.any()


def test_joined_source_lines_carry_the_difference_of_their_offsets_until_it_is_over():
    board = MockBoard(load_board().wiring, MockParams(), seed=0)
    fault = ShortedSourceLines(lines=(2, 9), ohm=8.0)
    fault.begin(board, 0.0)
    current_a = (board.tia.v_os_v[2] - board.tia.v_os_v[9]) / 8
    assert np.flatnonzero(board.injected_a).tolist() == [2, 9]
    assert board.injected_a[[2, 9]] == pytest.approx([-current_a, current_a])
    fault.end(board, 1.0)
    assert not board.injected_a.any()


@pytest.mark.parametrize(
    ("line", "cells"), [("bl", np.s_[:, 5]), ("sl", np.s_[5, :]), ("wl", np.s_[5, :])], ids=["bl", "sl", "wl"]
)
def test_a_broken_line_loses_its_cells_until_it_is_over(board, line, cells):
    gates, grounds = np.full(32, 5.0), np.zeros(32)
    before = board.array.response(0.0, gates, grounds).transfer_s.copy()
    fault = BrokenLine(line=line, index=5)
    fault.begin(board, 0.0)
    broken = board.array.response(0.0, gates, grounds).transfer_s.copy()
    assert not broken[cells].any()
    expected = before.copy()
    expected[cells] = 0
    np.testing.assert_allclose(broken, expected)
    fault.end(board, 0.0)
    np.testing.assert_array_equal(board.array.response(0.0, gates, grounds).transfer_s, before)


def test_a_drift_jump_scales_cells_by_its_spread_and_keeps_the_others(board):
    before = board.array.conductance_s(0.0).copy()
    DriftJump(relative=0.1, fraction=0.25, seed=4).begin(board, 0.0)
    factor = board.array.conductance_s(0.0) / before
    moved = factor != 1
    # Of 1024 cells, 256 ± 14; their spread within its own error.
    assert abs(moved.mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 1024)
    assert factor[moved].std() == pytest.approx(0.1, rel=4 / math.sqrt(2 * moved.sum()))
    assert factor[moved].mean() == pytest.approx(1, abs=4 * 0.1 / math.sqrt(moved.sum()))


def test_a_supply_is_that_of_one_dac_or_of_all_and_comes_back(board, mocker):
    spies = [mocker.spy(dac, "supply") for dac in board.dacs]
    Supply(dac=5, vdd_v=2.6).begin(board, 0.0)
    assert [spy.call_count for spy in spies] == [0, 0, 0, 0, 0, 1, 0, 0]
    Supply(vref_v=2.49).begin(board, 0.0)
    assert [spy.call_count for spy in spies] == [1, 1, 1, 1, 1, 2, 1, 1]
    assert spies[0].call_args.kwargs == {"vdd_v": None, "vref_v": 2.49}
    Supply(vref_v=2.49).end(board, 0.0)
    assert spies[0].call_args.kwargs == {"vdd_v": board.params.dac.vdd_v, "vref_v": board.params.dac.vref_v}


def test_a_fault_changes_at_its_beginning_and_its_end():
    fault = Fault(from_s=1.0, until_s=2.0)
    assert [fault.next_change_s(t) for t in (0.0, 1.0, 1.5, 2.0)] == [1.0, 2.0, 2.0, math.inf]
    assert (Fault().from_s, Fault().until_s, Fault().at_once) == (0.0, math.inf, True)


def test_strikes_come_at_the_beginning_and_then_with_their_rate():
    fault = Striking(from_s=1.0, until_s=100.0, rate_per_s=50.0, seed=1)
    assert not fault.due(0.999)
    instants, t_s = [], 1.0
    while fault.due(t_s):
        instants.append(t_s)
        fault.struck(t_s)
        t_s = fault._strike_s
    assert instants[0] == 1.0
    # 4950 expected; a Poisson number within four of its deviations.
    assert abs(len(instants) - 50 * 99) < 4 * math.sqrt(50 * 99)
    assert not fault.due(100.0)
    once = Striking(from_s=1.0)
    once.struck(1.0)
    assert once.next_change_s(1.0) == math.inf


def test_every_fault_of_the_table_hits_what_a_board_has_and_says_its_name(board):
    for describe, make in CATALOGUE.items():
        fault = make()
        for name, value in vars(fault).items():
            most = {"dac": len(board.dacs), "adc": len(board.adcs), "bit": 24, "index": 32, "sl": 32, "bl": 32}.get(
                name
            )
            assert most is None or value is None or 0 <= value < most, describe
        assert fault.name
