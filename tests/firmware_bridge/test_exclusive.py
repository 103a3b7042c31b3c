"""One process at a time on a board: who has it is named, and a dead process is no obstacle."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from firmware_bridge import exclusive
from firmware_bridge.exclusive import BoardInUse, Exclusive

HOLD = (
    "import sys, time, pathlib\n"
    "from firmware_bridge.exclusive import Exclusive\n"
    "lock = Exclusive.take(pathlib.Path(sys.argv[1]), 'the board')\n"
    "print('held', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "board.lock"


def test_a_second_process_is_told_which_has_it_and_since_when(path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        text = rf"the board is in use by process {other.pid} since 20\d\d-\d\d-\d\dT[\d:]+\+00:00; wait until"
        with pytest.raises(BoardInUse, match=text):
            Exclusive.take(path, "the board")
        other.send_signal(signal.SIGKILL)
        other.wait()
        # Its file is still there, and names a process that is dead.
        assert str(other.pid) in path.read_text()
        Exclusive.take(path, "the board").close()


def test_it_is_free_again_once_it_is_let_go(path):
    lock = Exclusive.take(path, "the board")
    with pytest.raises(BoardInUse, match=f"process {os.getpid()} "):
        Exclusive.take(path, "the board")
    lock.close()
    lock.close()
    Exclusive.take(path, "the board").close()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "\xff" * 9])
def test_what_stands_in_the_file_decides_nothing(path, content):
    path.write_text(content, encoding="latin-1")
    lock = Exclusive.take(path, "the board")
    path.write_text(content, encoding="latin-1")
    with pytest.raises(BoardInUse, match="in use by a process that has only just begun"):
        Exclusive.take(path, "the board")
    lock.close()


def test_a_lock_that_was_removed_by_its_holder_is_nobodys(path, mocker):
    """Between opening and locking, the holder before ends and takes its file away."""
    before = Exclusive.take(path, "the board")
    original = exclusive._open

    def opened(*args):
        file = original(*args)
        before.close(remove=True)
        return file

    mocker.patch.object(exclusive, "_open", opened)
    after = Exclusive.take(path, "the board")
    with pytest.raises(BoardInUse, match=f"process {os.getpid()} "):
        Exclusive.take(path, "the board")
    after.close(remove=True)
    assert not path.exists()


def test_one_who_looks_for_a_moment_is_no_holder(path):
    Exclusive.take(path, "the board").close()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.02, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        Exclusive.take(path, "the board").close()
        time.sleep(0.05)


def test_what_a_holder_says_stands_in_the_first_line_and_names_it_whatever_follows(path):
    lock = Exclusive.take(path, "the board", mode=0o600, kind="begin")
    said = json.loads(path.read_text())
    assert (said["kind"], said["pid"], path.stat().st_mode & 0o777) == ("begin", os.getpid(), 0o600)
    with path.open("a") as more:
        more.write("{" * 100_000)
    with pytest.raises(BoardInUse, match=f"in use by process {os.getpid()} since"):
        Exclusive.take(path, "the board")
    lock.close()


def test_a_link_that_somebody_put_there_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "precious")
    with pytest.raises(BoardInUse, match=r"no lock at .*symbolic"):
        Exclusive.take(path, "the board")
    assert not (tmp_path / "precious").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BoardInUse, match=r"the board: no lock at .*nowhere/board.lock: No such file"):
        Exclusive.take(tmp_path / "nowhere" / "board.lock", "the board")


def test_devices_have_locks_by_name():
    one = Exclusive.device("/dev/ttyUSB0", "one")
    other = Exclusive.device("/dev/ttyUSB1", "other")
    assert one.path.name == "xbar-dev-ttyUSB0.lock"
    with pytest.raises(BoardInUse, match="serial port /dev/ttyUSB0 is in use by process"):
        Exclusive.device("/dev/ttyUSB0", "serial port /dev/ttyUSB0")
    one.close()
    other.close()


# -- what it leaves ----------------------------------------------------------------------------------------------------


def open_files():
    return sorted(os.listdir("/proc/self/fd"))


def test_whoever_is_refused_keeps_nothing_open_and_the_holder_keeps_the_lock(path, tmp_path):
    lock = Exclusive.take(path, "the board")
    before, said = open_files(), path.read_text()
    with pytest.raises(BoardInUse):
        Exclusive.take(path, "the board")
    assert (open_files(), path.read_text()) == (before, said)
    lock.close()
    assert len(open_files()) == len(before) - 1


def test_a_disk_that_is_full_is_told_and_the_lock_is_let_go(path, mocker):
    before = open_files()
    mocker.patch("os.pwrite", side_effect=OSError(28, "No space left on device"))
    with pytest.raises(BoardInUse, match="No space left on device; nothing was sent to the board"):
        Exclusive.take(path, "the board")
    mocker.stopall()
    assert open_files() == before
    Exclusive.take(path, "the board").close()


def test_what_an_earlier_holder_said_is_gone_whole(path):
    path.write_text("x" * 5000)
    lock = Exclusive.take(path, "the board")
    (line,) = path.read_text().splitlines()
    assert set(json.loads(line)) == {"pid", "since"}
    lock.close()
    assert path.exists()


def test_a_lock_on_a_device_may_be_taken_by_every_user_whatever_the_first_ones_umask(path):
    mask = os.umask(0o077)
    try:
        Exclusive.take(path, "the board").close()
    finally:
        os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666


def test_without_a_folder_for_locks_that_for_temporary_files_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(exclusive.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(exclusive, "LOCKS", tmp_path / "nowhere")
    lock = Exclusive.device("a b/c", "the board")
    assert lock.path == tmp_path / "xbar-a-b-c.lock"
    lock.close(remove=True)
    (tmp_path / "locks").mkdir()
    monkeypatch.setattr(exclusive, "LOCKS", tmp_path / "locks")
    lock = Exclusive.device("zc706", "the board")
    assert lock.path == tmp_path / "locks" / "xbar-zc706.lock"
    lock.close()


def test_closing_twice_does_not_close_what_got_the_number_since(path):
    lock = Exclusive.take(path, "the board")
    lock.close()
    other = os.open(path, os.O_RDONLY)
    lock.close(remove=True)
    os.fstat(other)
    os.close(other)
    assert path.exists()


def test_a_holder_is_given_a_tenth_of_a_second_to_be_gone(path, monkeypatch):
    lock, now, slept = Exclusive.take(path, "the board"), [50.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(exclusive.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(exclusive.time, "sleep", sleep)
    with pytest.raises(BoardInUse):
        Exclusive.take(path, "the board")
    assert 0.1 <= sum(slept) <= 0.15
    assert 5 <= len(slept) <= 20
    lock.close()
