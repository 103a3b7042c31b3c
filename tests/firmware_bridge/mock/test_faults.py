"""Faults at the mock board's pins, lines and cells: what each does, and that none of them is told to the drivers."""

import contextlib
import math

import numpy as np
import pytest

from drivers.connect import mock_board, open_crossbar
from firmware_bridge.errors import LimitError
from firmware_bridge.mock.faults.base import Fault
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
    StuckMux,
)

INPUTS = np.random.default_rng(0).uniform(-0.1, 0.1, (6, 32))


@pytest.fixture
def crossbar():
    with open_crossbar("mock", seed=3) as crossbar:
        crossbar.apply_pulses(1.5, np.linspace(0.9, 1.1, 1024).reshape(32, 32), 1e-6)
        crossbar.mvm(INPUTS)  # offsets are known, rows are on
        yield crossbar


def currents(crossbar, fault):
    """Currents of the same inputs without and with a fault, A."""
    before = crossbar.mvm(INPUTS)
    mock_board(crossbar).faults.add(fault)
    return before, crossbar.mvm(INPUTS)


def changed(before, after):
    """Outputs that moved by more than noise and telegraph steps do."""
    return np.flatnonzero(np.abs(after - before).max(axis=0) > 5e-7).tolist()


def test_a_fault_that_overrides_nothing_changes_no_bit():
    codes = []
    for faults in ([], [Fault(), Fault(from_s=1e-4, until_s=3e-3)]):
        with open_crossbar("mock", seed=3) as crossbar:
            for fault in faults:
                mock_board(crossbar).faults.add(fault)
            codes.append(crossbar.measure(INPUTS))
    np.testing.assert_array_equal(codes[0].adc_code, codes[1].adc_code)
    assert codes[0].cycles == codes[1].cycles


@pytest.mark.parametrize(
    ("fault", "outputs"),
    [
        (BrokenLine(line="sl", index=5), [5]),
        (BrokenLine(line="wl", index=6), [6]),
        (StuckDout(adc=1, level=0), [4, 5, 6, 7]),
        (StuckMux(adc=2, channel=0), [9, 10, 11]),
        (StuckMux(adc=2, channel=None), [8, 9, 10, 11]),
    ],
)
def test_it_acts_on_its_lines_alone(crossbar, fault, outputs):
    assert changed(*currents(crossbar, fault)) == outputs


@pytest.mark.parametrize(
    "fault",
    [
        BrokenLine(line="bl", index=5),
        ShortedBitLines(lines=(0, 9)),
        DeafDac(dac=1),
        Supply(vref_v=2.49),
        DriftJump(relative=0.1),
    ],
)
def test_it_acts_on_all_outputs_of_its_lines(crossbar, fault):
    assert len(changed(*currents(crossbar, fault))) > 8


def test_an_adc_that_saturates_stops_at_its_codes(crossbar):
    before, after = currents(crossbar, SaturatingAdc(adc=0, low=-500, high=500))
    assert np.abs(after[:, :4]).max() < np.abs(before[:, :4]).max()


def test_word_lines_that_are_joined_and_both_on_show_nothing(crossbar):
    assert changed(*currents(crossbar, ShortedWordLines(lines=(3, 4)))) == []


def test_a_short_to_a_source_line_leaves_the_adcs_range(crossbar):
    mock_board(crossbar).faults.add(ShortedCell(sl=3, bl=4))
    with pytest.raises(LimitError, match="source line 3 = "):
        crossbar.mvm(0.05 * np.eye(32)[[4]])


def test_joined_source_lines_drive_a_current_from_one_to_the_other(crossbar):
    board = mock_board(crossbar)
    between_v = board.tia.v_os_v[1] - board.tia.v_os_v[0]
    before, after = currents(crossbar, ShortedSourceLines(lines=(0, 1), ohm=50.0))
    np.testing.assert_allclose((after - before)[:, :2].mean(axis=0), [between_v / 50, -between_v / 50], atol=1e-6)


