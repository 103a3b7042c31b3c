from __future__ import annotations

import errno
import hashlib
import os
import struct

import numpy as np
import pytest
from journalled import IDENTITY, PULSE, READ, Board, begin, go_on

from firmware_bridge import records
from firmware_bridge.bridge import Identity, Result, SequencerConfig
from firmware_bridge.isa import Nop, Pulse, Pulses, SpiWrite, Wait
from firmware_bridge.journal import (
    FORMAT,
    Journal,
    JournalBridge,
    JournalError,
    Kind,
    Resumed,
    Step,
    has_pulses,
    program_digest,
    read,
    steps,
)
from firmware_bridge.program import Program


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.journal"


def test_what_is_confirmed_is_answered_and_not_sent_again(path):
    first = begin(path, Board(), [READ, PULSE])
    board = Board()
    bridge = go_on(path, board)
    for before, program in zip(first, (READ, PULSE), strict=True):
        again = bridge.run(program)
        assert (again.words.tolist(), again.cycles) == (before.words.tolist(), before.cycles)
    assert board.given == []


def test_after_the_journal_the_lines_are_restored_once_and_that_is_not_written_down(path):
    begin(path, Board(), [READ])
    board = Board()
    bridge = go_on(path, board)
    bridge.run(READ)
    with pytest.raises(Resumed):
        bridge.run(PULSE)
    restore = Program([Nop()])
    bridge.run(restore)
    bridge.run(PULSE)
    bridge.run(READ)
    assert board.given == [restore, PULSE, READ]
    found, _ = read(path)
    assert [kind.name for kind, _ in found] == ["BOARD", "BEGUN", "DONE", "RESUMED", "BEGUN", "DONE", "BEGUN", "DONE"]
    assert len(steps(found)) == 3


@pytest.mark.parametrize("program", [READ, PULSE], ids=["a read", "pulses"])
def test_in_doubt_a_read_is_done_again_and_pulses_are_not(path, program):
    with pytest.raises(KeyboardInterrupt):
        begin(path, Board(dies_at=2), [READ, program])
    board = Board()
    bridge = go_on(path, board)
    bridge.run(READ)
    if program is PULSE:
        result = bridge.run(PULSE)
        assert (len(result.words), result.cycles) == (0, PULSE.cycles(SequencerConfig().timing))
        assert board.given == []
    else:
        with pytest.raises(Resumed):
            bridge.run(READ)
        bridge.run(Program())
        bridge.run(READ)
        assert board.given == [Program(), READ]
    bridge.close()
    assert [step.result is not None for step in Journal.resume(path, IDENTITY).steps] == [True, True]


def test_a_board_that_began_anew_is_given_everything_again_and_must_agree(path):
    begin(path, Board(), [READ, PULSE])
    board = Board()
    bridge = go_on(path, board, rebuild=True)
    bridge.run(READ)
    bridge.run(PULSE)
    bridge.run(PULSE)
    assert board.given == [READ, PULSE, PULSE]
    board = Board()
    board.given = [None]
    with pytest.raises(JournalError, match="the model gives other words than it gave before"):
        go_on(path, board, rebuild=True).run(READ)


def test_a_run_that_takes_another_way_is_stopped_before_the_board_gets_anything(path):
    begin(path, Board(), [READ, PULSE])
    board = Board()
    with pytest.raises(JournalError, match="takes another way than it took before"):
        go_on(path, board).run(PULSE)
    assert board.given == []


def test_pulses_are_on_the_disk_before_the_board_gets_them(path, mocker):
    happened = []
    mocker.patch("os.fdatasync", side_effect=lambda file: happened.append("fsync"))
    board = Board()
    mocker.patch.object(board, "run", side_effect=lambda p: happened.append(p) or Result(np.zeros(0, np.uint32), 1))
    bridge = JournalBridge(board, Journal.create(path, IDENTITY), rebuild=False)
    happened.clear()
    bridge.run(PULSE)
    assert happened == ["fsync", PULSE]
    happened.clear()
    bridge.run(READ)
    assert happened == [READ]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), None], ids=["refused", "short"])
def test_nothing_is_sent_when_the_disk_is_full(path, mocker, failure):
    board = Board()
    bridge = JournalBridge(board, Journal.create(path, IDENTITY), rebuild=False)
    mocker.patch("os.write", side_effect=failure, return_value=3)
    with pytest.raises(JournalError, match="make room, then resume the run"):
        bridge.run(PULSE)
    mocker.stopall()
    with pytest.raises(JournalError, match="make room, then resume the run"):
        bridge.run(PULSE)
    assert board.given == []
    assert Journal.resume(path, IDENTITY).steps == []


