"""Files of records: what is on the disk when, what a cut leaves, and what who looks on sees."""

import errno
import os
import stat
import struct
import zlib

import pytest

from firmware_bridge.errors import BoardError
from firmware_bridge.records import Follower, Format, RecordFile, pack, parse, read_bytes


class BrokenFile(BoardError):
    pass


FORM = Format(b"MAGIC", "diary", BrokenFile, "make room")
HELD = [(3, b"first"), (250, b""), (7, bytes(range(40)))]


def damage(before):
    return f"{len(before)} are whole"


def record(kind, payload):
    head = struct.pack("<BI", kind, len(payload))
    return head + zlib.crc32(head + payload).to_bytes(4, "little") + payload


@pytest.fixture
def path(tmp_path):
    return tmp_path / "diary"


@pytest.fixture
def happened(mocker):
    """What is asked of the disk, in order: ("write", bytes), ("data",) of the file, or ("folder",)."""
    told = []
    write, fsync, fdatasync = os.write, os.fsync, os.fdatasync

    def wrote(file, data):
        told.append(("write", bytes(data)))
        return write(file, data)

    def synced(file):
        told.append(("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file",))
        fsync(file)

    mocker.patch("os.write", side_effect=wrote)
    mocker.patch("os.fsync", side_effect=synced)
    mocker.patch("os.fdatasync", side_effect=lambda file: told.append(("data",)) or fdatasync(file))
    return told


def test_a_file_has_exactly_these_bytes(path):
    file = RecordFile.create(path, FORM)
    for kind, payload in HELD:
        file.append(kind, payload, sync=False)
    file.close()
    whole = b"MAGIC" + b"".join(record(*held) for held in HELD)
    assert path.read_bytes() == whole == pack(FORM, HELD)
    assert parse(path, whole, FORM, damage) == (HELD, len(whole))


def test_a_new_file_is_in_its_folder_on_the_disk_before_anything_follows(path, happened):
    file = RecordFile.create(path, FORM)
    assert happened == [("write", b"MAGIC"), ("folder",)]
    file.close()


def test_a_record_is_on_the_disk_when_append_returns_if_that_was_asked_for(path, happened):
    file = RecordFile.create(path, FORM)
    happened.clear()
    file.append(1, b"pulse", sync=True)
    assert happened == [("write", record(1, b"pulse")), ("data",)]
    happened.clear()
    file.append(2, b"", sync=False)
    assert happened == [("write", record(2, b""))]
    file.close()


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_nothing_is_appended_after_a_failure_even_when_the_disk_is_well_again(path, mocker, call):
    file = RecordFile.create(path, FORM)
    mocker.patch(f"os.{call}", side_effect=OSError(errno.EIO, "Input/output error"))
    with pytest.raises(BrokenFile, match=r"^diary .*: Input/output error; make room"):
        file.append(1, b"", sync=True)
    mocker.stopall()
    before = path.read_bytes()
    for sync in (True, False):
        with pytest.raises(BrokenFile, match=r"^diary .*: Input/output error; make room"):
            file.append(2, b"", sync=sync)
    assert path.read_bytes() == before
    file.close()


def test_a_record_that_was_written_in_part_is_a_full_disk(path, mocker):
    file = RecordFile.create(path, FORM)
    mocker.patch("os.write", side_effect=lambda _, data: len(data) - 1)
    with pytest.raises(BrokenFile, match="the disk is full; make room"):
        file.append(1, b"", sync=False)
    file.close()


def test_a_cut_anywhere_leaves_whole_records_and_a_file_that_goes_on(path):
    whole = pack(FORM, HELD)
    ends = [len(pack(FORM, HELD[:n])) for n in range(len(HELD) + 1)]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = sum(end <= cut for end in ends)  # the magic word counts as one
        end = ends[kept - 1] if kept else 0
        file = RecordFile.resume(path, FORM, damage)
        assert file.records == HELD[: max(kept - 1, 0)]
        assert file.lost_bytes == cut - end
        assert path.read_bytes() == whole[: max(end, len(FORM.magic))]
        file.append(9, b"on", sync=False)
        file.close()
        assert path.read_bytes() == pack(FORM, [*file.records, (9, b"on")])


@pytest.mark.parametrize("n", range(len(HELD)))
def test_a_changed_byte_is_damage_if_more_follows_and_else_a_record_that_never_was(path, n):
    start, end = len(pack(FORM, HELD[:n])), len(pack(FORM, HELD[: n + 1]))
    for position in (start, start + 5, end - 1):  # its kind, its checksum, its last byte
        content = bytearray(pack(FORM, HELD))
        content[position] ^= 1
        if n == len(HELD) - 1:
            assert parse(path, bytes(content), FORM, damage) == (HELD[:n], start)
        else:
            with pytest.raises(BrokenFile, match=f"at byte {start} of {len(content)}; {n} are whole"):
                parse(path, bytes(content), FORM, damage)


def test_what_is_there_is_neither_begun_anew_nor_taken_for_a_diary(path):
    path.write_bytes(b"MAGIX")
    with pytest.raises(BrokenFile, match=r"diary .*: File exists; nothing was sent"):
        RecordFile.create(path, FORM)
    with pytest.raises(BrokenFile, match="is not a diary of this version"):
        RecordFile.resume(path, FORM, damage)
    assert path.read_bytes() == b"MAGIX"


@pytest.mark.parametrize("content", [b"", b"MAG", b"MAGIC", b"MAGIC and more"])
def test_a_beginning_of_the_magic_word_is_one_that_was_cut_short(path, content):
    path.write_bytes(content)
    assert read_bytes(path, FORM) == content


def open_files():
    return set(os.listdir("/proc/self/fd"))


def test_nothing_stays_open_and_a_new_file_is_nobody_elses_to_write(path):
    before, mask = open_files(), os.umask(0)
    try:
        file = RecordFile.create(path, FORM)
    finally:
        os.umask(mask)
    assert (file.records, file.lost_bytes, stat.S_IMODE(path.stat().st_mode)) == ([], 0, 0o644)
    assert len(open_files() - before) == 1
    file.close()
    assert open_files() == before


def test_closing_twice_does_not_close_what_got_the_number_since(path):
    file = RecordFile.create(path, FORM)
    file.close()
    other = os.open(path, os.O_RDONLY)
    file.close()
    os.fstat(other)
    os.close(other)


def test_who_looks_on_sees_whole_records_once_and_the_head_of_each(path):
    whole = pack(FORM, HELD)
    ends = [len(pack(FORM, HELD[:n])) for n in range(1, len(HELD) + 1)]
    follower = Follower(path, FORM)
    assert follower.new(5) == []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        expected = [HELD[ends.index(length)]] if length in ends else []
        assert follower.new(5) == [(kind, payload[:5]) for kind, payload in expected]
    # Who comes later sees all at once.
    assert Follower(path, FORM).new(300) == HELD
