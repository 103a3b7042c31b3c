"""A campaign over 64 mock boards on the cores of this machine, two workers killed on the way.

Efficiency: what the runs cost alone, one after another in one process without Dask, times their number, over cores
times wall clock from the first task to the last. The former is CPU time, the mean of 16 after a first one, half of them
made before the campaign and half after it, since the speed of a machine wanders. What the killed workers had done,
their new start, the scheduler, the last run that one core makes alone: all count as loss. So does what a run takes
longer because another runs beside it; what that alone would leave is the machine's own ceiling, measured by plain
processes without Dask, one for each core.

A machine that others share stretches the wall clock. There the second line holds: instead of cores times wall clock the
CPU time of all processes of the campaign, and what its workers were idle (Dask's task stream); time in which a worker
starts is in it twice.

python benchmarks/bench_campaign.py
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "error")

import psutil
from distributed import get_task_stream

from lab_scripts.campaign_boards import cluster_client, run_campaign
from lab_scripts.campaign_plan import Boards, Campaign, Commands, tasks

KILLS, LIMIT, ALONE = 2, 0.90, 8
WORDS = ("program", "AI4S")


def alone_s() -> float:
    """CPU time of one run in a process that has made one before; mean."""
    from lab_scripts.cli import whole_command

    command, spent = whole_command(), []
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        for seed in range(ALONE + 1):
            began = time.process_time()
            command.main([*WORDS, "--seed", str(seed), "--out", f"{folder}/{seed}.nc"], standalone_mode=False)
            spent.append(time.process_time() - began)
    return statistics.mean(spent[1:])


def side_by_side_s(processes: int) -> float:
    """The same in as many processes at once."""
    command = [sys.executable, __file__, "--alone"]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return statistics.mean(float(process.communicate()[0]) for process in begun)


def gap_s(tasks_done: list[dict[str, Any]]) -> float:
    """Between the end of a task and the begin of the next at the same worker; median."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for task in tasks_done:
        for part in task["startstops"]:
            if part["action"] == "compute":
                spans.setdefault(task["worker"], []).append((part["start"], part["stop"]))
    between = [b[0] - a[1] for each in spans.values() for a, b in itertools.pairwise(sorted(each))]
    return statistics.median(between)


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """CPU time of processes that live."""
    return sum(t.user + t.system for t in (p.cpu_times() for p in processes))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--boards", type=int, default=64)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--alone", action="store_true", help="print what one run costs, and do nothing else")
    arguments = parser.parse_args()
    if arguments.alone:
        print(alone_s())
        return 0
    boards = Boards(mock=arguments.boards)
    campaign = Campaign(boards=boards, tasks=(Commands(command=" ".join(WORDS), on="every board"),))
    todo = tasks(campaign)
    one_s = alone_s()
    cores = min(arguments.workers, os.cpu_count() or 1)
    together_s = side_by_side_s(cores)

    with tempfile.TemporaryDirectory() as name, cluster_client(campaign, None, arguments.workers) as client:
        folder = Path(name).resolve()
        pids = list(client.run(os.getpid).values())

        dead: list[float] = []

        def kill() -> None:
            rng = random.Random(0)
            for pid in pids[:KILLS]:
                time.sleep(rng.uniform(5.0, 15.0))
                dead.append(cpu_s([psutil.Process(pid)]))
                os.kill(pid, signal.SIGKILL)

        me, killer = psutil.Process(), threading.Thread(target=kill)
        before = cpu_s([me, *me.children(recursive=True)])
        with get_task_stream(client) as stream:
            began = time.monotonic()
            killer.start()
            outcomes = run_campaign(client, boards, todo, folder)
            seconds = time.monotonic() - began
        spent = cpu_s([me, *me.children(recursive=True)]) + sum(dead) - before
        killer.join()
        files = sorted(path.stem for path in folder.glob("*.nc"))
        left = (folder / "attempts").exists()
    one_s, together_s = (one_s + alone_s()) / 2, (together_s + side_by_side_s(cores)) / 2
    useful = one_s * len(todo)
    whole = files == sorted(t.name for t in todo) and not left and all(o.code == 0 for o in outcomes)
    at_work = sum(
        part["stop"] - part["start"]
        for task in stream.data for part in task["startstops"] if part["action"] == "compute"
    )  # fmt: skip
    idle = max(arguments.workers * seconds - at_work, 0.0)
    efficiency, otherwise = useful / (cores * seconds), useful / (spent + idle)
    for outcome in outcomes:
        if outcome.code:
            print(f"{outcome.name} on {outcome.board}: exit code {outcome.code}: {outcome.said}")
    print(f"{len(files)} runs of {len(todo)} boards, {KILLS} workers killed; each there once: {whole}")
    print(f"efficiency {efficiency:.1%} of {cores} cores (limit {LIMIT:.0%}): {useful:.1f} s of CPU in {seconds:.1f} s")
    print(
        f"ceiling of this machine: {one_s / together_s:.1%}, what is left if as many runs go side by side without Dask"
    )
    print(f"between two tasks of a worker: {1e3 * gap_s(stream.data):.0f} ms (median)")
    print(f"by CPU time, if others use this machine: {otherwise:.1%}: {spent:.1f} s spent, {idle:.1f} s idle")
    print(f"CPU time in the runs themselves: {sum(o.cpu_s for o in outcomes):.1f} s")
    return int(not whole or efficiency < LIMIT)


if __name__ == "__main__":
    sys.exit(main())
