"""Every DAC that a board file can name: its driver against its chip model, neither of which knows the other."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.board import load_board
from drivers.dac import READ, DacBank, code_to_volts, read_frame, write_frame
from drivers.dac80508 import Dac80508
from drivers.dac81416 import Dac81416
from firmware_bridge.isa import SpiWrite, Wait
from firmware_bridge.mock.dac import SpiTiming
from firmware_bridge.mock.dac_chips import CHIPS, dac_chip
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

PARTS = (Dac80508(), Dac80508(gain=1, ref_divide=2), Dac81416(part="DAC81416"), Dac81416(part="DAC81416", vref_v=2.0))
FRAME = SpiTiming(30e-9, 30e-9, 20e-9, 20e-9, 2.4e-6, 30e-9, 30e-9, read=False)


def test_what_a_board_file_can_name_the_mock_has_a_model_of():
    assert {part.part for part in PARTS} == set(CHIPS)
    assert load_board().dac == Dac80508()


@pytest.fixture(params=PARTS, ids=lambda part: f"{part.part} {part.span_v} V")
def part(request):
    return request.param


@pytest.fixture
def chip(part):
    """Ideal, initialised by its driver's frames with its channels at different codes."""
    params = CHIPS[part.part][1].ideal().model_copy(update={"vref_v": part.vref_v})
    chip = dac_chip(params, np.random.default_rng(0))
    program = Program()
    DacBank(part, 1).initialise(program, SequencerTiming(), codes(part)[None])
    t_s = 0.0
    for instruction in program:
        if isinstance(instruction, Wait):
            t_s += instruction.cycles * SequencerTiming().period_s
        else:
            assert isinstance(instruction, SpiWrite)
            t_s += FRAME.frame_s(24) + FRAME.cs_high_s
            chip.transfer(instruction.frames[0], 24, t_s, FRAME)
    chip.now_s = t_s
    return chip


def codes(part):
    return (np.arange(part.CHANNELS) * 3001 + 7).astype(np.uint16)


def test_after_initialising_a_code_is_the_voltage_that_the_driver_means(part, chip):
    np.testing.assert_allclose(chip.settled_v, code_to_volts(codes(part), part.span_v), rtol=1e-12)
    assert chip.buffered


def test_registers_read_back_as_the_driver_says(part, chip):
    t_s = chip.now_s
    for name, register, value in DacBank(part, 1).held(codes(part)[None]):
        for frame in (read_frame(register), 0):
            t_s += 10e-6
            answer = chip.transfer(frame, 24, t_s, FRAME)
        assert answer == READ | register << 16 | int(np.ravel(value)[0]), name


def test_codes_wait_for_ldac(part, chip):
    before = chip.settled_v.copy()
    chip.transfer(write_frame(part.CHANNELS, 0x1234), 24, chip.now_s + 10e-6, FRAME)
    assert np.array_equal(chip.settled_v, before)
    chip.transfer(write_frame(*part.LDAC), 24, chip.now_s + 20e-6, FRAME)
    assert chip.settled_v[0] == pytest.approx(float(code_to_volts(0x1234, part.span_v)))
    assert np.array_equal(chip.settled_v[1:], before[1:])
    assert write_frame(*part.LDAC) == chip.LDAC_FRAME


def test_a_reset_takes_every_output_to_ground_and_the_driver_waits_as_long_as_the_part_asks(part, chip):
    chip.transfer(write_frame(*part.RESET), 24, chip.now_s + 10e-6, FRAME)
    assert not chip.settled_v.any()
    assert chip.POWER_ON_WAIT.minimum <= part.RESET_WAIT_S
    chip.transfer(0, 24, chip.now_s + 10e-6 + part.RESET_WAIT_S + FRAME.frame_s(24), FRAME)
