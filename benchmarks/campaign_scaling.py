"""What a campaign costs that grows with its boards: the figures below "Many boards" in docs/campaigns.md.

Workers without a board, all in one other process, are given tasks whose run files are there already, so that nothing is
made. Measured in this process, which has the scheduler and the campaign: CPU time of a task, bytes that a task sends,
time to ask for all workers, CPU time of a second in which nothing happens, memory. Then the files of one real run.

python benchmarks/campaign_scaling.py [BOARDS ...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")

import psutil
from distributed import Client, SpecCluster
from distributed.comm.tcp import TCP
from distributed.scheduler import Scheduler

from lab_scripts.campaign_boards import TAG, Dispatch, present
from lab_scripts.campaign_plan import Boards, Campaign, Commands, tasks
from lab_scripts.runs import RunFile, journal_folder

TASKS, IDLE_S = 1000, 10.0
SENT = [0, 0]
"""Messages and bytes that this process has sent."""
QUIET = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "10s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "10s",
}
"""Of so many workers in one process, which are otherwise busy with looking at themselves."""
WORKERS = """
import asyncio, sys
from distributed import Worker
from benchmarks.campaign_scaling import count
async def main(address, n):
    count()
    workers = [
        Worker(address, nthreads=1, name=f"mock-{i}", resources={f"board:mock-{i}": 1}, memory_limit=0)
        for i in range(n)
    ]
    for worker in workers:
        await worker
    await asyncio.gather(*(worker.finished() for worker in workers))
asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def count() -> None:
    """From now on `SENT` grows."""
    write = TCP.write

    async def counted(self, message, serializers=None, on_error="message"):  # type: ignore[no-untyped-def]
        sent = await write(self, message, serializers, on_error)
        SENT[0], SENT[1] = SENT[0] + 1, SENT[1] + sent
        return sent

    TCP.write = counted


def sent_there() -> int:
    """Bytes that the workers' process has sent."""
    from benchmarks.campaign_scaling import SENT as there

    return there[1]


def measure(n: int, folder: Path) -> None:
    """Print a row for `n` boards."""
    boards = Boards(mock=n)
    todo = tasks(
        Campaign(boards=boards, tasks=(Commands(command="program AI4S --x {x}", each={"x": tuple(range(TASKS))}),))
    )
    for task in todo:
        (folder / task.file).touch()
    me = psutil.Process()
    head = {"cls": Scheduler, "options": {"dashboard_address": "127.0.0.1:0", "host": "127.0.0.1", "port": 0}}
    with SpecCluster(workers={}, scheduler=head) as cluster, Client(cluster) as client:
        before = me.memory_info().rss
        command = [sys.executable, "-c", WORKERS, cluster.scheduler_address, str(n)]
        with subprocess.Popen(command, env=os.environ | QUIET | {"PYTHONPATH": os.getcwd()}) as workers:
            client.wait_for_workers(n, timeout=600)
            grown = me.memory_info().rss - before
            began = time.process_time()
            time.sleep(IDLE_S)
            idle = (time.process_time() - began) / IDLE_S
            began = time.process_time()
            assert len(present(client, boards)) == n
            look = time.process_time() - began
            there, here = client.run(sent_there, workers=[_one(client)]), SENT[1]
            began, wall = time.process_time(), time.monotonic()
            outcomes = Dispatch(client, boards, todo, folder, 60.0).run(None)
            seconds = time.monotonic() - wall
            spent = time.process_time() - began - idle * seconds
            assert all(o.there for o in outcomes)
            here = SENT[1] - here
            there = max(client.run(sent_there, workers=[_one(client)]).values()) - max(there.values())
            files = len(os.listdir(f"/proc/{os.getpid()}/fd"))
            workers.terminate()
    print(
        f"{n:6d} {1e3 * spent / TASKS:8.2f} {TASKS / seconds:9.0f} {here / TASKS:8.0f} {there / TASKS:8.0f} "
        f"{1e3 * look:8.1f} {1e3 * idle / n:8.3f} {grown / n / 1e3:8.0f} {files / n:6.1f}",
        flush=True,
    )


def _one(client: Client) -> str:
    return str(next(iter(client.scheduler_info(n_workers=-1)["workers"])))


def one_run(folder: Path) -> None:
    """Print what one run leaves, and what stands beside it while it is made."""
    from lab_scripts.cli import whole_command

    out, finished, synced = folder / "run.nc", RunFile.finished, 0

    def counted(sync: Callable[[int], None]) -> Callable[[int], None]:
        def count_and_sync(file: int) -> None:
            nonlocal synced
            synced += 1
            sync(file)

        return count_and_sync

    def look(run_file: RunFile) -> None:
        sizes = {p.name: p.stat().st_size for p in journal_folder(run_file.path).iterdir()}
        live = run_file.path.with_name(run_file.path.name + ".live").stat().st_size
        print(f"run file {out.stat().st_size / 1e3:.0f} kB, journal {sizes['board0.journal'] / 1e3:.0f} kB, ", end="")
        print(f"live file {live / 1e3:.0f} kB, {synced} times to the disk")
        finished(run_file)

    RunFile.finished = look  # type: ignore[method-assign]
    os.fsync, os.fdatasync = counted(os.fsync), counted(os.fdatasync)
    command = whole_command()
    command.main(["program", "AI4S", "--quiet", "--out", str(out)], standalone_mode=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("boards", type=int, nargs="*", default=[50, 200, 800])
    arguments = parser.parse_args()
    count()
    print(f"{TAG}: boards, CPU of a task ms, tasks/s, bytes sent for a task by the head, by the worker, ", end="")
    print("asking for all workers ms, idle CPU of a board ms/s, memory of a board kB, open files of a board")
    for n in arguments.boards:
        with tempfile.TemporaryDirectory() as folder:
            measure(n, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        one_run(Path(folder))
    return 0


if __name__ == "__main__":
    sys.modules["benchmarks.campaign_scaling"] = sys.modules["__main__"]
    sys.exit(main())
