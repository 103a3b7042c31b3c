"""A day of sampling that nobody attends, in board time: drift, faults at random instants, hosts that are lost.

python benchmarks/campaign/unattended.py --hours 24
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import torch
from command_sequences import SAFE_WITHIN_S
from unattended_day import HOUR_S, Unattended, identities

from anf.samplers.proposals import Proposals

MOST_GROWTH_MIB = 4.0
"""Of resident memory, over the second half: what is done for the first time takes some once, a leak goes on."""
MOST_PULL = 4.0


def resident_mib() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _kept(proposals: Proposals) -> str:
    return f"{len(proposals.phi)} proposals" + (f" of ESS {proposals.ess:.3f}" if len(proposals.phi) else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--faults-per-hour", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began, resident = time.process_time(), []
    with tempfile.TemporaryDirectory() as folder:
        day = Unattended(Path(folder), seed=arguments.seed, faults_per_hour=arguments.faults_per_hour)
        for k in range(arguments.hours):
            day.hour(k)
            resident.append(resident_mib())
            print(
                f"hour {k + 1}: {len(day.struck)} faults and {day.happened['hosts lost']} hosts lost so far, "
                f"{_kept(day.proposals(k, k + 1))}, {resident[-1]:.0f} MiB", flush=True,
            )  # fmt: skip
        drawn, uncounted = day.proposals(0, arguments.hours), day.uncounted_pulses()
    growth_mib = resident[-1] - resident[len(resident) // 2]
    pulls = {name: e.pull for name, e in identities(drawn).items()}
    print(f"{day.board_time_s / HOUR_S:.2f} h of board time, seed {arguments.seed}, "
          f"{time.process_time() - began:.0f} s of CPU")  # fmt: skip
    print(f"{len(day.struck)} faults: " + ", ".join(f"{n} × {name}" for name, n in Counter(day.struck).items()))
    print(f"{day.happened['hosts lost']} hosts lost and followed by another, {day.happened['programmings']} "
          f"programmings, {day.happened['refused']} batches not begun")  # fmt: skip
    print(f"{len(drawn.phi)} proposals kept, {day.happened['dropped']} dropped or not drawn; each in its file as it "
          f"was first seen, ESS {drawn.ess:.4f}")  # fmt: skip
    print(f"{int(day.witness.pulses.sum())} pulses of cells, 0 beyond a limit (limit 0), {uncounted} not in the ledger "
          "(limit 0)")  # fmt: skip
    print(f"outputs safe {day.bridge.slowest_safe_s * 1e3:.2f} ms after a failure at most (limit "
          f"{SAFE_WITHIN_S * 1e3:g})")  # fmt: skip
    print(
        "identities: " + ", ".join(f"{name} {pull:+.2f} σ" for name, pull in pulls.items()) + f" (limit {MOST_PULL:g})"
    )
    print(f"resident memory grew by {growth_mib:.1f} MiB over the second half (limit {MOST_GROWTH_MIB:g})")
    return int(uncounted > 0 or growth_mib > MOST_GROWTH_MIB or max(map(abs, pulls.values())) > MOST_PULL)


if __name__ == "__main__":
    sys.exit(main())
