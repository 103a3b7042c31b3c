"""Frames: what goes in comes out, and nothing else ever does."""

import zlib
from pathlib import Path

import pytest
from cobs import cobs
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.remote.framing import (
    OVERHEAD,
    REQUESTS,
    Frame,
    FrameReader,
    Kind,
    Malformed,
    WrongVersion,
    decode,
    encode,
)

FRAMES = st.builds(
    Frame, st.sampled_from(Kind), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=600)
)
SAMPLE = Frame(Kind.RUN, 0x0123456789ABCDEF, 7, bytes(range(40)) + b"\0\0\0")


def received(data: bytes, limit: int = 4096) -> list[Frame]:
    frames = []
    for encoded in FrameReader(limit).feed(data):
        try:
            frames.append(decode(encoded))
        except Malformed:
            continue
    return frames


def test_a_frame_has_exactly_these_bytes():
    body = b"\x01\x04\0\0" + b"\x07\0\0\0" + bytes.fromhex("efcdab8967452301") + b"\x02\x01\x00\x00"
    expected = b"\0" + cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    assert encode(Frame(Kind.RUN, 0x0123456789ABCDEF, 7, b"\x02\x01\x00\x00")) == expected


def test_kinds_have_the_numbers_that_the_documentation_states():
    page = (Path(__file__).parents[3] / "docs" / "remote.md").read_text()
    for kind in Kind:
        assert f" {int(kind)} {kind.name}" in page, kind
    assert {kind for kind in Kind if kind < 64} == REQUESTS


def test_a_kind_that_is_no_number_of_this_version_is_the_last_thing_looked_at():
    # Damage is told as damage, whatever kind it makes of a frame.
    data = bytearray(cobs.decode(encode(SAMPLE)[1:-1]))
    data[1] = 99
    with pytest.raises(Malformed, match="wrong CRC"):
        decode(cobs.encode(bytes(data)))


@given(FRAMES)
def test_a_frame_that_is_decoded_is_the_one_that_was_encoded(frame):
    assert received(encode(frame)) == [frame]


@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(0, 3000), max_size=6))
def test_where_the_stream_is_cut_into_reads_does_not_matter(frames, cuts):
    data = b"".join(map(encode, frames))
    reader, got, start = FrameReader(4096), [], 0
    for cut in [*sorted(cuts), len(data)]:
        got += [decode(e) for e in reader.feed(data[start:cut])]
        start = max(start, cut)
    assert got == frames


def test_a_frame_that_is_truncated_at_any_byte_is_dropped_and_the_next_one_arrives():
    data, following = encode(SAMPLE), Frame(Kind.PING, 1, 2)
    for length in range(len(data) - 1):
        assert received(data[:length] + encode(following)) == [following], length


def test_a_frame_with_any_byte_changed_is_dropped_and_the_next_one_arrives():
    data, following = encode(SAMPLE), Frame(Kind.PING, 1, 2)
    for position in range(1, len(data) - 1):
        for flip in (0x01, 0x80, 0xFF, data[position]):
            damaged = bytearray(data)
            damaged[position] ^= flip
            assert received(bytes(damaged) + encode(following)) == [following], (position, flip)


def test_a_frame_with_a_byte_missing_or_doubled_is_dropped_and_the_next_one_arrives():
    data, following = encode(SAMPLE), Frame(Kind.PING, 1, 2)
    for position in range(1, len(data) - 1):
        for damaged in (data[:position] + data[position + 1 :], data[: position + 1] + data[position:]):
            assert received(damaged + encode(following)) == [following], position


@given(st.binary(max_size=300))
def test_noise_before_a_frame_costs_nothing_but_itself(noise):
    assert received(noise + encode(SAMPLE))[-1] == SAMPLE


def test_a_stretch_without_delimiter_is_skipped_once_it_is_too_long_and_never_held():
    reader = FrameReader(1000)
    for _ in range(100):
        assert reader.feed(b"x" * 999) == []
        assert reader._held <= 1000
    assert reader.oversized == 1
    assert [decode(e) for e in reader.feed(b"x\0" + encode(SAMPLE))] == [SAMPLE]


def test_a_frame_of_exactly_the_limit_passes_and_one_byte_more_does_not():
    encoded = encode(SAMPLE)[1:-1]
    assert FrameReader(len(encoded)).feed(encoded + b"\0") == [encoded]
    assert FrameReader(len(encoded) - 1).feed(encoded + b"\0") == []


def test_another_version_is_told_from_damage():
    with pytest.raises(WrongVersion, match="the other side speaks protocol version 2, this one 1"):
        decode(encode(SAMPLE, version=2)[1:-1])


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "0 bytes"), (b"short", "5 bytes; a frame has at least 20"), (bytes(OVERHEAD), "wrong CRC")],
)
def test_what_is_no_frame_says_why(data, why):
    with pytest.raises(Malformed, match=why):
        decode(cobs.encode(data))


@pytest.mark.parametrize(("position", "value", "why"), [(1, 99, "unknown kind 99"), (2, 1, "reserved bits 0x1")])
def test_a_header_that_makes_no_sense_is_refused(position, value, why):
    data = bytearray(cobs.decode(encode(SAMPLE)[1:-1])[:-4])
    data[position] = value
    with pytest.raises(Malformed, match=why):
        decode(cobs.encode(bytes(data) + zlib.crc32(data).to_bytes(4, "little")))
