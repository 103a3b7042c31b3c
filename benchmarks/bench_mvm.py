"""`Crossbar.mvm` on the mock, complete path, beside the same arithmetic in bare numpy.

The complete path is everything: limits, programs, the interlock, DAC frames and clocks, IR drop, all converter errors,
per-cell noise, telegraph noise, saturation check, offset removal. The baseline is the arithmetic alone, on arrays
prepared outside the clock.

Both are timed in turn, one thread, and the smallest of many repetitions counts: other programs on the machine only
ever add time.
``--check`` fails if a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from time import perf_counter

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from drivers.connect import open_crossbar
from firmware_bridge.mock.board import MockParams

RATIO_LIMIT = {1024: 1.5, 64: 3.0}
SINGLE_LIMIT_S = 150e-6
REPETITIONS = {1: 3000, 64: 1500, 1024: 300}

Mvm = Callable[[np.ndarray], np.ndarray]


def bare_numpy(seed: int) -> Mvm:
    """DAC code and cubic, product, amplifier, ADC cubic, per-cell noise, rounding, saturation, code to current."""
    rng = np.random.default_rng(seed)
    params = MockParams()
    span_v, vcm_v, lsb_v, rf_ohm = 5.0, 2.5, 2 * params.adc.vref_v / 2**14, params.tia.rf_ohm
    g = rng.uniform(20e-6, 80e-6, (32, 32))
    gain = np.ascontiguousarray(-rf_ohm * g.T)
    cells = np.ascontiguousarray((0.002 * g * rf_ohm / lsb_v).T ** 2)
    dac = rng.normal(size=(4, 32)) * np.array([1e-3, 1e-9, 1e-14, 1e-19])[:, None]
    dac[1] += span_v / 65536
    dac[0] -= vcm_v
    adc = rng.normal(size=(4, 32))
    adc[1] += 1 / lsb_v
    zero_v, zero_code, floor = rng.normal(0, 1e-3, 32), rng.normal(0, 2, 32), np.full(32, 0.7)
    noise = np.random.Generator(np.random.SFC64(seed))

    def mvm(volts: np.ndarray) -> np.ndarray:
        code = volts + vcm_v
        code *= 65536 / span_v
        x = np.rint(code, out=code).astype(np.uint16).astype(np.float64)
        v = x * dac[3]
        for c in (dac[2], dac[1], dac[0]):
            v += c
            if c is not dac[0]:
                v *= x
        level = v @ gain
        level += zero_v
        np.clip(level, -2.48, 2.48, out=level)
        y = level.copy()
        level *= adc[3]
        level += adc[2]
        level *= y
        level += adc[1]
        level *= y
        level += adc[0]
        sigma = np.square(v, out=v) @ cells
        sigma += floor
        np.sqrt(sigma, out=sigma)
        sigma *= noise.standard_normal(sigma.shape, np.float32)
        level += sigma
        np.rint(level, out=level)
        np.clip(level, -8192, 8191, out=level)
        current = level.astype(np.int16) - zero_code
        current *= -lsb_v / rf_ohm
        return current

    return mvm


def times(calls: dict[str, Callable[[], object]], repetitions: int) -> dict[str, np.ndarray]:
    """Wall times (repetitions,) in s of each call, taken in turn."""
    taken = {name: np.empty(repetitions) for name in calls}
    for k in range(repetitions):
        for name, call in calls.items():
            start = perf_counter()
            call()
            taken[name][k] = perf_counter() - start
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    volts = np.random.default_rng(arguments.seed).uniform(-0.1, 0.1, (1024, 32))
    bare = bare_numpy(arguments.seed)
    missed = False
    print("32×32 MVM, µs per call, min (median)")
    print(f"{'batch':>6} {'bare numpy':>18} {'Crossbar.mvm':>18} {'ratio min (median)':>20}   limit")
    with open_crossbar("mock", seed=arguments.seed) as crossbar:
        for batch, repetitions in REPETITIONS.items():
            block = volts[:batch]
            taken = times({"bare": lambda b=block: bare(b), "mvm": lambda b=block: crossbar.mvm(b)}, repetitions)
            low = {name: t.min() for name, t in taken.items()}
            mid = {name: float(np.median(t)) for name, t in taken.items()}
            ratio = low["mvm"] / low["bare"]
            if batch == 1:
                good, limit = low["mvm"] <= SINGLE_LIMIT_S, f"≤ {SINGLE_LIMIT_S * 1e6:.0f} µs"
            else:
                good, limit = ratio <= RATIO_LIMIT[batch], f"ratio ≤ {RATIO_LIMIT[batch]:g}"
            missed |= not good
            columns = [f"{low[n] * 1e6:9.1f} ({mid[n] * 1e6:6.1f})" for n in ("bare", "mvm")]
            ratios = f"{ratio:.2f} ({mid['mvm'] / mid['bare']:.2f})"
            print(f"{batch:>6} {columns[0]:>18} {columns[1]:>18} {ratios:>20}   {limit} {'ok' if good else 'MISSED'}")
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
