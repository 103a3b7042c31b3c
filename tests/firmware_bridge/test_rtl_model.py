"""The Verilated gateware as Python holds it: its memory, its clock, and what chips at its pins raise."""

import numpy as np
import pytest
from needs import needs_verilator

from drivers.board import load_board
from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.gateware import ADDRESS, PROGRAM_WORDS
from firmware_bridge.isa import Nop, SpiRead, Wait
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.program import Program
from firmware_bridge.rtl_bridge import RtlBridge
from firmware_bridge.timing import SequencerTiming

pytestmark = needs_verilator
READY = Wait(26_000)


@pytest.fixture
def rtl():
    bridge = RtlBridge(MockBoard(load_board().wiring, MockParams(), seed=0))
    bridge.configure(SequencerConfig(safe_wait_cycles=25_000, safe_frames=(0x05000A,)))
    return bridge


def test_buffers_lie_in_pages_of_their_own_and_begin_empty(rtl):
    assert rtl._program.device_address == 0x10000000
    assert rtl._results.device_address == 0x10000000 + 4 * PROGRAM_WORDS
    made = [rtl.model.allocate(n) for n in (1, 1024, 1025, 1)]
    assert np.diff([buffer.device_address for buffer in made]).tolist() == [4096, 4096, 8192]
    assert [(len(buffer), buffer.any()) for buffer in made] == [(1, False), (1024, False), (1025, False), (1, False)]


@pytest.mark.parametrize(("clock_hz", "told"), [(50e6, 50_000_000), (33_333_333.4, 33_333_333), (1.6, 2)])
def test_the_clock_that_a_model_is_told_is_the_one_its_register_shows(rtl, clock_hz, told):
    address = 4 * ADDRESS["CLOCK_HZ"]
    assert rtl.model.read(address) == 100_000_000
    rtl.model.set_clock(clock_hz)
    assert rtl.model.read(address) == told


def test_what_a_chip_at_the_pins_raises_is_raised_once_and_the_model_lives_on(rtl, monkeypatch):
    asked = []

    def refuse_once(frames, cycle):
        asked.append(cycle)
        if len(asked) == 1:
            raise ValueError("the chip refuses")
        return {}

    monkeypatch.setattr(rtl.pins, "on_frames", refuse_once)
    with pytest.raises(ValueError, match="the chip refuses"):
        rtl.run(Program([READY, SpiRead(1, (0x810000,))]))
    assert len(asked) > 1  # the frames that make safe
    monkeypatch.undo()
    assert rtl.run(Program([Nop()])).cycles == 2


def test_a_waveform_that_cannot_be_written_is_an_error(rtl, tmp_path):
    with pytest.raises(OSError, match="the waveform cannot be written there"):
        rtl.model.trace(tmp_path / "nowhere" / "pins.vcd", 1e-8, 8, 8)


def test_a_reset_powers_the_chips_up_at_the_time_of_the_board(rtl, mocker):
    rtl.run(Program([READY]))
    power_up = mocker.spy(rtl.board, "power_up")
    shown = mocker.spy(rtl.model, "show")
    rtl.reset()
    power_up.assert_called_once_with(pytest.approx((26_000 + 3) * 1e-8, rel=1e-12))
    # What each chip shifts out next is what it has after power-up, left-aligned.
    assert [call.args for call in shown.call_args_list] == [(dac, rtl.board.sdo(dac, 32)) for dac in range(8)]


def test_a_board_of_another_clock_is_told_of_it_before_it_has_run():
    bridge = RtlBridge(MockBoard(load_board().wiring, MockParams(), seed=0))
    bridge.configure(SequencerConfig(timing=SequencerTiming(clock_hz=50e6)))
    assert bridge.model.read(4 * ADDRESS["CLOCK_HZ"]) == 50_000_000
    assert bridge.pins.period_s == 2e-8
