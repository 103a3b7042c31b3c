"""The list of frames that were meant, beside a waveform: exactly those of the instructions, in their order."""

import json

import numpy as np
import pytest

from firmware_bridge.isa import Nop, Pulse, Pulses, SpiRead, SpiWrite
from firmware_bridge.program import Program
from firmware_bridge.waveform import IntendedFrames, frames_file


@pytest.fixture
def vcd(tmp_path):
    return tmp_path / "session.vcd"


def meant(vcd):
    return [(entry["chip"], entry["frame"]) for entry in json.loads(frames_file(vcd).read_text())]


def test_frames_are_listed_by_chip_in_six_digits_and_with_their_crc_in_eight(vcd):
    frames = IntendedFrames(vcd, 8)
    frames.program(Program([SpiWrite(0b101, (0x081234, 0xA)), Nop(), SpiRead(0b10, (0x810000,), True), Pulse(5)]))
    frames.program(Program([SpiWrite(0x80, (1,))]))
    frames.close()
    # CRC-8 of 81 00 00, polynomial 07h, worked out bit by bit.
    remainder = 0x810000 << 8
    for bit in range(31, 7, -1):
        if remainder >> bit & 1:
            remainder ^= 0x107 << bit - 8
    assert meant(vcd) == [
        ("dac0", "081234"), ("dac2", "00000a"), ("dac1", f"810000{remainder:02x}"), ("dac7", "000001"),
    ]  # fmt: skip


def test_streams_are_spelled_out_and_safe_frames_go_to_every_chip(vcd):
    frames = IntendedFrames(vcd, 2)
    codes = np.arange(8, dtype=np.uint16).reshape(1, 1, 8)
    frames.program(Program([Pulses(codes, 0b10, 0x050010, 10, np.array([5], np.uint32))]))
    frames.safe((0x05000A, 0x080000))
    frames.close()
    loads = [("dac1", f"{8 + k:02x}{k:04x}") for k in range(8)]
    safe = [("dac0", "05000a"), ("dac1", "05000a"), ("dac0", "080000"), ("dac1", "080000")]
    assert meant(vcd) == [*loads, ("dac1", "050010"), *safe]


def test_where_nothing_was_sent_the_list_is_empty_and_one_that_cannot_be_written_is_an_error(vcd, tmp_path):
    IntendedFrames(vcd, 2).close()
    assert meant(vcd) == []
    with pytest.raises(FileNotFoundError):
        IntendedFrames(tmp_path / "nowhere" / "session.vcd", 2)
