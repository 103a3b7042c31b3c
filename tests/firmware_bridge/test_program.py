"""Programs: binary and text forms, refusals with addresses, and streams that cost what they stand for."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import any_mvms, any_programs, any_pulse_tables, any_shifts, any_spi, any_timings

from firmware_bridge.errors import ProtocolError
from firmware_bridge.isa import (
    Collect,
    End,
    Gate,
    Mvm,
    Nop,
    Pulse,
    Sample,
    SpiRead,
    SpiWrite,
)
from firmware_bridge.program import Clock, Program
from firmware_bridge.timing import SequencerTiming


@settings(deadline=None)
@given(any_programs)
def test_words_and_back_give_the_same_program(program):
    words = program.words()
    assert len(words) == program.n_words
    again = Program.from_words(words)
    assert again == program
    assert np.array_equal(again.words(), words)


@settings(deadline=None)
@given(any_programs)
def test_text_and_back_give_the_same_program(program):
    assert Program.from_text(program.text()) == program


@settings(deadline=None)
@given(any_programs, st.data())
def test_a_program_cut_short_is_refused_with_the_address(program, data):
    words = program.words()
    cut = data.draw(st.integers(0, len(words) - 1))
    with pytest.raises(ProtocolError, match=r"^word \d+: ") as refusal:
        Program.from_words(words[:cut])
    assert int(re.match(r"word (\d+)", str(refusal.value))[1]) <= cut


@settings(deadline=None)
@given(any_programs, st.data())
def test_a_flipped_bit_is_refused_with_the_address_or_kept(program, data):
    words = program.words()
    address = data.draw(st.integers(0, len(words) - 1))
    words[address] ^= np.uint32(1 << data.draw(st.integers(0, 31)))
    try:
        again = Program.from_words(words)
    except ProtocolError:
        with pytest.raises(ProtocolError, match=r"^word \d+: "):
            Program.from_words(words)
    else:
        assert np.array_equal(again.words(), words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([0x77000000, 0x01000000], "word 0: unknown opcode 0x77"),
        ([0x00000000, 0x00000100, 0x01000000], "word 1: NOP has reserved bits 0x100 set"),
        ([0x00000000, 0x40000000], "word 1: SAMPLE is cut short"),
        ([0x10000003, 0x081234], "word 0: SPI_WRITE announces 2 payload words, the program has 1"),
        ([0x10000001, 0x01081234, 0x01000000], "word 0: SPI_WRITE.frame = "),
        ([0x20000000, 0x01000000], "word 0: SHIFT bits = 0"),
        ([0x20000004, 0x1F, 0x01000000], "word 0: SHIFT word of 4 bits = 31"),
        ([0x31000000, 0x01000000], "word 0: PULSE.width = 0"),
        ([0x00000000], "word 1: the program has no END"),
        ([], "word 0: the program has no END"),
        ([0x01000000, 0x00000000], "word 1: 1 words follow END"),
    ],
)
def test_a_corrupt_program_is_refused_with_address_and_reason(words, message):
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}"):
        Program.from_words(np.array(words, np.uint32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NOP\nJUMP\n", "line 2: unknown instruction 'JUMP'"),
        ("PULSE\n", "line 1: PULSE takes each of these fields once: width"),
        ("PULSE width=1 width=2\n", "line 1: PULSE takes each of these fields once: width"),
        ("PULSE width=wide\n", "line 1: "),
        ("PULSE width\n", "line 1: "),
        ("PULSE width=0x1000000\n", "line 1: PULSE.width = "),
        ("PULSE width=-1\n", "line 1: PULSE.width = -1"),
        ("GATE connect=2\n", "line 1: GATE.connect = 2"),
        ("SPI_WRITE dac_mask=3 crc=0 : 81234\n", "line 1: SPI_WRITE needs 2 payload words, got 1"),
        ("SPI_WRITE dac_mask=1 crc=0 : 1000081234\n", "line 1: "),
        ("END\n", "line 1: END is implied"),
    ],
)
def test_bad_text_is_refused_with_its_line(text, message):
    with pytest.raises(ProtocolError, match=f"^{re.escape(message)}"):
        Program.from_text(text)


def test_text_may_hold_comments_and_empty_lines():
    text = "# a pulse\n\nPULSE width=0x64  # 1 µs\nGATE connect=0\n"
    assert Program.from_text(text) == Program([Pulse(100), Gate(False)])


def test_end_belongs_to_no_program():
    with pytest.raises(ProtocolError, match="END is implied"):
        Program([End()])
    with pytest.raises(ProtocolError, match="END is implied"):
        Program().append(Nop(), End())


# -- cost ------------------------------------------------------------------------------------------------------------


def moments(stream, timing):
    """When windows close and codes become active in a stream that is spelled out, and how long it takes."""
    clock, samples, active = Clock(timing), [], []
    for single in stream.expand():
        begin = clock.issue(single)
        if isinstance(single, Sample):
            samples.append(clock.now)
        if isinstance(single, SpiWrite) and set(single.frames) == {stream.ldac_frame}:
            active.append(begin + timing.spi_frame_cycles(single.frame_bits, read=False) - timing.spi_cs_high_cycles)
        if isinstance(single, Pulse):
            samples.append(begin)
    return samples, active, clock.now


@settings(max_examples=150, deadline=None)
@given(any_mvms(max_count=6), any_timings)
def test_the_schedule_of_an_mvm_is_that_of_its_single_instructions(mvm, timing):
    schedule = mvm.schedule(timing)
    samples, active, end = moments(mvm, timing)
    assert schedule.sample.shape == (mvm.count, mvm.n_positions)
    assert schedule.sample.ravel().tolist() == samples
    if mvm.dac_mask and not (mvm.codes == mvm.ldac_frame & 0xFFFF).any():
        assert schedule.active.tolist() == active
    if mvm.count:
        assert schedule.rest == (schedule.sample[:, 0] - schedule.active).min()
    assert schedule.end == end
    assert Program([mvm]).cycles(timing) == Program([mvm]).expanded().cycles(timing) == end + 1


@settings(max_examples=150, deadline=None)
@given(any_pulse_tables(max_count=6), any_timings)
def test_the_schedule_of_pulses_is_that_of_their_single_instructions(pulses, timing):
    schedule = pulses.schedule(timing)
    starts, active, end = moments(pulses, timing)
    assert schedule.start.tolist() == starts
    if pulses.dac_mask and not (pulses.codes == pulses.ldac_frame & 0xFFFF).any():
        assert schedule.active.tolist() == active
    assert schedule.end == end
    assert Program([pulses]).cycles(timing) == Program([pulses]).expanded().cycles(timing) == end + 1


@settings(deadline=None)
@given(
    st.lists(st.one_of(st.just(Nop()), any_mvms(), any_pulse_tables(), any_spi(SpiRead), any_shifts()), max_size=6),
    any_timings,
)
def test_a_program_costs_and_returns_what_it_does_spelled_out(listed, timing):
    program = Program(listed)
    assert program.cycles(timing) == program.expanded().cycles(timing)
    assert program.n_results == program.expanded().n_results


def test_results_are_counted_before_anything_runs():
    program = Program([SpiRead(0b11, (0, 0)), Sample(0b111), Collect(), Sample(0xFF), Nop(), Collect()])
    assert program.n_results == 2 + 2 + 4


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ([Sample(1), Sample(1)], "SAMPLE while a conversion is running"),
        ([Collect()], "COLLECT without a SAMPLE"),
        ([Sample(1)], "END while a conversion is running"),
        ([Sample(1), Mvm(np.zeros((0, 1, 8), np.uint16), 1, 0, 0, (0,), 8, 1, 0)], "MVM while a conversion is running"),
    ],
)
def test_conversions_that_overlap_are_refused(listed, message):
    with pytest.raises(ProtocolError, match=message):
        Program(listed).cycles(SequencerTiming())
