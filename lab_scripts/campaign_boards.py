"""The boards of a campaign: Dask workers that carry the tag of one each, and the tasks that they are given.

A worker has one thread and one resource, ``board:ADDRESS``; a task asks for that of the board it is to be made on. The
campaign gives each board one task at a time, when the board is free. Dask does the rest: it brings the task there, and
again when a worker has died and its board is back, at whatever address (decision 0121).
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing.forkserver
import os
import queue
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_bridge.errors import ConnectionLost
from lab_scripts.campaign_plan import MOCK, Boards, Campaign, Task
from lab_scripts.campaign_task import ATTEMPTS, Outcome, make_run
from lab_scripts.exits import Exit, InputError

if TYPE_CHECKING:
    from distributed import Client, Future

TAG = "board:"
"""Begins the Dask resource of a worker; the rest is its board's address, as --backend takes it."""
FAILURES = 3
"""Failed tasks in a row after which a board is left out."""
PATIENCE_S = 60.0
"""How long a board whose worker has gone may take to come back."""
_ANSWER_S = 10.0
"""How long the answer of a task that has ended may take to come from its worker."""
_LOOK_S, _LOOK_SHARE = 1.0, 0.05
"""How often the scheduler is asked for its workers, and the share of the time that this may take."""
_OF_THIS_MACHINE = {
    # Copies of one process that has imported what runs need: a worker, also in place of a dead one, is there at once.
    "distributed.worker.multiprocessing-method": "forkserver",
    # A run is long, and has one thread: what Dask would tell of its inside by asking a hundred times a second, and of
    # the time between its own turns, costs more than all else that it does.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "logging.distributed": "error",
}
"""Dask's settings for a scheduler and workers of this process."""
_PRELOAD = ("lab_scripts.cli", "distributed.nanny", "torch", "h5netcdf", "xarray", "scipy.optimize", "scipy.special")
"""Imported once for all workers of this machine: of modules of a run those that take longest."""