def test_a_journal_cut_anywhere_holds_a_beginning_of_what_happened(path):
    with pytest.raises(KeyboardInterrupt):
        begin(path, Board(dies_at=3), [READ, PULSE, PULSE])
    content = path.read_bytes()
    whole = steps(read(path)[0])
    assert [step.result is not None for step in whole] == [True, True, False]
    for length in range(len(content)):
        path.write_bytes(content[:length])
        journal = Journal.resume(path, IDENTITY)
        journal.close()
        for held, step in zip(journal.steps, whole, strict=False):
            assert held.digest == step.digest
            assert held.result is None or held.result.cycles == step.result.cycles
        assert sum(held.result is not None for held in journal.steps) <= 2
        # What is left is whole again.
        again, lost = read(path)
        assert again[-1][0] in (Kind.RESUMED, Kind.BOARD)
        assert not lost


def test_damage_before_the_end_is_refused(path):
    begin(path, Board(), [READ, PULSE])
    content = bytearray(path.read_bytes())
    found, _ = read(path)
    position = content.index(found[1][1])
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"is damaged at byte \d+ of \d+; 0 programs before that are whole"):
        Journal.resume(path, IDENTITY)


def test_another_boards_journal_is_refused(path):
    begin(path, Board(), [READ])
    other = Identity("zc706", "8", 1, 2, 8, 8, 64, 24576, 24576, 8)
    with pytest.raises(JournalError, match="belongs to board zc706 7, this is zc706 8"):
        Journal.resume(path, other)


def test_a_journal_that_is_refused_is_let_go_of(path):
    begin(path, Board(), [READ])
    before = os.listdir("/proc/self/fd")
    with pytest.raises(JournalError, match="connect that board"):
        Journal.resume(path, Identity("zc706", "8", 1, 2, 8, 8, 64, 24576, 24576, 8))
    assert os.listdir("/proc/self/fd") == before


def test_an_existing_journal_is_not_begun_again(path):
    Journal.create(path, IDENTITY).close()
    with pytest.raises(JournalError, match="File exists; nothing was sent"):
        Journal.create(path, IDENTITY)


def test_something_else_is_not_taken_for_a_journal(path):
    path.write_bytes(b"netCDF, perhaps")
    with pytest.raises(JournalError, match="is not a journal of this version"):
        Journal.resume(path, IDENTITY)


def test_a_program_begun_again_after_doubt_counts_once():
    one, two = b"1" * 16, b"2" * 16
    done = (5).to_bytes(8, "little") + b"\0"
    found = steps([(Kind.BEGUN, one), (Kind.RESUMED, b""), (Kind.BEGUN, one), (Kind.DONE, done), (Kind.BEGUN, two)])
    assert [(step.digest, step.result and step.result.cycles) for step in found] == [(one, 5), (two, None)]
    assert isinstance(found[0], Step)


def test_close_lets_go_of_the_file(path):
    bridge = JournalBridge(Board(), Journal.create(path, IDENTITY), rebuild=False)
    file = bridge._journal.close.__self__._file
    bridge.close()
    bridge.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def test_everything_else_goes_to_the_board_as_it_is(path, mocker):
    board = mocker.Mock(wraps=Board())
    journal = Journal.create(path, IDENTITY)
    bridge, config = JournalBridge(board, journal, rebuild=False), SequencerConfig(watchdog_cycles=5)
    assert bridge.identify() == IDENTITY
    bridge.configure(config)
    bridge.reset()
    bridge.safe()
    bridge.close()
    call = mocker.call
    assert board.mock_calls == [call.identify(), call.configure(config), call.reset(), call.safe(), call.close()]


def test_pulses_in_doubt_take_what_they_take_at_the_boards_own_timing(path):
    slow = SequencerConfig(timing=SequencerConfig().timing.model_copy(update={"spi_write_half_cycles": 9}))
    program = Program([Pulse(5), SpiWrite(1, (0x080000,))])
    with pytest.raises(KeyboardInterrupt):
        begin(path, Board(dies_at=1), [program])
    bridge = JournalBridge(Board(), Journal.resume(path, IDENTITY), rebuild=False)
    bridge.configure(slow)
    cycles = bridge.run(program).cycles
    assert cycles == program.cycles(slow.timing) != program.cycles(SequencerConfig().timing)
    bridge.close()
    # What was counted as given is an answer from now on, as the rest is.
    board = Board()
    assert go_on(path, board).run(program).cycles == cycles
    assert board.given == []


