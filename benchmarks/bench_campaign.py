"""A campaign over 64 mock boards on the cores of this machine, two workers killed on the way.

Efficiency: CPU time of the runs that came through, over cores times wall clock from the first task to the last; what
the killed ones had done, the scheduler and the workers' new start count as loss. On a machine that others share read
the share of the CPU time instead: that of the runs in all that this campaign's processes took.

python benchmarks/bench_campaign.py
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil

from lab_scripts.campaign import cluster_client, run_campaign
from lab_scripts.campaign_plan import Boards, Campaign, Commands, tasks

KILLS, LIMIT = 2, 0.90


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--boards", type=int, default=64)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    campaign = Campaign(
        boards=Boards(mock=arguments.boards), tasks=(Commands(command="program AI4S", on="every board"),)
    )
    todo = tasks(campaign)
    spent: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:
        # CPU time of all processes of this campaign, those that will be killed too.
        me = psutil.Process()
        while not done.wait(0.2):
            for process in [me, *me.children(recursive=True)]:
                try:
                    times = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                spent[process.pid] = times.user + times.system

    with tempfile.TemporaryDirectory() as name, cluster_client(campaign, None, arguments.workers) as client:
        folder = Path(name).resolve()
        pids = list(client.run(os.getpid).values())
        threading.Thread(target=watch).start()
        time.sleep(1.0)
        before = sum(spent.values())

        def kill() -> None:
            rng = random.Random(0)
            for pid in pids[:KILLS]:
                time.sleep(rng.uniform(5.0, 15.0))
                os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        began = time.monotonic()
        killer.start()
        outcomes = run_campaign(client, todo, folder)
        seconds = time.monotonic() - began
        killer.join()
        done.set()
        files = sorted(path.stem for path in folder.glob("*.nc"))
        left = list(folder.glob("*.journal"))
    runs_s = sum(o.cpu_s for o in outcomes)
    cores = min(arguments.workers, os.cpu_count() or 1)
    whole = files == sorted(t.name for t in todo) and not left and all(o.code == 0 for o in outcomes)
    efficiency, share = runs_s / (cores * seconds), runs_s / (sum(spent.values()) - before)
    print(f"{len(files)} runs of {len(todo)} boards, {KILLS} workers killed; each there once: {whole}")
    print(f"{seconds:.1f} s of wall clock, {runs_s:.1f} s of CPU in runs")
    print(f"efficiency {efficiency:.1%} of {cores} cores (limit {LIMIT:.0%})")
    print(f"runs are {share:.1%} of the CPU time that the campaign took")
    print(f"{1e3 * (sum(spent.values()) - before - runs_s) / len(todo):.0f} ms of CPU for each run beside it")
    return int(not whole or efficiency < LIMIT)


if __name__ == "__main__":
    sys.exit(main())
