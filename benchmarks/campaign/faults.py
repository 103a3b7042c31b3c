"""Every fault of the catalogue during a φ⁴ run on a mock board, drawn and watched as `xbar sample` does it: the run is
stopped, goes on with arrays that were read again, or what it gives is right.

Twice: faults that set in and stay, and the same faults passing, gone each time before the next look at the board.

python benchmarks/campaign/faults.py                 # all
python benchmarks/campaign/faults.py "broken BL"     # some
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

import torch
from fault_sampling import KNOWN, Known, Outcome, run

from firmware_bridge.mock.faults.catalogue import CATALOGUE

MOST_PULL = 4.0
_KINDS = ("staying", "passing")
MOST_UNSEEN = 0.02
"""Relative bias of the virial that a run with a fault that stays must have been able to see, if nobody stopped it. One
that passes spoils a hundredth of each batch: what is drawn then has weights that scatter, and the errors say so."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("faults", nargs="*", default=list(CATALOGUE))
    parser.add_argument("--kind", choices=_KINDS, help="of faults; without it, both")
    parser.add_argument("--proposals", type=int, default=12_288, help="of a run with a fault that stays")
    parser.add_argument("--passing", type=int, default=4096, help="of a run with one that passes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    healthy = run(None, max(arguments.proposals, arguments.passing), seed=arguments.seed)
    print(f"known: {', '.join(KNOWN)}; without a fault: {_row(healthy, None)}", flush=True)
    chosen = [passing for passing in (False, True) if arguments.kind in (None, _KINDS[passing])]
    beyond = [_all(arguments.faults, healthy, passing, arguments) for passing in chosen]
    print(f"{len(arguments.faults)} faults, seed {arguments.seed}, {time.process_time() - began:.0f} s of CPU")
    return int(any(beyond))


def _all(faults: list[str], healthy: Outcome, passing: bool, arguments: argparse.Namespace) -> bool:
    """All faults of one kind; whether a limit was passed."""
    n = arguments.passing if passing else arguments.proposals
    biased, pulls, unseen = [], [], []
    print(f"\n| fault, {_KINDS[passing]} | run | kept | largest pull (σ) | against no fault (σ) | virial seen to (%) |")
    print("|---|---|---|---|---|---|")
    for name in faults:
        outcome = run(name, n, seed=arguments.seed, passing=passing)
        print(f"| {name} | {_row(outcome, healthy)} |", flush=True)
        if outcome.drawn is None:
            continue
        beside = outcome.against(healthy)
        seen = [_worst(outcome.estimates), *([] if beside is None else [_worst(beside)])]
        pulls.append(max(seen))
        if max(seen) > MOST_PULL:
            biased.append(name)
        if outcome.ended is None and beside is not None:
            unseen.append(beside["virial"].smallest)
    worst = max(unseen, default=0.0)
    print(f"\nsilently biased: {', '.join(biased) or 'none'} (limit none); largest pull "
          f"{max(pulls, default=0):.1f} σ (limit {MOST_PULL:g})")  # fmt: skip
    print(f"a run that came to its end with other bits than without a fault would have shown a bias of the virial of "
          f"{worst:.2%}{'' if passing else f' (limit {MOST_UNSEEN:.0%})'}", flush=True)  # fmt: skip
    return bool(biased) or (not passing and worst > MOST_UNSEEN)


def _worst(known: dict[str, Known]) -> float:
    return max(abs(it.pull) for it in known.values())


def _row(outcome: Outcome, healthy: Outcome | None) -> str:
    again = f"read again {outcome.renewals} times, " if outcome.renewals else ""
    said = again + ("went on" if outcome.ended is None else f"ended: {outcome.ended.partition(';')[0]}")
    if outcome.drawn is None:
        return f"{said} | 0 | | | "
    own = outcome.estimates
    columns = [said.replace("|", "\\|"), str(len(outcome.drawn.state)), f"{_worst(own):.1f}"]
    if healthy is None:
        return " | ".join([*columns, "", f"{100 * own['virial'].smallest:.2f}"])
    beside = outcome.against(healthy)
    if beside is None:
        return " | ".join([*columns, "every bit the same", "0"])
    return " | ".join([*columns, f"{_worst(beside):.1f}", f"{100 * beside['virial'].smallest:.2f}"])


if __name__ == "__main__":
    sys.exit(main())
