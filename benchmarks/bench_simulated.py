"""Simulated layers beside the same arithmetic in bare numpy: per-cell noise, DAC and ADC quantisation, gradients off.

A 32×32 matrix is one tile; 256×256 are 64 tiles, each driven, converted and given noise by itself. Both sides are
timed in turn, one thread, and the smallest of many repetitions counts: other programs only ever add time. Other
simulators stand beside where they are installed (`benchmarks/peers`).
``--check`` fails if a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from bench_mvm import times
from peers import PEERS

from anf.arrays.array_model import model_arrays
from anf.arrays.mapped import MappedFlow
from anf.arrays.placement import place
from anf.arrays.simulated import ArrayNoise, Converters, SimulatedEngine
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice.actions import Phi4
from drivers.board import load_board

TILE, BATCH, RATE_LIMIT = 32, 512, 500
CASES = (
    # side, batch, repetitions, limit in µs or as a ratio to the bare arithmetic
    (32, 1, 4000, "µs", 60.0),
    (32, 64, 2000, "ratio", 2.0),
    (32, 1024, 300, "ratio", 1.3),
    (256, 1, 2000, "µs", 200.0),
    (256, 64, 200, "ratio", 2.0),
)


def simulated(side: int, seed: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The engine of a random matrix."""
    weight = np.random.default_rng(seed).uniform(-1, 1, (side, side))
    mapped = MappedFlow.of({"w": weight}, place({"w": weight.shape}, (TILE, TILE)))
    generator = torch.Generator().manual_seed(seed)
    board = Converters.of(load_board())
    return SimulatedEngine(mapped.layers["w"], mapped.targets_s({"w": weight}), ArrayNoise(), generator, board)


def bare_numpy(side: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Full scale, DAC codes, products of all tiles, per-cell noise, ADC codes, digital offset, sum of tiles."""
    rng = np.random.default_rng(seed)
    board, noise, n = Converters.of(load_board()), ArrayNoise(), side // TILE
    g = rng.uniform(20e-6, 80e-6, (n, n, TILE, TILE)).astype(np.float32)
    # By tile of inputs: all outputs of its column of tiles.
    conductance = np.ascontiguousarray(g.transpose(1, 3, 0, 2).reshape(n, TILE, side))
    variance = (noise.read * conductance) ** 2
    dac, adc = np.float32(board.dac_step_v / board.input_v), np.float32(board.adc_step_v / board.rf_ohm / board.input_v)
    floor = np.float32((noise.converter_v / (board.rf_ohm * board.input_v)) ** 2)
    centre, scale = np.float32(50e-6), np.float32(1 / 30e-6)
    normal = np.random.Generator(np.random.SFC64(seed)).standard_normal

    def mvm(x: np.ndarray) -> np.ndarray:
        parts = np.ascontiguousarray(x.reshape(-1, n, TILE).transpose(1, 0, 2))
        peak = np.abs(parts).max(axis=2, keepdims=True)
        u = parts / peak
        u /= dac
        np.rint(u, out=u)
        u *= dac
        current = np.matmul(u, conductance)
        sigma = np.matmul(u * u, variance)
        sigma += floor
        np.sqrt(sigma, out=sigma)
        sigma *= normal(sigma.shape, np.float32)
        current += sigma
        current /= adc
        np.rint(current, out=current)
        current *= adc
        current -= centre * u.sum(axis=2, keepdims=True)
        current *= peak * scale
        return current.sum(axis=0)

    return mvm


def beside_peers(seed: int) -> None:
    """The same products by other simulators that are installed, in turn with ours."""
    print("\nother simulators, µs per call, min; in brackets how many times ours")
    for name, make in PEERS.items():
        row = []
        for side, batch, repetitions, _, _ in CASES:
            try:
                peer = make(side, seed)
            except ImportError as error:
                print(f"{name:>18}  not installed ({error})")
                break
            x = torch.from_numpy(np.random.default_rng(seed).normal(size=(batch, side)).astype(np.float32))
            ours = simulated(side, seed)
            with torch.no_grad():
                taken = times(
                    {"peer": lambda p=peer, x=x: p(x), "ours": lambda e=ours, x=x: e(x)}, max(20, repetitions // 20)
                )
            low = {key: t.min() * 1e6 for key, t in taken.items()}
            row.append(f"{side}×{side}, {batch}: {low['peer']:.0f} ({low['peer'] / low['ours']:.1f})")
        else:
            print(f"{name:>18}  {'; '.join(row)}")


def configurations_per_s(kind: str, seed: int) -> float:
    """Draws of the shipped flow with log q, per CPU second: the best of three batches."""
    action = Phi4(-4.0, 5.5, (12, 12))
    flow, _ = load_flow(shipped(action, kind), action)
    generator = torch.Generator().manual_seed(seed)
    arrays = model_arrays(flow, load_board(), seed=seed)
    best = np.inf
    with deployed(flow, {}, arrays.simulated(ArrayNoise(), generator)):
        for _ in range(3):
            begin = process_time()
            flow.sample(BATCH, generator)
            best = min(best, process_time() - begin)
    return BATCH / best


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    missed = False
    print("simulated layers, µs per call, min (median)")
    print(f"{'matrix':>8} {'batch':>6} {'bare numpy':>20} {'simulated':>20} {'ratio min (median)':>20}   limit")
    for side, batch, repetitions, kind, limit in CASES:
        x = np.random.default_rng(arguments.seed).normal(size=(batch, side)).astype(np.float32)
        bare, engine, vectors = bare_numpy(side, arguments.seed), simulated(side, arguments.seed), torch.from_numpy(x)
        with torch.no_grad():
            taken = times({"bare": lambda b=bare, x=x: b(x), "layer": lambda e=engine, v=vectors: e(v)}, repetitions)
        low = {name: t.min() for name, t in taken.items()}
        mid = {name: float(np.median(t)) for name, t in taken.items()}
        ratio = low["layer"] / low["bare"]
        good = ratio <= limit if kind == "ratio" else low["layer"] * 1e6 <= limit
        missed |= not good
        columns = [f"{low[n] * 1e6:9.1f} ({mid[n] * 1e6:8.1f})" for n in ("bare", "layer")]
        columns.append(f"{ratio:.2f} ({mid['layer'] / mid['bare']:.2f})")
        bound = f"ratio ≤ {limit:g}" if kind == "ratio" else f"≤ {limit:g} µs"
        print(
            f"{side:>4}×{side:<4}{batch:>5}", *(f"{c:>20}" for c in columns), f"  {bound} {'ok' if good else 'MISSED'}"
        )
    beside_peers(arguments.seed)
    print(f"\nφ⁴ 12×12 on simulated arrays, all noise on, {BATCH} at once: configurations per CPU second")
    for kind in ("field", "mixer"):
        rate = configurations_per_s(kind, arguments.seed)
        good = rate >= RATE_LIMIT
        missed |= not good
        print(f"{kind:>8} {rate:8.0f}   limit ≥ {RATE_LIMIT} {'ok' if good else 'MISSED'}")
    return int(missed and arguments.check)


if __name__ == "__main__":
    sys.exit(main())
