"""Encoding, cost and documentation of the instruction set, against numbers worked out by hand."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_streams import LDAC, one_vector_mvm, two_pulses

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import (
    BY_MNEMONIC,
    BY_OPCODE,
    INSTRUCTIONS,
    Collect,
    End,
    Gate,
    Nop,
    OutputEnable,
    Pulse,
    Sample,
    Shift,
    SpiRead,
    SpiWrite,
    Wait,
    conversion_words,
    decode,
    mask_indices,
    table,
)
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

# At the default timing a write frame takes 2 + 2·24 + 1 + 2 = 53 cycles (69 with CRC), a read frame 2 + 6·24 + 3 =
# 149, shifting n bits 10 n + 10, the sampling window 5 · 84 = 420 and a conversion 24 · 84 = 2016.
SINGLE_COSTS = [
    (Nop(), 1),
    (Wait(0), 2),
    (Wait(100), 2 + 100),
    (SpiWrite(0b101, (1, 2)), 1 + 2 + 53),
    (SpiWrite(0xFF, (0,) * 8, crc=True), 1 + 8 + 69),
    (SpiRead(0b11, (1, 2)), 1 + 2 + 149 + 2),
    (Shift(16, 0), 1 + 1 + 170),
    (Shift(40, 0), 1 + 2 + 410),
    (OutputEnable(True), 1),
    (Gate(True), 1),
    (Pulse(100), 1 + 100),
    # header, 8 frames to one chip, LDAC, shift of 8 bits, wait, and one conversion: fetch, conversion, one word
    (one_vector_mvm(), 6 + 8 * (2 + 53) + (2 + 53) + (2 + 90) + (2 + 10) + (2 + 2016 + 1)),
    (one_vector_mvm(codes=np.empty((0, 1, 8), np.uint16)), 6),
    # header, then for each: 8 frames, LDAC, wait, pulse
    (two_pulses(), 4 + 2 * (8 * (2 + 53) + (2 + 53) + (2 + 10) + 1) + 100 + 200),
    (two_pulses(codes=np.empty((0, 1, 8), np.uint16), widths=np.empty(0, np.uint32)), 4),
]


@pytest.mark.parametrize(("instruction", "cycles"), SINGLE_COSTS, ids=lambda v: getattr(v, "MNEMONIC", str(v)))
def test_an_instruction_takes_its_stated_cycles(instruction, cycles):
    assert Program([instruction]).cycles(SequencerTiming()) == cycles + 1  # and one for END


def test_collect_waits_for_the_end_of_the_conversion():
    # SAMPLE: 2 + 420; the conversion began at cycle 2 and ends at 2018; then eight codes in four words.
    assert Program([Sample(0xFF), Collect()]).cycles(SequencerTiming()) == 2018 + 4 + 1


def test_work_that_fits_into_a_conversion_costs_nothing():
    hidden = Program([Sample(0xFF), Wait(1500), Collect()])
    assert hidden.cycles(SequencerTiming()) == 2018 + 4 + 1


def test_work_that_outlasts_a_conversion_is_all_that_counts():
    long = Program([Sample(0b111), Wait(5000), Collect()])
    assert long.cycles(SequencerTiming()) == (2 + 420) + (2 + 5000) + 1 + 2 + 1


ENCODED = [
    (Nop(), [0x00000000]),
    (End(), [0x01000000]),
    (Wait((3 << 32) + 5), [0x02000003, 5]),
    (SpiWrite(0b101, (0x081234, LDAC)), [0x10000005, 0x081234, 0x050010]),
    (SpiWrite(0b1, (0x081234,), crc=True), [0x10000101, 0x081234]),
    (SpiRead(0b10, (0x810000,)), [0x11000002, 0x810000]),
    (Shift(16, 0x0840), [0x20000010, 0x0840]),
    (Shift(40, 0xAB12345678), [0x20000028, 0x12345678, 0xAB]),
    (OutputEnable(True), [0x21000001]),
    (Gate(False), [0x30000000]),
    (Pulse(0x123456), [0x31123456]),
    (Sample(0x80000001), [0x40000000, 0x80000001]),
    (Collect(), [0x41000000]),
    (
        one_vector_mvm(),
        [0x50000000 | 8 << 16 | 1 << 9 | 1, 1, 10, LDAC, 1, 7, 0xA5, 0x00010000, 0x00030002, 0x00050004, 0x00070006],
    ),
    (
        one_vector_mvm(
            codes=np.arange(32, dtype=np.uint16).reshape(1, 2, 16),
            dac_mask=0b110,
            crc=True,
            positions=(1, 0xAB12345678),
            sr_bits=40,
            adc_mask=0x80000001,
        ),
        [
            *(
                0x50000000 | 40 << 16 | 1 << 13 | 2 << 9 | 1 << 8 | 6,
                1,
                10,
                LDAC,
                0x80000001,
                7,
                1,
                0,
                0x12345678,
                0xAB,
            ),
            *(2 * k + 1 << 16 | 2 * k for k in range(16)),
        ],
    ),
    (
        two_pulses(),
        [
            *(0x51000001, 2, 10, LDAC, 100, 200),
            *(0x00010000, 0x00030002, 0x00050004, 0x00070006, 0x00090008, 0x000B000A, 0x000D000C, 0x000F000E),
        ],
    ),
]


@pytest.mark.parametrize(("instruction", "words"), ENCODED, ids=lambda v: getattr(v, "MNEMONIC", ""))
def test_an_instruction_is_encoded_word_for_word(instruction, words):
    assert instruction.words().tolist() == words
    assert instruction.n_words == len(words)
    assert decode(np.array(words, np.uint32), 0) == (instruction, len(words))


@pytest.mark.parametrize("instruction", [i for i, _ in ENCODED], ids=lambda v: v.MNEMONIC)
def test_an_instruction_that_was_checked_cannot_be_changed(instruction):
    for name in ("operand", *(field.name for field in instruction.LAYOUT)):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
            setattr(instruction, name, 1)


def test_instructions_are_equal_by_what_they_encode_and_found_by_it():
    made = [make for make, _ in ENCODED]
    again = [decode(np.array(words, np.uint32), 0)[0] for _, words in ENCODED]
    assert made == again
    assert {instruction: n for n, instruction in enumerate(made)} == {i: n for n, i in enumerate(again)}
    assert len(set(made)) == len(ENCODED)
    assert Pulse(5) != Pulse(6)
    assert Nop() != Collect()
    assert Pulse(5) != 5


def test_every_instruction_is_encoded_and_costed_here():
    assert {type(i) for i, _ in ENCODED} == set(INSTRUCTIONS)
    assert {type(i) for i, _ in SINGLE_COSTS} == set(INSTRUCTIONS) - {End, Sample, Collect}


def test_opcodes_and_mnemonics_are_unique():
    assert len(BY_OPCODE) == len(BY_MNEMONIC) == len(INSTRUCTIONS)


@pytest.mark.parametrize("cls", INSTRUCTIONS, ids=lambda c: c.MNEMONIC)
def test_fields_do_not_overlap_and_leave_the_opcode_alone(cls):
    used = [0xFF000000] + [0] * (cls.HEADER_WORDS - 1)
    for field in cls.LAYOUT:
        mask = ((1 << field.width) - 1) << field.lsb
        assert mask < 1 << 32
        assert not used[field.word] & mask
        used[field.word] |= mask


@pytest.mark.parametrize(
    ("make", "parameter"),
    [
        (lambda: Wait(-1), "WAIT.cycles"),
        (lambda: Wait(1 << 56), "WAIT.cycles"),
        (lambda: SpiWrite(0b1, (1 << 24,)), "SPI_WRITE.frame"),
        (lambda: SpiWrite(0b1, (-1,)), "SPI_WRITE.frame"),
        (lambda: SpiRead(1 << 8, (0,)), "SPI_READ.dac_mask"),
        (lambda: Shift(0, 0), "SHIFT bits"),
        (lambda: Shift(256, 0), "SHIFT bits"),
        (lambda: Shift(8, 256), "SHIFT word of 8 bits"),
        (lambda: Shift(8, -1), "SHIFT word of 8 bits"),
        (lambda: Pulse(0), "PULSE.width"),
        (lambda: Pulse(1 << 24), "PULSE.width"),
        (lambda: Sample(1 << 32), "SAMPLE.adc_mask"),
        (lambda: one_vector_mvm(settle=1 << 32), "MVM.settle"),
        (lambda: one_vector_mvm(mux_settle=-1), "MVM.mux_settle"),
        (lambda: one_vector_mvm(positions=(0,) * 16), "MVM.n_positions"),
        (lambda: one_vector_mvm(positions=(0x100,)), "MVM word of 8 bits"),
        (lambda: one_vector_mvm(codes=np.zeros((1 << 16, 1, 8), np.uint16)), "MVM.count"),
        (lambda: two_pulses(widths=np.array([100, 0], np.uint32)), "PULSES.width"),
        (lambda: two_pulses(widths=np.array([1 << 24, 1], np.uint32)), "PULSES.width"),
    ],
)
def test_what_cannot_be_encoded_cannot_be_made(make, parameter):
    with pytest.raises(LimitError) as refusal:
        make()
    assert refusal.value.parameter == parameter


@pytest.mark.parametrize(
    "make",
    [
        lambda: Wait((1 << 56) - 1),
        lambda: SpiWrite(0b1, (0xFFFFFF,)),
        lambda: Shift(1, 1),
        lambda: Shift(255, (1 << 255) - 1),
        lambda: Pulse((1 << 24) - 1),
        lambda: Sample((1 << 32) - 1),
        lambda: one_vector_mvm(settle=(1 << 32) - 1, mux_settle=(1 << 32) - 1, positions=(0xFF,) * 15),
        lambda: two_pulses(widths=np.array([1, (1 << 24) - 1], np.uint32)),
    ],
)
def test_the_largest_and_smallest_operands_survive_encoding(make):
    instruction = make()
    assert decode(instruction.words(), 0)[0] == instruction


@pytest.mark.parametrize(
    "make",
    [
        lambda: SpiWrite(0b11, (0,)),
        lambda: one_vector_mvm(dac_mask=0b11),
        lambda: one_vector_mvm(codes=np.zeros((1, 1, 8), np.int64)),
        lambda: one_vector_mvm(codes=np.zeros((1, 8), np.uint16)),
        lambda: one_vector_mvm(positions=()),
        lambda: two_pulses(widths=np.array([1], np.uint32)),
        lambda: two_pulses(widths=np.array([1, 2])),
    ],
)
def test_a_payload_that_does_not_fit_its_header_is_refused(make):
    with pytest.raises(ProtocolError):
        make()


def test_masks_list_chips_in_ascending_order():
    assert mask_indices(0b10110) == [1, 2, 4]
    assert [conversion_words(m) for m in (0, 0b1, 0b11, 0b111, 0xFF)] == [0, 1, 1, 2, 4]


def test_the_documentation_is_the_printed_table():
    page = Path(__file__).parents[2] / "docs" / "instruction-set.md"
    assert page.read_text() == table(), "run: python -m firmware_bridge.isa > docs/instruction-set.md"


def test_the_documentation_has_every_field():
    text = table()
    for cls in INSTRUCTIONS:
        assert f"## {cls.MNEMONIC} · `{cls.OPCODE:#04x}`" in text
        assert all(f"`{field.name}`" in text for field in cls.LAYOUT)
