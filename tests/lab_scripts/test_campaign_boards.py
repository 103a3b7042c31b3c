"""Which board is given which task, and what becomes of the tasks of a board whose worker goes."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import dask
import pytest

from firmware_bridge.errors import ConnectionLost
from lab_scripts.campaign_boards import TAG, run_campaign
from lab_scripts.campaign_plan import Boards, Task
from lab_scripts.campaign_task import Outcome
from lab_scripts.exits import Exit, InputError

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")

BOARDS = Boards(addresses=("a", "b"))
AT: list[tuple[str, str]] = []
"""Of the tasks that were begun, name and board."""
STOP = threading.Event()
"""Ends them; the thread of a worker that was closed is not ended with it."""


def make(words, name, file, folder, seed, board):
    """In place of a run: the first word is how long it takes, in s, the others are boards that fail at it; or `hold`,
    and boards that do not come to an end."""
    AT.append((name, board))
    out = Path(folder, file)
    if out.exists():
        return Outcome(name, board, Exit.OK, 0.0, 0.0, there=True)
    hold = words[0] == "hold"
    STOP.wait(60.0 * (board in words) if hold else float(words[0]))
    if board in words[1:] and not hold:
        return Outcome(name, board, Exit.BOARD, 0.0, 0.0, said=f"{board} failed")
    with out.open("x"):
        return Outcome(name, board, Exit.OK, 0.0, 0.0)


@pytest.fixture
def fleet(mocker):
    """``fleet(a={"board:a": 1}, ...)``: workers of this process with these resources, as cluster and client."""
    from distributed import Client, Scheduler, SpecCluster, Worker

    mocker.patch("lab_scripts.campaign_boards.make_run", make)
    mocker.patch("lab_scripts.campaign_boards._LOOK_S", 0.05)
    AT.clear()
    STOP.clear()
    opened = []

    def run(threads=1, **resources):
        specs = {
            name: {"cls": Worker, "options": {"nthreads": threads, "name": name, "resources": tags, "memory_limit": 0}}
            for name, tags in resources.items()
        }
        head = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0", "protocol": "inproc://", "port": 0}}
        cluster = SpecCluster(workers=specs, scheduler=head)
        client = Client(cluster)
        opened.extend((cluster, client))
        client.wait_for_workers(len(specs), timeout=30)
        return cluster, client

    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        yield run
        STOP.set()
        # A client puts Dask's settings back to what they were when it was opened: the last one first.
        for it in reversed(opened):
            it.close()


def two(fleet):
    return fleet(a={TAG + "a": 1}, b={TAG + "b": 1})


def end(cluster, name):
    """A worker ends, and nobody starts it again."""
    cluster.sync(cluster.workers[name].close, nanny=False, executor_wait=False)


@contextmanager
def ended_at_its_first_task(cluster, name):
    """In this context a worker ends when its board has been given a task."""

    def wait():
        while name not in [board for _, board in AT]:
            time.sleep(0.005)
        end(cluster, name)

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def test_every_task_is_made_once_and_one_of_a_board_on_that_board(fleet, tmp_path):
    _, client = two(fleet)
    todo = [Task(("0.01", str(i)), ("a", "b", None)[i % 3]) for i in range(30)]
    outcomes = run_campaign(client, BOARDS, todo, tmp_path)
    assert [o.name for o in outcomes] == [task.name for task in todo]
    assert all(o.code == Exit.OK and not o.there for o in outcomes)
    assert sorted(name for name, _ in AT) == sorted(task.name for task in todo)
    assert all(o.board == task.board for o, task in zip(outcomes, todo, strict=True) if task.board)
    assert {o.board for o in outcomes if o.name in {t.name for t in todo if t.board is None}} == {"a", "b"}


def test_a_board_has_one_task_at_a_time_so_that_no_other_is_suspect_when_its_worker_dies(fleet, tmp_path):
    _, client = two(fleet)
    most = []
    done = threading.Event()

    def watch():
        while not done.wait(0.01):
            most.append(max(len(keys) for keys in client.processing().values()))

    thread = threading.Thread(target=watch)
    thread.start()
    run_campaign(client, BOARDS, [Task(("0.02", str(i)), None) for i in range(30)], tmp_path)
    done.set()
    thread.join()
    assert max(most) == 1


def test_the_tasks_of_a_board_whose_worker_goes_for_good_are_named_and_made_when_it_is_back(fleet, tmp_path):
    cluster, client = two(fleet)
    todo = [Task(("hold", "b", str(i)), board) for i, board in enumerate(("a", "b", "b", "a"))]
    with ended_at_its_first_task(cluster, "b"):
        first, lost, waiting, last = run_campaign(client, BOARDS, todo, tmp_path, patience_s=0.5)
    assert (first.code, last.code) == (Exit.OK, Exit.OK)
    for outcome in (lost, waiting):
        assert (outcome.code, outcome.board) == (Exit.BOARD, "b")
        assert outcome.said == "the worker of the board b has been gone for more than 0.5 s"
    STOP.set()
    _, back = two(fleet)
    again = run_campaign(back, BOARDS, todo, tmp_path)
    assert [o.code for o in again] == [Exit.OK] * 4
    # The thread of a worker that was closed goes on, as a machine does that was only cut off: that run is there too.
    assert (again[0].there, again[2].there, again[3].there) == (True, False, True)


def test_a_task_of_no_board_moves_when_the_worker_that_has_it_goes(fleet, tmp_path):
    cluster, client = two(fleet)
    todo = [Task(("hold", "b", str(i)), None) for i in range(2)]
    with ended_at_its_first_task(cluster, "b"):
        outcomes = run_campaign(client, BOARDS, todo, tmp_path, patience_s=0.2)
    assert [(o.code, o.board) for o in outcomes] == [(Exit.OK, "a")] * 2
    assert len(list(tmp_path.iterdir())) == 2


def test_a_worker_that_dies_between_the_end_of_a_task_and_its_answer_costs_no_run(fleet, tmp_path, mocker):
    from distributed import Future

    _, client = two(fleet)
    original, asked = Future.result, []

    def result(self, timeout=None):
        asked.append(self.key)
        if len(asked) == 1:
            raise asyncio.TimeoutError
        return original(self, timeout)

    mocker.patch.object(Future, "result", result)
    outcomes = run_campaign(client, BOARDS, [Task(("0", str(i)), None) for i in range(3)], tmp_path)
    assert [o.code for o in outcomes] == [Exit.OK] * 3
    assert sorted(o.there for o in outcomes) == [False, False, True]


def test_a_task_at_which_workers_go_is_left_alone_at_the_third(fleet, tmp_path):
    cluster, client = fleet(**{name: {TAG + name: 1} for name in "abcd"})

    def end_whoever_is_at_it():
        for n in range(1, 4):
            while len(AT) < n:
                time.sleep(0.01)
            end(cluster, AT[n - 1][1])

    thread = threading.Thread(target=end_whoever_is_at_it)
    thread.start()
    (outcome,) = run_campaign(
        client, Boards(addresses=tuple("abcd")), [Task(("60", "long"), None)], tmp_path, patience_s=0.2
    )
    thread.join()
    assert outcome.code == Exit.BOARD
    assert outcome.said == "the workers of 3 boards have gone while they were at it"
    assert len({board for _, board in AT}) == 3


def test_a_task_that_a_board_fails_moves_to_one_that_has_not_tried_it_and_ends_when_all_have(fleet, tmp_path):
    _, client = two(fleet)
    todo = [Task(("0.01", "a"), None), Task(("0.01", "a", "b"), None)]
    moved, hopeless = run_campaign(client, BOARDS, todo, tmp_path)
    assert (moved.code, moved.board) == (Exit.OK, "b")
    assert (hopeless.code, hopeless.said) == (Exit.BOARD, f"{hopeless.board} failed")
    assert len(AT) <= 4


def test_a_board_that_fails_three_in_a_row_is_given_nothing_more(fleet, tmp_path):
    _, client = two(fleet)
    todo = [Task(("0.01", "a", str(i)), "a") for i in range(6)] + [Task(("0.01", "a", str(i)), None) for i in range(9)]
    outcomes = run_campaign(client, BOARDS, todo, tmp_path)
    assert sum(board == "a" for _, board in AT) == 3
    assert [o.said for o in outcomes[:6]] == ["a failed"] * 3 + [
        "the board a failed 3 times in a row and was left out"
    ] * 3
    assert [(o.code, o.board) for o in outcomes[6:]] == [(Exit.OK, "b")] * 9


def test_a_campaign_uses_its_own_boards_alone(fleet, tmp_path):
    _, client = two(fleet)
    with pytest.raises(InputError, match=r"no worker has a board of the campaign; there are a, b\. Start one"):
        run_campaign(client, Boards(mock=3), [Task(("0", "x"), 0)], tmp_path)
    outcomes = run_campaign(client, Boards(addresses=("b",)), [Task(("0", str(i)), None) for i in range(3)], tmp_path)
    assert {o.board for o in outcomes} == {"b"}


@pytest.mark.parametrize(
    ("threads", "resources", "said"),
    [
        (1, {"x": {TAG + "a": 1, TAG + "b": 1}}, "worker x has 1 threads and 2 boards, board:a, board:b: one of each"),
        (2, {"x": {TAG + "a": 1}}, "worker x has 2 threads and 1 boards"),
        (1, {"x": {TAG + "a": 1}, "y": {TAG + "a": 1}}, "2 workers have the board a: end all but one"),
        (1, {"x": {"board": 1}}, r"no worker has a board of the campaign\. Start one for each board: dask worker"),
    ],
)
def test_workers_that_do_not_have_one_board_each_are_refused_before_anything_is_given(
    fleet, tmp_path, threads, resources, said
):
    _, client = fleet(threads=threads, **resources)
    with pytest.raises(InputError, match=said):
        run_campaign(client, BOARDS, [Task(("0", "x"), None)], tmp_path)
    assert AT == []


def test_a_scheduler_that_goes_ends_the_campaign_with_what_to_do(fleet, tmp_path):
    cluster, client = two(fleet)
    threading.Timer(0.2, cluster.sync, (cluster.scheduler.close,)).start()
    with pytest.raises(ConnectionLost, match=r"scheduler .* give the same command"):
        run_campaign(client, BOARDS, [Task(("0.1", str(i)), None) for i in range(50)], tmp_path)
