"""One task in the worker of its board: what earlier attempts have left is gone on with, or left alone."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.board import PAPER_BOARD, load_board
from drivers.bridges import open_bridge
from firmware_bridge.errors import ProtocolError
from firmware_bridge.isa import Pulse, Pulses
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server
from lab_scripts.campaign_task import make_run
from lab_scripts.exits import Exit
from lab_scripts.run_store import differences, open_run

NAME, FILE = "program-0123", "program-0123.nc"


@contextmanager
def served(seed):
    """A board behind a server, as a real one is."""
    stop = threading.Event()
    bridge = open_bridge("mock", board=load_board(PAPER_BOARD), seed=seed)
    with Server(bridge, Address.parse("tcp://127.0.0.1:0")) as server:
        thread = threading.Thread(target=server.serve, args=(stop.is_set,))
        thread.start()
        try:
            yield server.address
        finally:
            stop.set()
            thread.join()


@pytest.fixture
def fails_at(mocker):
    """``fails_at(n)``: from the n-th program with pulses on the board fails; ``fails_at(None)``: it works again."""
    original = MockBridge.run

    def run(n):
        done = 0

        def failing(self, program):
            nonlocal done
            done += any(isinstance(i, Pulse | Pulses) for i in program)
            if n is not None and done >= n:
                raise ProtocolError("the board has failed")
            return original(self, program)

        mocker.patch.object(MockBridge, "run", failing)

    return run


@pytest.fixture
def make(xbar, matrix, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    return lambda board, seed=None: make_run(("program", str(matrix)), NAME, FILE, str(folder), seed, board)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_an_attempt_on_one_board_has_left_an_attempt_on_another_does_not_touch(make, fails_at, tmp_path):
    runs = tmp_path / "runs"
    with served(1) as one, served(2) as other:
        fails_at(3)
        failed = make(one)
        fails_at(None)
        assert failed.code == Exit.BOARD
        assert failed.said.endswith(f"runs/attempts/{NAME}/{one.replace(':', '%3A').replace('/', '%2F')}, "
                                    "and the same campaign goes on with it")  # fmt: skip
        left = content(runs / "attempts")
        assert any(name.endswith("board0.journal") for name in left)
        done = make(other)
        assert (done.code, done.there) == (Exit.OK, False)
        assert content(runs / "attempts") == left
        # The first board, given the task again, finds the result and is not pulsed for another.
        assert make(one).there
        assert content(runs / "attempts") == left


def test_a_board_that_is_back_goes_on_with_its_own_attempt(make, fails_at, tmp_path):
    with served(1) as one:
        fails_at(3)
        assert make(one).code == Exit.BOARD
        (journal,) = (tmp_path / "runs").rglob("board0.journal")
        before = journal.read_bytes()
        fails_at(4)
        assert make(one).code == Exit.BOARD
        assert journal.read_bytes()[: len(before)] == before
        fails_at(None)
        assert make(one).code == Exit.OK
    assert [path.name for path in (tmp_path / "runs" / "attempts").iterdir()] == []
    assert (tmp_path / "runs" / FILE).exists()


def test_a_run_file_that_came_meanwhile_is_not_replaced(make, mocker, tmp_path):
    runs = tmp_path / "runs"
    original = MockBridge.run

    def run(self, program):
        (runs / FILE).write_text("of another board")
        return original(self, program)

    mocker.patch.object(MockBridge, "run", run)
    late = make("mock-0", 3)
    assert (late.code, late.there) == (Exit.OK, True)
    assert (runs / FILE).read_text() == "of another board"
    assert [path.name for path in runs.rglob("*.nc")].count(FILE) == 2


def test_an_attempt_that_was_whole_when_its_worker_died_is_not_made_again(make, mocker, tmp_path):
    mocker.patch("lab_scripts.campaign_task.publish", side_effect=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        make("mock-0", 3)
    mocker.stopall()
    run = mocker.spy(MockBridge, "run")
    done = make("mock-1", 3)
    assert (done.code, done.there) == (Exit.OK, True)
    run.assert_not_called()
    assert [path.name for path in (tmp_path / "runs").rglob("*.nc")] == [FILE]


@pytest.mark.parametrize("died_before_it_was_moved", [False, True])
def test_a_run_outside_its_bounds_is_so_each_time_it_is_found(make, mocker, tmp_path, died_before_it_was_moved):
    ends = Exit.OUTSIDE_BOUND

    def ends_so(words, spoken):
        Path(words[words.index("--out") + 1]).write_text("a run")
        spoken.write("7 cells missed" * ends.value)
        return ends.value

    mocker.patch("lab_scripts.campaign_task._xbar", ends_so)
    if died_before_it_was_moved:
        published = mocker.patch("lab_scripts.campaign_task.publish", side_effect=KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            make("mock-0", 3)
        mocker.stop(published)
    for there in (died_before_it_was_moved, True):
        found = make("mock-1", 3)
        assert (found.code, found.there, found.said) == (Exit.OUTSIDE_BOUND, there, "7 cells missed")
    (tmp_path / "runs" / FILE).unlink()
    ends = Exit.OK
    for there in (False, True):
        found = make("mock-0", 3)
        assert (found.code, found.there, found.said) == (Exit.OK, there, "")


def test_what_one_mock_worker_began_another_goes_on_with_to_the_same_bits(make, fails_at, xbar, matrix, tmp_path):
    fails_at(3)
    assert make("mock-0", 3).code == Exit.BOARD
    fails_at(None)
    assert make("mock-1", 3).code == Exit.OK
    direct = xbar("program", matrix, "--seed", 3, "--out", "direct.nc")
    assert direct.exit_code == 0, direct.stderr
    with open_run(tmp_path / "runs" / FILE) as a, open_run(Path("direct.nc")) as b:
        assert list(differences(a, b)) == []


def test_an_attempt_whose_worker_died_before_it_had_begun_is_begun(make, tmp_path):
    (tmp_path / "runs" / "attempts" / NAME / "mock" / f"{FILE}.journal").mkdir(parents=True)
    assert make("mock-0", 3).code == Exit.OK


def test_a_command_that_is_none_leaves_no_folder(tmp_path):
    outcome = make_run(("programme",), NAME, FILE, str(tmp_path), None, "mock-0")
    assert (outcome.code, "programme" in outcome.said) == (Exit.BAD_INPUT, True)
    assert [path.name for path in tmp_path.iterdir()] == ["attempts"]
