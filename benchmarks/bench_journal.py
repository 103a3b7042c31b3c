"""What the journal costs: programming an array, and products, with and without one, best of several in turn.

python benchmarks/bench_journal.py

The limit is one of CPU time; wall time adds the waits for the disk, two for each program with pulses where there is a
ledger as well, and is the disk's. On a model the journal keeps checksums. What it would keep of a real board is packed:
its time is held against that of the board, which is the same for any host.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from calibration.targets import pattern
from calibration.write_verify import program
from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from firmware_bridge.journal import Journal, JournalBridge

REPEATS, LIMIT = 5, 1.05
PRODUCTS, MODEL_BYTES, BOARD_BYTES = 1 << 15, 1.0, 48.0
VOLTS = np.clip(np.random.default_rng(0).normal(0, 0.04, (PRODUCTS, 32)), -0.1, 0.1)

Work = Callable[[Crossbar], object]


def write(crossbar: Crossbar) -> object:
    return program(crossbar, pattern("AI4S", crossbar.shape))


def multiply(crossbar: Crossbar) -> object:
    return crossbar.measure(VOLTS)


def seconds(work: Work, folder: Path | None, *, ledger: bool) -> tuple[float, float]:
    """CPU and wall time, s."""
    journal = None if folder is None else folder / "board.journal"
    with open_crossbar("mock", seed=1, journal=journal, ledger=folder if ledger else None) as crossbar:
        began, wall = time.process_time(), time.perf_counter()
        work(crossbar)
        return time.process_time() - began, time.perf_counter() - wall


def compare(what: str, work: Work, *, ledger: bool = False) -> tuple[float, int]:
    """Ratio of times, and the journal's size in bytes."""
    seconds(work, None, ledger=False)
    pairs = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory(dir=".") as folder:
            pairs.append((seconds(work, None, ledger=False), seconds(work, Path(folder), ledger=ledger)))
            size = Path(folder, "board.journal").stat().st_size
    (without, wall_without), (with_it, wall_with) = (np.min(column, axis=0) for column in zip(*pairs, strict=True))
    ratio = float(with_it / without)
    print(
        f"{what}: CPU {without:.3f} s, with {with_it:.3f} s: ratio {ratio:.3f} (limit {LIMIT:g}); "
        f"wall {wall_without:.3f} s, with {wall_with:.3f} s; {size / 1e3:.0f} kB"
    )
    return ratio, size


def as_a_real_board() -> tuple[float, float]:
    """Share of board time that a journal with all words takes, and its bytes for each product."""
    board, took = load_board(), []
    for with_journal in [False, True] * REPEATS:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            bridge = open_bridge("mock", board=board, seed=1)
            path = Path(folder, "board.journal")
            if with_journal:
                bridge = JournalBridge(bridge, Journal.create(path, bridge.identify()), rebuild=False)
            with Crossbar(bridge, board) as crossbar:
                began, board_s = time.process_time(), crossbar.board_time_s
                multiply(crossbar)
                took.append((with_journal, time.process_time() - began))
                board_s = crossbar.board_time_s - board_s
            if with_journal:
                size = path.stat().st_size / PRODUCTS
    best = {which: min(t for w, t in took if w is which) for which in (False, True)}
    return (best[True] - best[False]) / board_s, size


def main() -> int:
    programming, _ = compare("programming an array, journal", write)
    both, _ = compare("programming an array, journal and ledger", write, ledger=True)
    products, size = compare(f"{PRODUCTS} products, journal", multiply)
    share, real = as_a_real_board()
    print(f"on a model {size / PRODUCTS:.3f} bytes for each product (limit {MODEL_BYTES:g})")
    print(
        f"of a real board {real:.1f} bytes for each product (limit {BOARD_BYTES:g}), {100 * share:.2f} % of its time "
        f"(limit {100 * (LIMIT - 1):g})"
    )
    good = max(programming, both, products) <= LIMIT and size / PRODUCTS <= MODEL_BYTES
    return int(not (good and real <= BOARD_BYTES and share <= LIMIT - 1))


if __name__ == "__main__":
    sys.exit(main())
