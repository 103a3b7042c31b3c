"""DAC80508 driver: codes, and the exact bytes on the wire."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import dac80508
from drivers.dac import DacBank, code_to_volts, read_frame, volts_to_code, write_frame
from drivers.dac80508 import Dac80508
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import SpiRead, SpiWrite, Wait
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming


def test_a_write_frame_has_address_and_data():
    assert write_frame(dac80508.DAC0 + 3, 0x1234).to_bytes(3, "big") == bytes.fromhex("0b1234")
    assert write_frame(dac80508.TRIGGER, dac80508.TRIGGER_SOFT_RESET).to_bytes(3, "big") == bytes.fromhex("05000a")


def test_a_read_frame_has_the_read_bit_on_top():
    assert read_frame(dac80508.DEVICE_ID).to_bytes(3, "big") == bytes.fromhex("810000")


@pytest.mark.parametrize("data", [-1, 0x10000])
def test_data_beyond_16_bits_is_refused(data):
    with pytest.raises(LimitError, match="DAC register 0x8"):
        write_frame(dac80508.DAC0, data)


@pytest.mark.parametrize(
    ("setting", "volts"),
    [
        ({"gain": 1, "ref_divide": 2}, 1.25),
        ({"gain": 1, "ref_divide": 1}, 2.5),
        ({"gain": 2, "ref_divide": 2}, 2.5),
        ({"gain": 2, "ref_divide": 1}, 5.0),
    ],
)
def test_the_span_follows_gain_and_divider(setting, volts):
    assert Dac80508(**setting).span_v == volts


@pytest.mark.parametrize(("volts", "code"), [(0.0, 0), (2.5, 0x8000), (5.0 * 65535 / 65536, 0xFFFF), (5.0 / 65536, 1)])
def test_volts_become_the_nearest_code(volts, code):
    assert volts_to_code(volts, 5.0) == code


@settings(deadline=None)
@given(st.integers(0, 0xFFFF), st.sampled_from([1.25, 2.5, 5.0]))
def test_codes_and_volts_are_inverse(code, span_v):
    assert volts_to_code(code_to_volts(code, span_v), span_v) == code


@settings(deadline=None)
@given(st.floats(0, 4.9999), st.sampled_from([5.0]))
def test_rounding_costs_at_most_half_a_code(volts, span_v):
    assert abs(code_to_volts(volts_to_code(volts, span_v), span_v) - volts) <= span_v / 65536 / 2 * (1 + 1e-9)


@pytest.mark.parametrize("volts", [-1e-3, 5.0, np.nan, np.inf, -np.inf])
def test_volts_outside_the_span_are_refused_with_value_and_span(volts):
    with pytest.raises(LimitError, match="DAC output") as refusal:
        volts_to_code([1.0, volts, 2.0], 5.0)
    assert refusal.value.value == volts or np.isnan(volts)
    assert refusal.value.limit == (0.0, 5.0 * (1 - 1 / 65536))


def frames(program):
    """What each instruction puts on the buses: (mask, frames as hexadecimal), or a wait in cycles."""
    return [
        i.cycles if isinstance(i, Wait) else (type(i).MNEMONIC, i.dac_mask, [f"{f:06x}" for f in i.frames])
        for i in program
    ]


def test_initialising_sends_exactly_these_frames():
    program = Program()
    DacBank(Dac80508(), 2).initialise(program, SequencerTiming(), np.full((2, 8), 0x8001, np.uint16))
    expected = [
        25_000,  # 250 µs since power-up or a reset that somebody else began
        ("SPI_WRITE", 0b11, ["05000a"] * 2),
        25_000,
        ("SPI_WRITE", 0b11, ["0400ff"] * 2),
        ("SPI_WRITE", 0b11, ["02ffff"] * 2),
        *[("SPI_WRITE", 0b11, [f"{8 + channel:02x}8001"] * 2) for channel in range(8)],
        ("SPI_WRITE", 0b11, ["050010"] * 2),
    ]
    assert frames(program) == expected


@pytest.mark.parametrize(("gain", "ref_divide", "frame"), [(1, 1, "040000"), (1, 2, "040100"), (2, 2, "0401ff")])
def test_the_gain_register_follows_the_setting(gain, ref_divide, frame):
    program = Program()
    DacBank(Dac80508(gain=gain, ref_divide=ref_divide), 1).initialise(
        program, SequencerTiming(), np.zeros((1, 8), np.uint16)
    )
    assert ("SPI_WRITE", 0b1, [frame]) in frames(program)


def test_loading_sends_one_channel_of_every_chip_at_a_time():
    program = Program()
    codes = np.arange(16, dtype=np.uint16).reshape(2, 8)
    bank = DacBank(Dac80508(), 2)
    bank.load(program, codes)
    assert frames(program) == [
        ("SPI_WRITE", 0b11, [f"{8 + c:02x}{c:04x}", f"{8 + c:02x}{8 + c:04x}"]) for c in range(8)
    ]


def test_reading_takes_two_frames_and_checks_the_echo():
    program = Program()
    bank = DacBank(Dac80508(), 2)
    bank.read(program, dac80508.DEVICE_ID)
    assert list(program) == [SpiRead(0b11, (0x810000,) * 2), SpiRead(0b11, (0, 0))]
    words = np.array([0, 0, 0x810814, 0x810815], np.uint32)
    assert bank.parse_read(words, dac80508.DEVICE_ID).tolist() == [0x0814, 0x0815]
    with pytest.raises(ProtocolError, match=r"DAC 1: reading register 0x1 echoed 0x84 instead of 0x81"):
        bank.parse_read(np.array([0, 0, 0x810814, 0x840000], np.uint32), dac80508.DEVICE_ID)


def test_broadcast_writes_the_same_to_every_chip():
    program = Program()
    DacBank(Dac80508(), 3).broadcast(program, dac80508.CONFIG, 0x0400)
    assert list(program) == [SpiWrite(0b111, (0x030400,) * 3)]


@pytest.mark.parametrize(("volts", "worst"), [([-0.1, 5.2, 2.0], 5.2), ([-0.3, 5.2, 2.0], -0.3)])
def test_of_several_voltages_beyond_the_span_the_furthest_is_named(volts, worst):
    with pytest.raises(LimitError) as refusal:
        volts_to_code(volts, 5.0)
    assert refusal.value.value == worst
    assert refusal.value.limit == (0.0, 5.0 * 65535 / 65536)
