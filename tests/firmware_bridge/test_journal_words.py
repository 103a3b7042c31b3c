"""What a journal keeps of the words of a board, and what who looks on sees of it."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from journalled import IDENTITY, PULSE, READ, Board, begin, go_on

from firmware_bridge.bridge import Result
from firmware_bridge.journal import (
    Entry,
    Journal,
    JournalBridge,
    JournalError,
    JournalReader,
    Kind,
    read,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.journal"


class Talkative(Board):
    """Answers each program with `n` words of codes."""

    def __init__(self, n, seed=0):
        super().__init__()
        self.n, self.rng = n, np.random.default_rng(seed)

    def run(self, program):
        self.given.append(program)
        return Result(self.rng.normal(0, 500, 2 * self.n).astype(np.int16).view(np.uint32), 7)


@pytest.mark.parametrize("n", [0, 1, 4, 5, 255, 256, 257, 20_000])
def test_the_words_of_a_board_that_lives_on_come_back_bit_for_bit(path, n):
    (said,) = begin(path, Talkative(n), [READ])
    board = Board()
    again = go_on(path, board).run(READ)
    assert again.words.dtype == np.uint32
    assert np.array_equal(again.words, said.words)
    assert board.given == []


@pytest.mark.parametrize("n", [255, 256])
def test_long_results_are_kept_as_two_planes_of_bytes_the_high_one_packed(path, n):
    (said,) = begin(path, Talkative(n), [READ])
    done = next(payload for kind, payload in read(path)[0] if kind is Kind.DONE)
    codes = said.words.view(np.uint16)
    if n == 255:
        assert done == struct.pack("<QB", 7, 0) + said.words.tobytes()
    else:
        low = (codes & 0xFF).astype(np.uint8).tobytes()
        assert done[: 13 + len(low)] == struct.pack("<QBI", 7, 2, 2 * n) + low
        assert zlib.decompress(done[13 + len(low) :]) == (codes >> 8).astype(np.uint8).tobytes()


def test_the_codes_of_a_real_board_take_less_room_than_they_have(path):
    begin(path, Talkative(20_000), [READ])
    assert path.stat().st_size < 0.75 * 80_000


def test_a_model_keeps_a_checksum_of_its_words_and_is_held_to_it(path):
    journal = JournalBridge(Talkative(20_000), Journal.create(path, IDENTITY), rebuild=True)
    said = [journal.run(READ), journal.run(PULSE)]
    journal.close()
    assert path.stat().st_size < 250
    again = go_on(path, Talkative(20_000), rebuild=True)
    for before, program in zip(said, (READ, PULSE), strict=True):
        assert np.array_equal(again.run(program).words, before.words)
    again.close()
    with pytest.raises(JournalError, match="the model gives other words than it gave before"):
        go_on(path, Talkative(20_000, seed=1), rebuild=True).run(READ)


def test_a_journal_without_words_is_not_taken_for_answers(path):
    JournalBridge(Talkative(100), Journal.create(path, IDENTITY), rebuild=True).run(READ)
    board = Board()
    with pytest.raises(JournalError, match="was written on a model, which gives its words again and keeps none"):
        go_on(path, board).run(READ)
    assert board.given == []


def test_who_looks_on_gets_each_record_once_and_only_when_it_is_whole(path, tmp_path):
    begin(path, Board(), [READ, PULSE])
    whole, seen = path.read_bytes(), []
    growing = tmp_path / "growing.journal"
    reader = JournalReader(growing)
    assert reader.new() == []
    for end in range(1, len(whole) + 1):
        growing.write_bytes(whole[:end])
        seen += reader.new()
    assert seen == [
        Entry(Kind.BOARD), Entry(Kind.BEGUN), Entry(Kind.DONE, cycles=101), Entry(Kind.BEGUN, pulses=True),
        Entry(Kind.DONE, cycles=102),
    ]  # fmt: skip
    assert reader.new() == []
