"""Show that the mock array's default parameters give the device statistics of the paper's Fig. 2.

``python benchmarks/fit_device.py [--seed N] [--cells N]`` programs cells directly on the array model, with no board
around it: single-shot SETs, then the paper's plain incremental write-verify, then a wait. Each figure is printed beside
the paper's; the exit status is 1 when one lies outside. docs/device-model.md says how to refit to other devices.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from firmware_bridge.mock.array import Array
from firmware_bridge.mock.array_params import ArrayParams, WireParams
from firmware_bridge.mock.cell_faults import CellFault

V_CM = 2.5
V_WL_READ = 5.0
SET_V = 1.5
PULSE_S = 1e-6
CYCLE_S = 1e-3
READ_LSB_S = 0.31e-6  # one ADS8324 code at 0.1 V and 3.5 kΩ
TARGETS_S = np.arange(20e-6, 100.1e-6, 5e-6)


class Bench:
    """Cells with a word line and a source line each, so that one call pulses every cell with its own voltages."""

    def __init__(self, cells: int, seed: int) -> None:
        params = ArrayParams(n_sl=cells, n_bl=1).model_copy(update={"wires": WireParams.none()})
        self.array = Array(params, seed=seed)
        self.healthy = self.array.faults[:, 0] == CellFault.HEALTHY
        self.t_s = 0.0
        self._rng = np.random.default_rng([seed, 1])

    def set(self, cells: np.ndarray, gate_v: np.ndarray) -> None:
        """SET `cells` (k,) with V_WL - V_SL = `gate_v` (k,)."""
        v_wl = np.zeros(len(self.healthy))
        v_wl[cells] = V_CM + gate_v
        self._pulse(V_CM + SET_V, v_wl, np.full(len(v_wl), V_CM))

    def reset(self, cells: np.ndarray, amplitude_v: np.ndarray) -> None:
        """RESET `cells` (k,) with V_SL - V_BL = `amplitude_v` (k,) and the gates fully on."""
        v_wl, v_sl = np.zeros(len(self.healthy)), np.full(len(self.healthy), V_CM - 1.0)
        v_wl[cells] = V_WL_READ
        v_sl[cells] += amplitude_v
        self._pulse(V_CM - 1.0, v_wl, v_sl)

    def read(self) -> np.ndarray:
        """One conversion of every cell (n,) S: white and telegraph noise, and the converter's step."""
        n = len(self.healthy)
        response = self.array.response(self.t_s, np.full(n, V_WL_READ), np.full(n, V_CM))
        noisy = response.transfer_s[:, 0] + response.noise_s[:, 0] * self._rng.standard_normal(n)
        return np.round(noisy / READ_LSB_S) * READ_LSB_S

    def true(self) -> np.ndarray:
        """What the cells really are (n,) S."""
        return self.array.conductance_s(self.t_s)[:, 0]

    def _pulse(self, v_bl: float, v_wl: np.ndarray, v_sl: np.ndarray) -> None:
        self.t_s += CYCLE_S
        self.array.pulse(np.array([v_bl]), v_wl, v_sl, PULSE_S, self.t_s)
        self.t_s += PULSE_S


def single_shot(bench: Bench, gate_v: float, repeats: int) -> np.ndarray:
    """Conductance (repeats, healthy cells) S after a full RESET and one SET at `gate_v` V."""
    every = np.arange(len(bench.healthy))
    shots = []
    for _ in range(repeats):
        bench.reset(every, np.full(len(every), 1.8))
        bench.set(every, np.full(len(every), gate_v))
        shots.append(bench.true()[bench.healthy])
    return np.array(shots)


