"""Write-verify of a full 32×32 array on the mock, complete path: CPU time, cycles and accuracy beside their limits.

``--check`` fails if a limit is missed. ``--seeds N`` programs N chips with each target; the worst chip counts.
"""

from __future__ import annotations

import argparse
import os
import sys
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from calibration.targets import pattern
from calibration.write_verify import program
from drivers.connect import mock_board, open_crossbar

CPU_LIMIT_S = 3.0
WITHIN_S, WITHIN_LIMIT = 3.5e-6, 0.99
SIGMA_LIMIT_S = 0.54e-6
MEDIAN_LIMIT = 15


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    worst = {"cpu": 0.0, "within": 1.0, "sigma": 0.0, "median": 0.0}
    print(
        "target      seed  CPU s  board s  median cycles  σ true µS  within ±3.5 µS  failed cells (of them unhealthy)"
    )
    for seed in range(arguments.seeds):
        uniform = np.random.default_rng(seed).uniform(20e-6, 100e-6, (32, 32))
        for name, target in (("AI4S", pattern("AI4S", (32, 32))), ("20–100 µS", uniform)):
            with open_crossbar("mock", seed=seed) as crossbar:
                start = process_time()
                result = program(crossbar, target)
                cpu = process_time() - start
                # The mock's truth: what a benchmark may see and a calibration may not.
                array = mock_board(crossbar).array
                healthy = array.faults == 0
                error = (array.conductance_s(crossbar.board_time_s) - target)[healthy]
            sigma, within = float(error.std()), float(np.mean(np.abs(error) <= WITHIN_S))
            median = float(np.median(result.cycles[healthy]))
            failed = ~result.converged
            worst = {
                "cpu": max(worst["cpu"], cpu),
                "within": min(worst["within"], within),
                "sigma": max(worst["sigma"], sigma),
                "median": max(worst["median"], median),
            }
            print(
                f"{name:<10} {seed:>5} {cpu:>6.2f} {result.board_time_s:>8.3f} {median:>14.0f} {sigma * 1e6:>10.3f} "
                f"{within:>15.2%} {failed.sum():>14} ({(failed & ~healthy).sum()})"
            )
    good = {
        f"CPU {worst['cpu']:.2f} s ≤ {CPU_LIMIT_S:g} s": worst["cpu"] <= CPU_LIMIT_S,
        f"median {worst['median']:.0f} ≤ {MEDIAN_LIMIT} cycles": worst["median"] <= MEDIAN_LIMIT,
        f"σ {worst['sigma'] * 1e6:.3f} ≤ {SIGMA_LIMIT_S * 1e6:g} µS": worst["sigma"] <= SIGMA_LIMIT_S,
        f"within ±3.5 µS {worst['within']:.2%} ≥ {WITHIN_LIMIT:.0%}": worst["within"] >= WITHIN_LIMIT,
    }
    for text, ok in good.items():
        print(f"worst: {text}  {'ok' if ok else 'MISSED'}")
    return int(arguments.check and not all(good.values()))


if __name__ == "__main__":
    sys.exit(main())
