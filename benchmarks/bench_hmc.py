"""HMC of φ⁴ on 24 × 24, all included (random numbers, accept step, moves), beside the same in eager torch.

One core, 64 chains, trajectories of length 2. ``--check`` fails if a limit is missed. Beside it, without a limit, what
HMC on the even half gains and costs, with the odd half drawn after every trajectory or after every third.
"""

from __future__ import annotations

import argparse
import os
import sys
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from anf.lattice.actions import Phi4
from anf.measurement.statistics import gamma_method
from anf.samplers import hmc

CHAINS, TRAJECTORIES = 64, 200
RATE_LIMIT, RATIO_LIMIT = 0.7e9, 8.0
ACTION = Phi4(-4.0, 5.0, (24, 24))


def compiled() -> tuple[float, hmc.HmcResult]:
    """Site-updates per CPU second of `anf.samplers.hmc.run`, thermalisation included, and what it gave."""
    start = process_time()
    result = hmc.run(ACTION, CHAINS, TRAJECTORIES // 20, thin=20, seed=1, thermalisation=100)
    seconds = process_time() - start
    return (TRAJECTORIES + 100) * result.n_leapfrog * ACTION.volume * CHAINS / seconds, result


def eager(step: float, n_steps: int, trajectories: int = 20) -> float:
    """The same of the algorithm written in torch, one operation after the other, float64, at the same step."""
    phi = 0.5 * torch.randn(CHAINS, *ACTION.shape, dtype=torch.float64)
    start = process_time()
    for _ in range(trajectories):
        momentum = torch.randn_like(phi)
        before = ACTION(phi) + 0.5 * (momentum**2).sum((1, 2))
        new = phi.clone()
        momentum = momentum - 0.5 * step * ACTION.gradient(new)
        for k in range(n_steps):
            new = new + step * momentum
            momentum = momentum - step * (0.5 if k == n_steps - 1 else 1.0) * ACTION.gradient(new)
        after = ACTION(new) + 0.5 * (momentum**2).sum((1, 2))
        accept = torch.rand(CHAINS, dtype=torch.float64) < torch.exp(before - after)
        phi = torch.where(accept[:, None, None], new, phi)
    return trajectories * n_steps * ACTION.volume * CHAINS / (process_time() - start)


def independent(moves: hmc.Moves, thin: int) -> tuple[float, float, float, float]:
    """τ_int of |M| and of S in draws, and independent values of each per CPU second, once the step is tuned."""
    state = hmc.run(ACTION, CHAINS, 1, seed=2, thermalisation=100, moves=moves).state
    start = process_time()
    result = hmc.run(ACTION, CHAINS, 600 // thin, thin=thin, state=state, moves=moves)
    draws = CHAINS * (600 // thin) / (process_time() - start)
    taus = [gamma_method(series).tau_int for series in (np.abs(result.phi.mean((-2, -1))), result.action)]
    return taus[0], taus[1], draws / (2 * taus[0]), draws / (2 * taus[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 if a limit is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    compiled()  # compiles
    rates, baselines = [], []
    for _ in range(3):
        rate, result = compiled()
        rates.append(rate)
        baselines.append(eager(result.step_size, result.n_leapfrog))
    rate, baseline = max(rates), max(baselines)
    print(f"{result.n_leapfrog} steps of {result.step_size:.3f}, acceptance {result.acceptance:.3f}")
    print(f"eager torch: {baseline / 1e6:.0f} M site-updates per CPU second")
    good = {
        f"compiled: {rate / 1e9:.2f} G ≥ {RATE_LIMIT / 1e9:g} G": rate >= RATE_LIMIT,
        f"ratio {rate / baseline:.1f} ≥ {RATIO_LIMIT:g}": rate / baseline >= RATIO_LIMIT,
    }
    for name, moves, thin in (
        ("all sites", hmc.Moves(), 1),
        ("even half", hmc.Moves(even_half=True), 1),
        ("even half", hmc.Moves(even_half=True), 3),
    ):
        tau_m, tau_s, rate_m, rate_s = max((independent(moves, thin) for _ in range(3)), key=lambda found: found[2])
        print(
            f"{name}, a draw in {thin}: τ of |M| {tau_m:.2f}, of S {tau_s:.2f}; independent |M| {rate_m:.0f}, S "
            f"{rate_s:.0f} per CPU second"
        )
    for text, ok in good.items():
        print(f"{text}  {'ok' if ok else 'MISSED'}")
    return int(arguments.check and not all(good.values()))


if __name__ == "__main__":
    sys.exit(main())