class Dispatch:
    """Tasks that wait, those under way, and what became of the others."""

    def __init__(self, client: Client, boards: Boards, todo: Sequence[Task], folder: Path, patience_s: float) -> None:
        self._client, self._boards, self._folder, self._patience_s = client, boards, folder, patience_s
        self._todo = todo
        self._anywhere: deque[Task] = deque(task for task in todo if not isinstance(task.board, str))
        self._bound: dict[str, deque[Task]] = {}
        for task in todo:
            if isinstance(task.board, str):
                self._bound.setdefault(task.board, deque()).append(task)
        self._tried: defaultdict[str, set[str]] = defaultdict(set)
        self._lost_with: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._running: dict[Future, tuple[Task, str]] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._seen: dict[str, float] = {}
        self._present: Collection[str] = ()
        self._free: set[str] = set()
        self._attempts = 0
        self._look_at = 0.0
        self.outcomes: dict[str, Outcome] = {}

    def run(self, step: Any) -> list[Outcome]:
        """All tasks, in their order. step(done, total, note)."""
        self._began = time.monotonic()
        check_workers(self._client, self._boards)
        while self._anywhere or self._bound or self._running:
            self._look()
            for board in sorted(self._free):
                if (task := self._next(board)) is not None:
                    self._submit(task, board)
            self._free.clear()
            if not self._running and not self._hope():
                self._give_up()
                break
            with contextlib.suppress(queue.Empty):
                self._heed(self._ended.get(timeout=_LOOK_S))
                while True:
                    self._heed(self._ended.get_nowait())
            if step is not None:
                waiting = len(self._anywhere) + sum(map(len, self._bound.values()))
                step(len(self._todo) - waiting - len(self._running), len(self._todo))
        return [self.outcomes[task.name] for task in self._todo]

    def _look(self) -> None:
        """Which boards have a worker now. A board that has had none for too long gives its task back."""
        began = time.monotonic()
        if began < self._look_at:
            return
        self._present = present(self._client, self._boards)
        now = time.monotonic()
        self._look_at = now + max(_LOOK_S, (now - began) / _LOOK_SHARE)
        self._seen |= dict.fromkeys(self._present, now)
        busy = {board for _, board in self._running.values()}
        for future, (task, board) in list(self._running.items()):
            if self._lost(board):
                del self._running[future]
                future.cancel()
                self._lost_with[task.name] += 1
                if self._lost_with[task.name] >= FAILURES:
                    said = f"the workers of {FAILURES} boards have gone while they were at it"
                    self.outcomes[task.name] = Outcome(task.name, board, Exit.BOARD, 0.0, 0.0, said=said)
                else:
                    self._take_back(task)
        self._free = {b for b in self._present if b not in busy and self._in_a_row[b] < FAILURES}

    def _take_back(self, task: Task) -> None:
        """It is the next one again."""
        if isinstance(task.board, str):
            self._bound.setdefault(task.board, deque()).appendleft(task)
        else:
            self._anywhere.appendleft(task)

    def _lost(self, board: str) -> bool:
        return time.monotonic() - self._seen.get(board, self._began) > self._patience_s

    def _next(self, board: str) -> Task | None:
        if (bound := self._bound.get(board)) is not None:
            first = bound.popleft()
            if not bound:
                del self._bound[board]
            return first
        for i, task in enumerate(self._anywhere):
            if board not in self._tried[task.name]:
                del self._anywhere[i]
                return task
        return None

    def _submit(self, task: Task, board: str) -> None:
        self._attempts += 1
        seed = task.board if isinstance(task.board, int) else None
        future = self._client.submit(
            make_run, task.words, task.name, task.file, str(self._folder), seed, board,
            key=f"{task.name}:{self._attempts}", resources={TAG + board: 1}, pure=False, retries=0,
        )  # fmt: skip
        self._running[future] = task, board
        future.add_done_callback(self._ended.put)

    def _heed(self, future: Future) -> None:
        if future not in self._running:  # given back
            return
        task, board = self._running.pop(future)
        if future.status == "cancelled":
            raise ConnectionLost(
                "the Dask scheduler has gone; what its workers have begun goes on, or is gone on with: start it again, "
                "then give the same command"
            )
        if future.status == "error":
            # Its worker died each time, and was given up before it has died for ever; or it has no such program.
            outcome = Outcome(task.name, board, Exit.DEFECT, 0.0, 0.0, said=str(future.exception()))
        else:
            try:
                outcome = future.result(timeout=_ANSWER_S)
            except asyncio.TimeoutError:
                # The worker died with its answer. The run is there, and will be found.
                future.release()
                self._take_back(task)
                return
        future.release()
        if outcome.code == Exit.BOARD:
            self._in_a_row[board] += 1
            self._tried[task.name].add(board)
        else:
            self._in_a_row[board] = 0
        if self._in_a_row[board] < FAILURES and board in self._present:
            self._free.add(board)
        self.outcomes[task.name] = outcome
        if outcome.code == Exit.BOARD and task.board != board and self._untried(task):
            self._anywhere.append(task)

    def _untried(self, task: Task) -> list[str]:
        return [b for b in self._seen if b not in self._tried[task.name] and self._in_a_row[b] < FAILURES]

    def _hope(self) -> bool:
        """Whether a board may still come (back) for one of the tasks that wait."""
        if any(self._in_a_row[board] < FAILURES and not self._lost(board) for board in self._bound):
            return True
        return any(not self._lost(board) for task in self._anywhere for board in self._untried(task))

    def _give_up(self) -> None:
        there = ", ".join(sorted(self._present)) or "none"
        for task in [*self._anywhere, *(task for waiting in self._bound.values() for task in waiting)]:
            board = task.board if isinstance(task.board, str) else ""
            if board and self._in_a_row[board] >= FAILURES:
                said = f"the board {board} failed {FAILURES} times in a row and was left out"
            elif board and board in self._seen:
                said = f"the worker of the board {board} has been gone for more than {self._patience_s:g} s"
            elif board:
                said = f"no worker has the board {board}; there are {there}"
            else:
                said = f"no board is left that has not failed it or gone; there are {there}"
            before = self.outcomes.get(task.name)
            if before is None or board:
                self.outcomes[task.name] = Outcome(task.name, board, Exit.BOARD, 0.0, 0.0, said=said)


