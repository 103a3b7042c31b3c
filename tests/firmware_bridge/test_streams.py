"""Streams: what they stand for, and when things happen in them, against figures worked out by hand."""

import numpy as np
import pytest
from small_streams import LDAC, one_vector_mvm, two_pulses

from firmware_bridge.isa import (
    Collect,
    Nop,
    Pulse,
    Sample,
    Shift,
    SpiWrite,
    Wait,
)
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

# Loading a vector into one chip takes 8 · (2 + 53) = 440 cycles, LDAC 55, a mux word 92, a wait of n 2 + n.
# A frame acts when its chip select rises, 2 cycles before it is over.


def test_the_moments_of_pulses_are_those_worked_out_by_hand():
    schedule = two_pulses().schedule(SequencerTiming())
    first = 4 + 440 + 55 + 12 + 1
    second = first + 100 + 440 + 55 + 12 + 1
    assert schedule.start.tolist() == [first, second]
    assert schedule.active.tolist() == [4 + 440 + 55 - 2, first + 100 + 440 + 55 - 2]
    assert schedule.end == second + 200
    nothing = two_pulses(codes=np.empty((0, 1, 8), np.uint16), widths=np.empty(0, np.uint32)).schedule(
        SequencerTiming()
    )
    assert (nothing.start.size, nothing.active.size, nothing.end) == (0, 0, 4)


@pytest.mark.parametrize(("settle", "hidden"), [(10, True), (1006, True), (1007, False), (5000, False)])
def test_the_moments_of_products_are_those_worked_out_by_hand(settle, hidden):
    codes = np.zeros((2, 1, 8), np.uint16)
    schedule = one_vector_mvm(codes=codes, settle=settle).schedule(SequencerTiming())
    begin = 6 + 440 + 55 + 92 + 2 + settle
    # Meanwhile the next vector is loaded, made active, the mux set and its settling waited for.
    work = 440 + 55 + 92 + 2 + settle
    assert (420 + work + 1 <= 2016) is hidden
    slot = 2 + max(420 + work + 1, 2016) + 1
    window = 2 + 420
    assert schedule.sample.tolist() == [[begin + window], [begin + slot + window]]
    assert schedule.active.tolist() == [6 + 440 + 55 - 2, begin + window + 440 + 55 - 2]
    assert schedule.end == begin + slot + 2 + 2016 + 1
    assert schedule.first == (schedule.active[0], schedule.sample[0, 0])
    assert schedule.last == (schedule.active[1], schedule.sample[1, 0])
    assert schedule.rest == 92 + 2 + settle + 2 + window


def test_the_moments_of_products_at_several_positions_are_those_worked_out_by_hand():
    codes = np.zeros((2, 1, 8), np.uint16)
    # Eight converters, four words for each position; the second position's mux settles longer than a conversion.
    mvm = one_vector_mvm(codes=codes, positions=(1, 2, 3), adc_mask=0xFF, mux_settle=3000)
    schedule = mvm.schedule(SequencerTiming())
    begin, window = 6 + 440 + 55 + 92 + 12, 2 + 420
    mux = 92 + 2 + 3000
    slots = [2 + 420 + mux + 440 + 1 + 4, 2 + 420 + mux + 1 + 4, 2 + 2016 + 4]
    last = [2 + 420 + mux + 1 + 4, 2 + 420 + mux + 1 + 4, 2 + 2016 + 4]
    second = begin + sum(slots)
    assert schedule.sample.tolist() == [
        [begin + window, begin + slots[0] + window, begin + slots[0] + slots[1] + window],
        [second + window, second + last[0] + window, second + last[0] + last[1] + window],
    ]
    assert schedule.active.tolist() == [6 + 440 + 55 - 2, schedule.sample[0, 2] + 55 - 2]
    assert schedule.last == (schedule.active[1], schedule.sample[1, 2])
    assert schedule.end == second + sum(last)
    assert mvm.cycles(SequencerTiming()) == Program([mvm]).expanded().cycles(SequencerTiming()) - 1


def test_a_window_as_long_as_a_conversion_is_all_that_counts_at_the_end():
    timing = SequencerTiming(adc_window_clocks=24)
    mvm = one_vector_mvm()
    assert mvm.schedule(timing).end == 6 + 440 + 55 + 92 + 12 + 2 + (2016 + 1) + 1
    assert Program([mvm]).expanded().cycles(timing) == Program([mvm]).cycles(timing)


def test_streams_stand_for_exactly_these_single_instructions():
    codes = np.array([[range(100, 108), range(200, 208)], [range(300, 308), range(400, 408)]], np.uint16)
    load = [
        [SpiWrite(0b101, (8 + k << 16 | first + k, 8 + k << 16 | first + 100 + k)) for k in range(8)]
        for first in (100, 300)
    ]
    ldac = SpiWrite(0b101, (LDAC, LDAC))
    mvm = one_vector_mvm(codes=codes, dac_mask=0b101, positions=(1, 2), adc_mask=0b11)
    assert list(mvm.expand()) == [
        *[Nop()] * 6, *load[0], ldac, Shift(8, 1), Wait(10),
        Sample(0b11), *load[1], Shift(8, 2), Wait(7), Collect(),
        Sample(0b11), ldac, Shift(8, 1), Wait(10), Collect(),
        Sample(0b11), Shift(8, 2), Wait(7), Collect(), Sample(0b11), Collect(),
    ]  # fmt: skip
    pulses = two_pulses(codes=codes, dac_mask=0b101)
    assert list(pulses.expand()) == [
        *[Nop()] * 4, *load[0], ldac, Wait(10), Pulse(100), *load[1], ldac, Wait(10), Pulse(200),
    ]  # fmt: skip
    assert (mvm.n_results, pulses.n_results) == (4, 0)


def test_a_stream_to_chips_of_sixteen_channels_begins_at_register_10h_and_keeps_its_crc():
    codes = np.arange(16, dtype=np.uint16).reshape(1, 1, 16)
    one_pulse = two_pulses(codes=codes, widths=np.array([5], np.uint32), crc=True)
    for stream in (one_vector_mvm(codes=codes, crc=True), one_pulse):
        frames = [single for single in stream.expand() if isinstance(single, SpiWrite)]
        assert [frame.frames for frame in frames] == [*((16 + k << 16 | k,) for k in range(16)), (LDAC,)]
        assert all(frame.crc for frame in frames)
        assert stream.wide


def test_a_stream_without_vectors_has_no_moments():
    schedule = one_vector_mvm(codes=np.empty((0, 1, 8), np.uint16), positions=(1, 2)).schedule(SequencerTiming())
    assert schedule.sample.shape == (0, 2)
    assert schedule.active.shape == (0,)
    assert schedule[2:] == ((0, 0), (0, 0), 0, 6)


def test_schedules_that_are_shared_cannot_be_changed():
    schedule = one_vector_mvm().schedule(SequencerTiming())
    for moments in (schedule.sample, schedule.active):
        with pytest.raises(ValueError, match="read-only"):
            moments[0] = 0