def plain_write_verify(
    bench: Bench, target_s: np.ndarray, window_s: float, gate_step_v: float, max_cycles: int
) -> tuple[np.ndarray, np.ndarray]:
    """The paper's incremental scheme; returns cycles used (n,) and whether each cell ended inside the window (n,).

    A cycle is one read and one pulse. Below the window: SET, the gate raised by `gate_step_v` every time. Above: RESET,
    the amplitude raised by 0.05 V as long as the cell stays above; the next SET then starts two steps lower.
    """
    n = len(target_s)
    gate, amplitude = np.full(n, 0.8), np.full(n, 0.8)
    cycles, done = np.zeros(n, dtype=int), np.zeros(n, dtype=bool)
    was_above = np.zeros(n, dtype=bool)
    for _ in range(max_cycles):
        error = bench.read() - target_s
        done |= np.abs(error) <= window_s
        low, high = ~done & (error < 0), ~done & (error > 0)
        if done.all():
            break
        gate[low & was_above] -= 2 * gate_step_v
        amplitude[low] = 0.8
        if low.any():
            bench.set(np.flatnonzero(low), gate[low])
            gate[low] += gate_step_v
        if high.any():
            bench.reset(np.flatnonzero(high), amplitude[high])
            amplitude[high] += 0.05
        was_above = high
        cycles[~done] += 1
    return cycles, done


def main() -> int:
    """Print the figures beside the paper's; 0 when all are inside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cells", type=int, default=1020, help="cells per figure (a multiple of 17)")
    args = parser.parse_args()
    failed = 0

    def row(what: str, value: float, low: float, high: float, unit: str) -> None:
        nonlocal failed
        inside = low <= value <= high
        failed += not inside
        print(f"{what:<58} {value:8.3f} {unit:<3} {low:g} … {high:g}  {'ok' if inside else 'OUTSIDE'}")

    print("Single-shot SET after RESET (Fig. 2e), 1 µs, 1.5 V")
    bench = Bench(200, args.seed)
    gates = np.arange(0.9, 1.45, 0.1)
    means = []
    print("  V_WL - V_SL (V)   mean (µS)   cycle-to-cycle (%)   device-to-device (%)")
    spreads = []
    for gate in gates:
        shots = single_shot(bench, float(gate), 30)
        means.append(shots.mean())
        spreads.append((shots.std(axis=0, ddof=1) / shots.mean(axis=0)).mean())
        device = shots.mean(axis=0).std(ddof=1) / shots.mean()
        print(f"  {gate:15.2f} {means[-1] * 1e6:11.1f} {spreads[-1] * 100:20.1f} {device * 100:22.1f}")
    row("linearity of the mean: R²", float(np.corrcoef(gates, means)[0, 1] ** 2), 0.99, 1.0, "")
    slope = float(np.polyfit(gates, means, 1)[0] * 1e6)
    row("slope of the mean", slope, 100, 200, "µS/V")
    row("smallest cycle-to-cycle spread", min(spreads) * 100, 5, 10, "%")
    row("largest cycle-to-cycle spread", max(spreads) * 100, 5, 10, "%")

    print("\nPlain incremental write-verify, 20 … 100 µS in 5 µS steps (Fig. 2f, 2g)")
    bench = Bench(args.cells, args.seed)
    target = np.resize(TARGETS_S, args.cells)
    cycles, done = plain_write_verify(bench, target, window_s=0.83e-6, gate_step_v=0.02, max_cycles=100)
    ok = bench.healthy
    row("mean cycles to converge", float(cycles[ok].mean()), 20, 30, "")
    quartiles = np.percentile(cycles[ok], (25, 50, 75))
    print(f"  quartiles of the cycles {quartiles}, stopped inside: {done[ok].mean() * 100:.1f} %")
    error = (bench.true() - target)[ok]
    per_level = [error[target[ok] == level].std(ddof=1) for level in TARGETS_S]
    row("σ of a level, mean over levels", float(np.mean(per_level)) * 1e6, 0.50, 0.58, "µS")
    row("cells truly within ±3.5 µS (Fig. 2h)", float((np.abs(error) <= 3.5e-6).mean()) * 100, 95, 100, "%")

    print("\nRetention of those cells at 30 … 95 µS (Fig. 2i)")
    keep = ok & done & (target > 29e-6) & (target < 96e-6)
    start = bench.true()
    for wait_s in (1.0, 3600.0, 1e6):
        change = (bench.array.conductance_s(bench.t_s + wait_s)[:, 0] - start)[keep] * 1e6
        print(f"  after {wait_s:9.0f} s: change {change.mean():+.3f} ± {change.std(ddof=1):.3f} µS")
    row("largest change over 10⁶ s", float(np.abs(change).max()), 0, 3.5, "µS")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
