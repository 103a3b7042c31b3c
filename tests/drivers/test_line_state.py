"""What the interlock knows of the lines, frame by frame: chips, channels, buffers and outputs."""

from __future__ import annotations

import numpy as np
import pytest

from drivers import dac80508 as dac
from drivers.board import load_board
from drivers.dac import write_frame
from drivers.line_state import UNKNOWN, LineState
from firmware_bridge.errors import ProtocolError

BOARD = load_board()
N = BOARD.dac.CHANNELS
DAC0, SYNC = 8, 2
CHIP = 3


@pytest.fixture
def state() -> LineState:
    """Every chip set up, all outputs at code 0 of a channel of its own."""
    state = LineState(BOARD)
    for chip in range(BOARD.wiring.n_dacs):
        for register, data in BOARD.dac.setup():
            state.frame(chip, write_frame(register, data))
        for channel in range(N):
            state.frame(chip, write_frame(DAC0 + channel, 100 * chip + channel))
    return state


def outputs(state: LineState, chip: int = CHIP) -> list[int]:
    return state.active[N * chip : N * (chip + 1)].tolist()


def test_a_code_goes_to_its_channel_and_to_no_other(state):
    before = state.active.copy()
    assert state.frame(CHIP, write_frame(DAC0 + 5, 4711))
    assert outputs(state)[5] == 4711
    assert np.flatnonzero(state.active != before).tolist() == [N * CHIP + 5]


@pytest.mark.parametrize("channel", [0, 3, N - 1])
def test_a_channel_that_waits_keeps_its_output_until_ldac_of_its_chip(state, channel):
    before = outputs(state)
    assert not state.frame(CHIP, write_frame(SYNC, 1 << channel))
    assert not state.frame(CHIP, write_frame(DAC0 + channel, 4711))
    assert state.frame(CHIP, write_frame(DAC0 + (channel + 1) % N, 13))  # does not wait
    before[(channel + 1) % N] = 13
    assert outputs(state) == before
    assert state.frame(CHIP - 1, write_frame(*dac.Dac80508.LDAC))
    assert outputs(state) == before
    assert state.frame(CHIP, write_frame(*dac.Dac80508.LDAC))
    before[channel] = 4711
    assert outputs(state) == before


def test_ldac_moves_all_that_wait_and_nothing_else(state):
    assert not state.frame(CHIP, write_frame(SYNC, 0b1010_0001))
    for channel in range(N):
        state.frame(CHIP, write_frame(DAC0 + channel, 1000 + channel))
    waiting = [100 * CHIP + c if 0b1010_0001 >> c & 1 else 1000 + c for c in range(N)]
    assert outputs(state) == waiting
    state.frame(CHIP, write_frame(*dac.Dac80508.LDAC))
    assert outputs(state) == [1000 + c for c in range(N)]


@pytest.mark.parametrize("waits", [0xFF, 0x01, 0x80])
def test_a_reset_forgets_codes_waits_and_set_up_of_one_chip_alone(state, waits):
    for chip in (CHIP - 1, CHIP, CHIP + 1):
        state.frame(chip, write_frame(SYNC, waits))
    beside = [outputs(state, chip) for chip in (CHIP - 1, CHIP + 1)]
    assert state.frame(CHIP, write_frame(*dac.Dac80508.RESET))
    assert outputs(state) == [UNKNOWN] * N
    assert [outputs(state, chip) for chip in (CHIP - 1, CHIP + 1)] == beside
    assert [state.waits_for_ldac >> N * chip & 0xFF for chip in (CHIP - 1, CHIP, CHIP + 1)] == [waits, 0, waits]
    with pytest.raises(ProtocolError, match=f"DAC {CHIP}: a code before it was set up"):
        state.frame(CHIP, write_frame(DAC0, 1))
    for register, data in BOARD.dac.setup():
        state.frame(CHIP, write_frame(register, data))
    assert state.frame(CHIP, write_frame(DAC0, 1))


def test_a_chip_is_set_up_once_all_of_its_registers_are(state):
    new = LineState(BOARD)
    *first, last = BOARD.dac.setup()
    for register, data in first:
        new.frame(CHIP, write_frame(register, data))
    assert CHIP not in new.span_set
    new.frame(CHIP, write_frame(*last))
    assert new.span_set == {CHIP}


def test_what_nobody_can_follow_is_refused(state):
    n = BOARD.wiring.n_dacs
    state.frame(n - 1, write_frame(DAC0, 1))
    with pytest.raises(ProtocolError, match=f"a frame for DAC {n}; the board has {n}, counted from 0"):
        state.frame(n, write_frame(DAC0, 1))
    register, data = next(iter(BOARD.dac.setup()))
    with pytest.raises(ProtocolError, match=rf"DAC 0: {data ^ 1:#06x} in register {register:#x} sets it up in another"):
        state.frame(0, write_frame(register, data ^ 1))


def test_a_snapshot_is_changed_alone(state):
    snapshot = state.copy()
    snapshot.frame(CHIP, write_frame(DAC0, 4711))
    assert (outputs(state)[0], outputs(snapshot)[0]) == (100 * CHIP, 4711)


def test_a_bound_on_the_bias_ends_with_the_next_change_of_the_lines(state):
    channels, codes = np.arange(3), np.array([5, 6, 7], np.uint16)
    changes = {
        "a code": lambda: state.frame(CHIP, write_frame(DAC0, 4711)),
        "a word": lambda: state.shift(BOARD.wiring.sr_bits, 1),
        "the outputs of the chain": lambda: state.enable(True),
    }
    for change in changes.values():
        state.stream(channels, codes, 0.2)
        assert (state.active[:3].tolist(), state.buffer[:3].tolist(), state.reach_v) == ([5, 6, 7], [5, 6, 7], 0.2)
        change()
        assert state.reach_v is None
    state.stream(channels, codes, 0.2)
    state.shift(BOARD.wiring.sr_bits, 1)  # the word that is there
    assert state.reach_v == 0.2


@pytest.mark.parametrize("register", [2 * N, 3 * N - 1, 0x7F])
def test_registers_beyond_those_of_the_channels_are_not_taken_for_codes(state, register):
    before = state.active
    with pytest.raises(ProtocolError, match=rf"DAC {CHIP}: the interlock cannot follow a write to register"):
        state.frame(CHIP, write_frame(register, 1))
    np.testing.assert_array_equal(state.active, before)


def test_setting_a_chip_up_may_move_its_outputs_and_nothing_waits_before():
    new = LineState(BOARD)
    assert new.waits_for_ldac == 0
    assert all(new.frame(CHIP, write_frame(*setting)) for setting in BOARD.dac.setup())
