"""Time of the mock array's calls at 32×32, all non-idealities on, beside their limits: the best of many, in µs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from firmware_bridge.mock.array import Array
from firmware_bridge.mock.array_params import ArrayParams, WireParams
from firmware_bridge.mock.board import MockParams

N = 32
IR_DROP_LIMIT = 1.2
"""Time of products through wires that have a resistance, over that through wires that have none."""
SL, ON = np.full(N, 2.5), np.full(N, 5.0)


def best_us(action: Callable[[], object], prepare: Callable[[], object] = lambda: None, repeats: int = 50) -> float:
    """Shortest time of `action` in µs; `prepare` runs before each, untimed."""
    best = np.inf
    for _ in range(repeats):
        prepare()
        begin = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - begin)
    return best * 1e6


def main() -> None:
    """Print the table."""
    array = Array(ArrayParams(), seed=1)
    now = 0.0
    column = np.full(N, np.nan)
    column[5] = 4.0
    row = np.zeros(N)
    row[3] = 5.0

    def later() -> float:
        nonlocal now
        now += 1e-3
        return now

    def reset() -> None:
        """Every cell to some 90 µS and down again, so that the next SET or read meets cells that have changed."""
        array.pulse(np.full(N, 4.0), SL + 1.3, SL, 1e-6, later())
        array.pulse(np.full(N, 1.0), ON, SL, 1e-6, later())
        later()

    rng = np.random.default_rng(0)
    cases = (
        (
            "pulse, one column, 32 cells SET",
            best_us(lambda: array.pulse(column, 3.6 + 0 * SL, SL, 1e-6, now), reset),
            100,
        ),
        ("pulse, one row, 32 cells SET", best_us(lambda: array.pulse(SL + 1.5, 0.72 * row, SL, 1e-6, now), reset), 100),
        ("response after a pulse: exact IR drop", best_us(lambda: array.response(now, ON, SL), reset), 8000),
        ("the same with one word line on", best_us(lambda: array.response(now, row, SL), reset), 8000),
        ("response, nothing new", best_us(lambda: array.response(now, ON, SL), repeats=1000), 5),
        ("flips, none", best_us(lambda: array.flips(now, now + 1e-9), repeats=1000), 5),
        ("mean of 2000 reads at random in 1 s", _mean_read_us(array, now + np.sort(rng.uniform(0, 1, 2000))), 100),
    )
    print(f"{'call':<48} {'µs':>9} {'limit':>9}")
    for name, value, limit in cases:
        print(f"{name:<48} {value:9.1f} {limit:9d}{'' if value <= limit else '  ABOVE'}")
    ratio = _ir_drop_ratio(rng.uniform(-0.1, 0.1, (64, N)))
    above = "" if ratio <= IR_DROP_LIMIT else "  ABOVE"
    print(f"{'64 products with IR drop, over those without':<48} {ratio:9.2f} {IR_DROP_LIMIT:9.1f}{above}")


def _mean_read_us(array: Array, instants_s: np.ndarray) -> float:
    begin = time.perf_counter()
    for t_s in instants_s:
        array.response(float(t_s), ON, SL)
    return (time.perf_counter() - begin) / len(instants_s) * 1e6


def _ir_drop_ratio(volts: np.ndarray) -> float:
    """Of the best of many, taken in turn."""
    ideal = MockParams(array=ArrayParams(wires=WireParams.none()))
    with open_crossbar("mock", seed=1) as real, open_crossbar("mock", seed=1, mock=ideal) as without:

        def us(crossbar: Crossbar) -> float:
            return best_us(lambda: crossbar.mvm(volts), repeats=10)

        us(real), us(without)
        pairs = [(us(real), us(without)) for _ in range(10)]
    return min(a for a, _ in pairs) / min(b for _, b in pairs)


if __name__ == "__main__":
    main()