def run_campaign(
    client: Client, boards: Boards, todo: Sequence[Task], folder: Path, step: Any = None, *,
    patience_s: float = PATIENCE_S,
) -> list[Outcome]:  # fmt: skip
    """All tasks, in their order. A board that fails `FAILURES` tasks in a row is left out from then on, one whose
    worker is gone for longer than `patience_s` until it is back."""
    outcomes = Dispatch(client, boards, todo, folder, patience_s).run(step)
    with contextlib.suppress(OSError):  # not empty, or never made
        (folder / ATTEMPTS).rmdir()
    return outcomes


def present(client: Client, boards: Boards) -> list[str]:
    """The campaign's boards that have a worker now."""
    return sorted(
        tag.removeprefix(TAG)
        for worker in _workers(client)
        for tag in worker["resources"]
        if tag.startswith(TAG) and boards.have(tag.removeprefix(TAG))
    )


def check_workers(client: Client, boards: Boards) -> None:
    """Raises `InputError` if there is no worker with a board of the campaign, or one is not as it must be."""
    found: Counter[str] = Counter()
    for worker in _workers(client):
        tags = [tag for tag in worker["resources"] if tag.startswith(TAG)]
        if tags and (len(tags) > 1 or worker["nthreads"] != 1):
            raise InputError(
                f"worker {worker['name']} has {worker['nthreads']} threads and {len(tags)} boards, "
                f"{', '.join(sorted(tags))}: one of each (--nthreads 1), since a process works on one board at a time"
            )
        found.update(tag.removeprefix(TAG) for tag in tags)
    for board, n in found.items():
        if n > 1:
            raise InputError(f"{n} workers have the board {board}: end all but one of them")
    if not any(map(boards.have, found)):
        others = f"; there are {', '.join(sorted(found))}" if found else ""
        raise InputError(
            f"no worker has a board of the campaign{others}. Start one for each board: dask worker SCHEDULER "
            f"--nthreads 1 --resources '{TAG}ADDRESS=1', ADDRESS as --backend takes it, or {MOCK}-0, {MOCK}-1, …"
        )


def _workers(client: Client) -> Collection[dict[str, Any]]:
    try:
        found: Collection[dict[str, Any]] = client.scheduler_info(n_workers=-1)["workers"].values()
    except OSError as error:
        raise ConnectionLost(f"the Dask scheduler does not answer: {error}; give the same command again") from error
    return found


@contextlib.contextmanager
def cluster_client(plan: Campaign, scheduler: str | None, workers: int | None) -> Iterator[Client]:
    """A client of the scheduler at that address; without one, of workers of this machine, there until the context ends.

    workers: of this machine, for mock boards.
    """
    import dask

    dask.config.set(_OF_THIS_MACHINE)  # before distributed is imported, which heeds some of them then
    from distributed import Client, Nanny, SpecCluster
    from distributed.scheduler import Scheduler

    if scheduler is not None:
        if workers is not None:
            raise InputError(f"--workers {workers}: the scheduler at {scheduler} has its own; leave it out")
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise InputError(f"--scheduler {scheduler}: {error}; start one with `dask scheduler`") from error
        with client:
            yield client
        return
    if plan.boards.mock:
        names = [f"{MOCK}-{i}" for i in range(min(plan.boards.mock, workers or os.cpu_count() or 1))]
    else:
        names = list(plan.boards.addresses)
    specs = {
        name: {
            "cls": Nanny,
            "options": {
                "nthreads": 1, "name": name, "resources": {TAG + name: 1}, "memory_limit": 0, "env": dict(os.environ),
            },
        }
        for name in names
    }  # fmt: skip
    head = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0}}
    _start_forkserver()
    with SpecCluster(workers=specs, scheduler=head) as cluster, Client(cluster) as client:
        client.wait_for_workers(len(names), timeout=120)
        yield client


def _start_forkserver() -> None:
    # One thread for each worker, and none in the process that is copied.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")
    multiprocessing.forkserver.set_forkserver_preload(list(_PRELOAD))
    multiprocessing.forkserver.ensure_running()
