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
