"""φ⁴ at L = 4, λ = 5.5 from nothing: CPU time until the flow's ESS over 65 536 fresh proposals reaches 0.9, beside its
limit.

Trains in short legs of the default architecture without array noise and measures after each. ``--check`` fails beyond
the limit.
"""

from __future__ import annotations

import argparse
import os
import sys
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from anf.lattice.actions import Phi4
from anf.training.evaluation import evaluate
from anf.training.loop import TrainingConfig, train
from anf.training.recipes import mixer_flow

ESS, LIMIT_S = 0.9, 600.0
STEPS = (250, 500, 1000, 2000, 4000)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if the limit is missed")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    action = Phi4(m2=-4.0, lam=5.5, shape=(4, 4))
    print("steps   CPU s     ESS    KL   acceptance")
    for steps in STEPS:
        # Each leg starts from nothing, so its time is that of a whole training.
        flow = mixer_flow(action, seed=arguments.seed)
        start = process_time()
        train(flow, action, TrainingConfig(steps=steps, seed=arguments.seed))
        cpu = process_time() - start
        measured = evaluate(flow, action, seed=arguments.seed)
        print(
            f"{steps:>5} {cpu:>7.1f} {measured.ess:>7.3f} {measured.kl:>6.3f} {measured.acceptance:>7.3f}", flush=True
        )
        if measured.ess >= ESS:
            break
    good = measured.ess >= ESS and cpu <= LIMIT_S
    print(f"ESS {measured.ess:.3f} ≥ {ESS} after {cpu:.0f} s ≤ {LIMIT_S:.0f} s of CPU  {'ok' if good else 'MISSED'}")
    return int(arguments.check and not good)


if __name__ == "__main__":
    sys.exit(main())
