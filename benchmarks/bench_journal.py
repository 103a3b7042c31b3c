"""What the journal costs: programming an array with and without one, wall clock, best of several in turn.

python benchmarks/bench_journal.py
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from calibration.targets import pattern
from calibration.write_verify import program
from drivers.connect import open_crossbar

REPEATS, LIMIT = 5, 1.05


def seconds(journal: Path | None) -> float:
    with open_crossbar("mock", seed=1, journal=journal) as crossbar:
        began = time.perf_counter()
        program(crossbar, pattern("AI4S", crossbar.shape))
        return time.perf_counter() - began


def main() -> int:
    seconds(None)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        paths = [Path(folder, f"{i}.journal") for i in range(REPEATS)]
        pairs = [(seconds(None), seconds(path)) for path in paths]
        size = paths[0].stat().st_size
    without, with_it = (min(column) for column in zip(*pairs, strict=True))
    ratio = with_it / without
    print(f"programming an array: {without:.3f} s, with a journal {with_it:.3f} s ({size / 1e3:.0f} kB)")
    print(f"ratio {ratio:.3f} (limit {LIMIT:g})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