def test_a_droop_that_leaves_the_reference_no_headroom_raises_its_alarm(crossbar):
    board = mock_board(crossbar)
    board.faults.add(Supply(dac=6, vdd_v=2.6))
    crossbar.wait(1e-6)
    crossbar.read_conductance()
    assert [dac.registers["STATUS"] for dac in board.dacs] == [0] * 6 + [1, 0]
    assert not board.dacs[6].settled_v.any()


@pytest.mark.parametrize("fault", [FlippedBit(dac=0, bit=10), LostFrame(dac=0)])
def test_a_strike_spoils_one_vector_and_no_other(crossbar, fault):
    before, after = currents(crossbar, fault)
    spoilt = np.abs(after - before).max(axis=1) > 5e-7
    assert spoilt.sum() <= 1
    assert changed(crossbar.mvm(INPUTS), before) == []


def test_a_bit_of_the_chain_that_is_stuck_swaps_source_lines(crossbar):
    before, after = currents(crossbar, StuckChainBit(bit=8, level=0))  # A of the ADCs' muxes
    assert changed(before, after) == [i for i in range(32) if i % 4 in (1, 3)]
    np.testing.assert_allclose(after[:, 1], after[:, 0], atol=6e-6)


def test_a_fault_ends_when_it_should(crossbar):
    board = mock_board(crossbar)
    now_s = crossbar.board_time_s
    before, during = currents(crossbar, BrokenLine(line="sl", index=5, until_s=now_s + 5e-3))
    crossbar.wait(1e-2)
    assert changed(before, during) == [5]
    assert changed(before, crossbar.mvm(INPUTS)) == []
    assert board.faults.acting == []


@pytest.mark.parametrize(
    "fault",
    [
        StuckMux(adc=2, channel=0),
        BrokenLine(line="bl", index=5),
        ShortedSourceLines(lines=(2, 9)),
        ShortedCell(sl=3, bl=4, ohm=2e3),
        StuckChainBit(bit=0, level=1),
    ],
    ids=lambda fault: fault.name,
)
def test_what_is_mended_behaves_as_before(crossbar, fault):
    before, during = currents(crossbar, fault)
    assert changed(before, during)
    mock_board(crossbar).faults.clear(crossbar.board_time_s)
    assert changed(before, crossbar.mvm(INPUTS)) == []


def test_a_bit_of_the_chain_is_stuck_from_its_instant_on_and_free_when_it_is_mended(crossbar):
    board = mock_board(crossbar)
    assert board.reference_v(math.inf) == board.wiring.vcm_v
    board.faults.add(CATALOGUE["595 bit stuck, reference mux on the forming level"]())
    board.faults.advance(crossbar.board_time_s)
    assert board.reference_v(math.inf) == board.wiring.vform_v
    board.faults.clear(crossbar.board_time_s)
    assert board.reference_v(math.inf) == board.wiring.vcm_v


FOR_GOOD = ("drift", "reference mux on the forming level")  # cells have changed then


@pytest.mark.parametrize("fault", [name for name in CATALOGUE if not any(what in name for what in FOR_GOOD)])
def test_what_acts_is_gone_once_it_is_over(fault):
    with open_crossbar("mock", seed=3) as crossbar:
        board = mock_board(crossbar)
        crossbar.mvm(INPUTS)
        before = crossbar.mvm(INPUTS)
        board.faults.add(CATALOGUE[fault](from_s=crossbar.board_time_s, until_s=crossbar.board_time_s + 0.1))
        with contextlib.suppress(LimitError):
            crossbar.mvm(INPUTS)
        assert len(board.faults.acting) == 1
        crossbar.wait(0.2)
        crossbar.safe()  # chips that missed something are told everything anew
        crossbar.mvm(INPUTS)
        assert changed(before, crossbar.mvm(INPUTS)) == []


def test_an_event_that_did_not_strike_within_its_time_changes_nothing_afterwards():
    fault = LostFrame(dac=1, from_s=1.0, until_s=2.0)
    assert [fault.next_change_s(t) for t in (0.0, 1.0, 1.5, 2.0, 3.0)] == [1.0, 1.0, 1.5, math.inf, math.inf]
    fault.struck(1.2)
    assert fault.next_change_s(1.3) == math.inf
