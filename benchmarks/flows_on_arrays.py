"""ESS of shipped φ⁴ flows at λ = 5.5 whose matrices sit in modelled arrays, against the error of programming: before
any tuning, with read noise, converters and their quantisation as on the default board.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from anf.arrays.array_model import ArrayErrors, model_arrays
from anf.arrays.simulated import ArrayNoise
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice.actions import Phi4
from anf.training.evaluation import evaluate
from drivers.board import load_board

CASES = (("mixer", 4), ("field", 4), ("field", 6), ("field", 12))
SIGMAS_US = (0.0, 0.2, 0.54, 0.8, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=" ".join((__doc__ or "").split()))
    parser.add_argument("--proposals", type=int, default=8192)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    board = load_board()
    print("| flow | L | matrices | arrays | digital | " + " | ".join(f"{s:g} µS" for s in SIGMAS_US) + " |")
    print("|" + "---|" * (5 + len(SIGMAS_US)))
    for kind, side in CASES:
        action = Phi4(-4.0, 5.5, (side, side))
        flow, _ = load_flow(shipped(action, kind), action)
        cells = [evaluate(flow, action, arguments.proposals, seed=1, batch=512).ess]
        for sigma_us in SIGMAS_US:
            errors = ArrayErrors(programming_s=sigma_us * 1e-6)
            arrays = model_arrays(flow, board, errors=errors, seed=arguments.seed)
            engines = arrays.simulated(ArrayNoise(), torch.Generator().manual_seed(arguments.seed))
            with deployed(flow, {}, engines):
                cells.append(evaluate(flow, action, arguments.proposals, seed=1, batch=512).ess)
        numbers = " | ".join(f"{ess:.3f}" for ess in cells)
        print(f"| {kind} | {side} | {len(flow.base_layers())} | {len(arrays.conductance_s)} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
