"""How often the stated 95 % intervals of a calibration hold, on random mock boards, and what products gain from it.

    python benchmarks/calibration_coverage.py --boards 200

Prints two tables in Markdown, the ones of docs/calibration.md, and ends with 1 if a quantity or a product is beyond its
bound. About 2 s of CPU for each board. Results are kept in --cache as they come, so that it can be interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

COVERED = (0.92, 0.98)


def main() -> int:
    from calibration_study import study

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="seed of the first board")
    parser.add_argument("--cache", type=Path, help="JSON lines, one for each board")
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.boards)
    rows = {}
    if arguments.cache and arguments.cache.exists():
        for line in arguments.cache.read_text().splitlines():
            row = json.loads(line)
            rows[row["seed"]] = row
    begun = time.process_time()
    for result in study(seed for seed in seeds if seed not in rows):
        row = {
            "seed": result.seed,
            "covered": result.covered,
            "before": vars(result.before),
            "after": vars(result.after),
            "cpu_s": time.process_time() - begun,
        }
        begun = time.process_time()
        rows[result.seed] = row
        if arguments.cache:
            with arguments.cache.open("a") as file:
                file.write(json.dumps(row) + "\n")
    return report([rows[seed] for seed in seeds])


def report(rows: list[dict]) -> int:
    """Print the tables; 1 if anything is beyond its bound."""
    print(f"| quantity, {len(rows)} boards | inside their 95 % intervals | |\n|---|---|---|")
    failed = False
    for name in sorted({name for row in rows for name in row["covered"]}):
        share = np.mean([row["covered"][name] for row in rows if name in row["covered"]])
        ok = COVERED[0] <= share <= COVERED[1]
        failed |= not ok
        print(f"| {name} | {100 * share:.1f} % | {'' if ok else 'beyond'} |")
    print("\n| products | rms error (nA) | over noise | of full scale |\n|---|---|---|---|")
    for when in ("before", "after"):
        error, noise, full = (np.array([row[when][k] for row in rows]) for k in ("error_a", "noise_a", "full_scale_a"))
        for name, pick in (("mean", np.mean), ("worst board", np.max)):
            print(
                f"| {when}, {name} | {pick(error) * 1e9:.1f} | {pick(error / noise):.2f} | "
                f"{100 * pick(error / full):.3f} % |"
            )
        if when == "after":
            failed |= bool((error > 1.2 * noise).any() or (error > 0.01 * full).any())
    print(f"\nCPU: {np.mean([row['cpu_s'] for row in rows]):.2f} s for each board")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
