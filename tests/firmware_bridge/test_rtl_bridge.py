"""The chips at the gateware's pins: what the pins show is held to the timing registers, one cycle off is a defect."""

from __future__ import annotations

import pytest

from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.mock.bridge import adc_timing, shift_timing, spi_timing
from firmware_bridge.rtl_bridge import BoardPins
from firmware_bridge.timing import SequencerTiming

TIMING = SequencerTiming(
    clock_hz=50e6, spi_write_half_cycles=2, spi_read_half_cycles=4, spi_cs_setup_cycles=3, spi_cs_hold_cycles=5,
    spi_cs_high_cycles=7, sr_half_cycles=6, sr_latch_cycles=8, adc_half_cycles=43,
)  # fmt: skip
WRITE, READ = (3, 2, 2, 2 + 5), (3, 4, 4, 4 + 5)


@pytest.fixture
def board(mocker):
    board = mocker.Mock()
    board.sdo.side_effect = lambda dac, bits: 100 * dac + bits
    board.convert.return_value = [-5, 7]
    return board


@pytest.fixture
def pins(board):
    pins = BoardPins(board)
    pins.configure(SequencerConfig(timing=TIMING))
    return pins


@pytest.mark.parametrize(("captured", "intervals"), [(0, WRITE), (1, READ)])
def test_a_frame_reaches_its_chip_at_its_time_with_the_clock_it_was_sent_by(pins, board, mocker, captured, intervals):
    frames = {2: (0x123456, 24, *intervals, 7, captured), 0: (0x12345678, 32, *intervals, 9, captured)}
    assert pins.on_frames(frames, 1000) == {2: 232, 0: 32}
    timing = spi_timing(TIMING, bool(captured))
    assert board.spi.call_args_list == [
        mocker.call(2, 0x123456, 24, pytest.approx(20e-6), timing),
        mocker.call(0, 0x12345678, 32, pytest.approx(20e-6), timing),
    ]


@pytest.mark.parametrize("captured", [0, 1])
@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("off", [-1, 1])
def test_an_interval_of_a_frame_that_is_one_cycle_off_is_found(pins, board, captured, which, off):
    intervals = list((WRITE, READ)[captured])
    intervals[which] += off
    with pytest.raises(AssertionError, match="DAC 1 setup, SCLK high, low, hold: the pins show"):
        pins.on_frames({1: (0, 24, *intervals, 7, captured)}, 0)
    board.spi.assert_not_called()
    # One that was cut short by making safe has no proper intervals, and no chip takes it.
    pins.on_frames({1: (0, 23, *intervals, 7, captured)}, 0)
    assert board.spi.call_args.args[2] == 23


def test_chip_select_that_was_high_for_a_cycle_less_is_found(pins):
    with pytest.raises(AssertionError, match="DAC 1: CS was high for 6 cycles, not 7"):
        pins.on_frames({1: (0, 24, *WRITE, 6, 0)}, 0)


@pytest.mark.parametrize(
    ("bits", "timing", "passes"),
    [
        (16, (6, 6, 8), True), (2, (6, 6, 8), True), (2, (6, 0, 8), False), (16, (5, 6, 8), False),
        (16, (6, 7, 8), False), (16, (6, 6, 9), False),
        # One bit has no second edge, so that its clock is never low between two.
        (1, (6, 0, 8), True), (1, (7, 0, 8), False), (1, (6, 0, 7), False),
    ],
)  # fmt: skip
def test_a_chain_is_latched_in_the_time_of_its_registers(pins, board, bits, timing, passes):
    if passes:
        pins.on_latch(0xA5, bits, timing, 500)
        board.shift.assert_called_once_with(0xA5, bits, pytest.approx(10e-6), shift_timing(TIMING))
    else:
        with pytest.raises(AssertionError, match="SRCLK high, low, to RCLK"):
            pins.on_latch(0xA5, bits, timing, 500)
        board.shift.assert_not_called()


def test_gate_outputs_and_pulses_act_at_their_cycle(pins, board):
    pins.on_output_enable_n(True, 50)
    pins.on_gate(True, 100)
    pins.on_pulse(25, 150)
    board.set_oe_n.assert_called_once_with(True, pytest.approx(1e-6))
    board.set_gate.assert_called_once_with(True, pytest.approx(2e-6))
    board.pulse.assert_called_once_with(pytest.approx(0.5e-6), pytest.approx(3e-6))


@pytest.mark.parametrize(("timing", "passes"), [((43, 43), True), ((42, 43), False), ((43, 44), False)])
def test_converters_sample_between_their_edges_at_the_clock_of_the_registers(pins, board, timing, passes):
    if passes:
        assert pins.on_sample([1, 4], timing, 100, 530) == [-5, 7]
        board.convert.assert_called_once_with([1, 4], pytest.approx(2e-6), pytest.approx(10.6e-6), adc_timing(TIMING))
    else:
        with pytest.raises(AssertionError, match="DCLOCK high, low"):
            pins.on_sample([1, 4], timing, 100, 530)