def test_pulses_in_doubt_are_given_again_to_a_model_that_began_anew(path):
    with pytest.raises(KeyboardInterrupt):
        begin(path, Board(dies_at=2), [READ, PULSE])
    board = Board()
    bridge = go_on(path, board, rebuild=True)
    bridge.run(READ)
    assert bridge.run(PULSE).cycles == 102
    assert board.given == [READ, PULSE]


def test_a_new_run_never_asks_to_have_lines_restored(path):
    JournalBridge(Board(), Journal.create(path, IDENTITY), rebuild=False).close()
    board = Board()
    go_on(path, board).run(PULSE)  # cut before the first program: nothing to restore either
    assert board.given == [PULSE]


@pytest.mark.parametrize("wrong", ["words", "cycles"])
def test_a_model_is_held_to_its_words_and_to_its_cycles(path, wrong):
    begin(path, Board(), [READ])
    board = Board()
    said = Result(np.array([2 if wrong == "words" else 1], np.uint32), 102 if wrong == "cycles" else 101)
    board.run = lambda program: said
    with pytest.raises(JournalError, match="the model gives other words than it gave before"):
        go_on(path, board, rebuild=True).run(READ)


@pytest.mark.parametrize(("programs", "pulses"), [([], False), ([READ, READ], False), ([READ, PULSE], True)])
def test_a_journal_knows_whether_a_board_may_have_been_given_pulses(path, programs, pulses):
    begin(path, Board(), programs)
    assert has_pulses(path) is pulses
    with pytest.raises(JournalError, match="No such file"):
        has_pulses(path.with_name("none"))


def test_pulses_in_doubt_count_as_given(path):
    with pytest.raises(KeyboardInterrupt):
        begin(path, Board(dies_at=1), [Program([Wait(10), *two_pulses()])])
    assert has_pulses(path)


def two_pulses():
    codes, widths = np.zeros((2, 1, 8), np.uint16), np.array([5, 5], np.uint32)
    return [Pulses(codes, 1, 0x050010, 10, widths)]


def test_damage_says_how_many_programs_before_it_are_whole(path):
    begin(path, Board(), [READ, PULSE, READ])
    content = bytearray(path.read_bytes())
    at = content.rindex(read(path)[0][-2][1])
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"; 2 programs before that are whole, .* do not resume; read the array"):
        read(path)


def test_another_way_is_told_with_how_far_the_journal_goes(path):
    begin(path, Board(), [READ, PULSE, READ])
    with pytest.raises(JournalError, match="2 programs before its end the run takes another way"):
        go_on(path, Board()).run(PULSE)


def test_who_opens_a_journal_is_on_the_disk_before_anything_is_sent(path, mocker):
    fdatasync = mocker.patch("os.fdatasync")
    begin(path, Board(), [READ])
    assert fdatasync.call_count == 1
    Journal.resume(path, IDENTITY).close()
    assert fdatasync.call_count == 2
    path.write_bytes(path.read_bytes()[:5])  # cut within the magic word: begun anew
    again = Journal.resume(path, IDENTITY)
    assert (fdatasync.call_count, again.lost_bytes, again.steps) == (3, 5, [])


def test_a_journal_of_an_earlier_run_has_exactly_these_records(path, mocker):
    mocker.patch("os.urandom", side_effect=bytes)
    begin(path, Board(), [PULSE])
    Journal.resume(path, IDENTITY).close()
    content = path.read_bytes()
    assert content[:8] == b"XBARJRN3"
    held, _ = records.parse(path, content, FORMAT, lambda _: "")
    digest = program_digest(PULSE)
    assert held == [
        (1, bytes(16) + b"zc706 7"), (2, digest + b"\1"), (3, struct.pack("<QBI", 101, 0, 1)), (4, b""),
    ]  # fmt: skip
    assert digest == hashlib.sha1(np.array([0x31000005, 0x01000000], "<u4").tobytes()).digest()[:16]


def test_the_run_of_a_journal_keeps_its_number(path):
    first = Journal.create(path, IDENTITY)
    first.close()
    assert len(first.run_id) == 16
    assert Journal.resume(path, IDENTITY).run_id == first.run_id
