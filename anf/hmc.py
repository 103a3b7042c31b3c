"""Hybrid Monte Carlo: many chains at once, leapfrog, tuned step, and the exact sign flip.

One trajectory: momenta π ~ N(0, 1), leapfrog of H = ½π² + S(φ), accept with min(1, exp(−ΔH)). Chains stand side by side
in memory (batch last), in groups small enough for the cache, and each leapfrog step runs in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from anf.actions import Action

_GROUP_SITES = 65_536
"""Sites of all chains in one group: enough to hide the cost of a call, few enough to stay in cache."""
_STEP_JITTER = 0.1
_MAX_LEAPFROG = 1000
_ENOUGH_TO_JUDGE = 20
"""Trajectories: that all of so many are refused does not happen by chance at any acceptance worth running at."""


@dataclass(frozen=True)
class HmcState:
    """All that is needed to go on: a run resumed from it gives the bits that the uninterrupted run would have given.

    phi: ``(chain, x, y)``; step_size, n_leapfrog: as tuned; rng_state: the state of numpy's SFC64 generator.
    """

    phi: np.ndarray
    step_size: float
    n_leapfrog: int
    rng_state: dict[str, Any]


@dataclass(frozen=True)
class HmcResult:
    """What `run` drew, and how well it ran.

    phi: ``(chain, draw, x, y)``, float64.  action: S of each, ``(chain, draw)``.
    acceptance: fraction of trajectories accepted after thermalisation.
    exp_minus_dh: mean of exp(−ΔH) over those trajectories: 1, less the fraction of trajectories that ran away (their
    partners start from energies too rare to be seen).
    step_size, n_leapfrog: the frozen step and the number of steps per trajectory (their product is the trajectory
    length).
    state: to resume from.
    """

    phi: np.ndarray
    action: np.ndarray
    acceptance: float
    exp_minus_dh: float
    step_size: float
    n_leapfrog: int
    state: HmcState


def run(
    action: Action,
    n_chains: int,
    n_draws: int,
    *,
    thin: int = 1,
    seed: int | None = None,
    thermalisation: int = 300,
    trajectory_length: float = 2.0,
    target_acceptance: float = 0.8,
    sign_flip: bool = True,
    state: HmcState | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HmcResult:
    """Draw configurations from exp(−S)/Z.

    Parameters
    ----------
    n_chains, n_draws: chains that run side by side, and draws kept of each.
    thin: trajectories per draw.
    thermalisation: trajectories discarded at the start, during which the step is tuned; then it is frozen. With 0 the
        step stays at a tenth of the trajectory.
    trajectory_length: molecular-dynamics time of a trajectory. The step is jittered by ±10 % from one trajectory to the
        next, since a fixed length can be a multiple of some mode's period and leave that mode where it was.
    target_acceptance: what the step is tuned to, in (0, 1); 0.7 … 0.9 is where HMC is efficient.
    sign_flip: after each trajectory, multiply each chain by ±1 at random. S is unchanged, so it is always accepted; it
        removes the slow mode of the signed magnetisation.
    state: resume from here; nothing is tuned or thermalised then, and `seed` must not be given.
    progress: called with (trajectories done, trajectories in all) after each.

    Raises ValueError for counts below 1, parameters out of range, a state that does not fit, `sign_flip` for an action
    without that symmetry, and when no trajectory was accepted.
    """
    _check(action, n_chains, n_draws, thin, thermalisation, trajectory_length, target_acceptance, sign_flip)
    if state is not None:
        if state.phi.shape != (n_chains, *action.shape):
            raise ValueError(f"state.phi has shape {state.phi.shape}; this run needs {(n_chains, *action.shape)}")
        if seed is not None:
            raise ValueError("seed and state exclude each other: the state carries its generator")

    rng = np.random.Generator(np.random.SFC64(seed))
    if state is None:
        step, n_leapfrog = trajectory_length / 10.0, 10
        start = rng.standard_normal((n_chains, *action.shape)) * 0.5
    else:
        thermalisation, step, n_leapfrog, start = 0, state.step_size, state.n_leapfrog, state.phi
        rng.bit_generator.state = state.rng_state

    n_groups = math.ceil(n_chains * action.volume / _GROUP_SITES)
    groups = [_Chains(action, part) for part in np.array_split(start, min(n_groups, n_chains))]
    total = thermalisation + n_draws * thin
    done = 0

    def sweep() -> tuple[float, float, float]:
        nonlocal done
        jittered = step * rng.uniform(1.0 - _STEP_JITTER, 1.0 + _STEP_JITTER)
        sums = np.sum([group.trajectory(rng, jittered, n_leapfrog, sign_flip) for group in groups], axis=0)
        done += 1
        if progress is not None:
            progress(done, total)
        return sums / n_chains

    def gather(part: Callable[[_Chains], torch.Tensor]) -> np.ndarray:
        return np.concatenate([part(group).numpy() for group in groups])

    tuning = []
    for k in range(thermalisation):
        _, expected, _ = sweep()
        if k < 0.8 * thermalisation:
            # Robbins–Monro on log(step): the gain falls as k^-0.6, so early noise is forgotten; the later half is
            # averaged.
            step *= math.exp((expected - target_acceptance) * 2.0 / (1 + k) ** 0.6)
            tuning.append(math.log(step))
            if k + 1 >= 0.8 * thermalisation:
                step = math.exp(float(np.mean(tuning[len(tuning) // 2 :])))
            n_leapfrog = max(1, round(trajectory_length / step))
            if n_leapfrog > _MAX_LEAPFROG:
                raise ValueError(
                    f"the tuned step = {step:.3g} needs {n_leapfrog} leapfrog steps, more than {_MAX_LEAPFROG}; "
                    "shorten trajectory_length or check the couplings"
                )

    phi = np.empty((n_chains, n_draws, *action.shape))
    values = np.empty((n_chains, n_draws))
    sums = np.zeros(3)
    for draw in range(n_draws):
        for _ in range(thin):
            sums += sweep()
        phi[:, draw] = gather(lambda group: group.phi.movedim(-1, 0))
        values[:, draw] = gather(lambda group: group.action_now)
    accepted, _, exp_minus_dh = sums / (n_draws * thin)
    if accepted == 0 and n_chains * n_draws * thin >= _ENOUGH_TO_JUDGE:
        raise ValueError(
            f"step_size = {step:.3g}: no trajectory was accepted; thermalise longer (thermalisation = {thermalisation})"
        )
    final = HmcState(phi[:, -1].copy(), step, n_leapfrog, dict(rng.bit_generator.state))
    return HmcResult(phi, values, float(accepted), float(exp_minus_dh), step, n_leapfrog, final)


def leapfrog(
    action: Action, phi: torch.Tensor, momentum: torch.Tensor, step: float, n_steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One molecular-dynamics trajectory: kick ½, (drift, kick) …, drift, kick ½.

    phi, momentum: ``(chain, Lx, Ly)``. Returns both at its end, new tensors of the same shape.
    """
    padded = _pad(phi)
    scaled = momentum.movedim(0, -1) * step
    _integrate_(action, padded, scaled, torch.empty_like(scaled), step, n_steps)
    return padded[1:-1, 1:-1].movedim(-1, 0).clone(), scaled.movedim(-1, 0) / step


def _check(
    action: Action,
    n_chains: int,
    n_draws: int,
    thin: int,
    thermalisation: int,
    trajectory_length: float,
    target_acceptance: float,
    sign_flip: bool,
) -> None:
    for name, count, least in (
        ("n_chains", n_chains, 1),
        ("n_draws", n_draws, 1),
        ("thin", thin, 1),
        ("thermalisation", thermalisation, 0),
    ):
        if not isinstance(count, (int, np.integer)) or count < least:
            raise ValueError(f"{name} = {count} must be a whole number of at least {least}")
    if not (math.isfinite(trajectory_length) and trajectory_length > 0):
        raise ValueError(f"trajectory_length = {trajectory_length} must be positive and finite")
    if not 0 < target_acceptance < 1:
        raise ValueError(f"target_acceptance = {target_acceptance} must lie in (0, 1); 0.7 to 0.9 is efficient")
    if sign_flip and "sign_flip" not in action.symmetries:
        raise ValueError(
            f"sign_flip: the action {action.name!r} is not symmetric under φ → −φ; run with sign_flip=False"
        )


class _Chains:
    """A group of chains, batch last: the field with its halo, momenta and work space, and S of the present
    configurations."""

    def __init__(self, action: Action, phi: np.ndarray) -> None:
        self._action = action
        self.n = len(phi)
        self._padded = _pad(torch.as_tensor(np.ascontiguousarray(phi), dtype=torch.float64))
        self.phi = self._padded[1:-1, 1:-1]
        self._old = torch.empty((*action.shape, self.n), dtype=torch.float64)
        self._momentum = torch.empty_like(self._old)
        self._work = torch.empty_like(self._old)
        self.action_now = action(self.phi.movedim(-1, 0))

    def trajectory(self, rng: np.random.Generator, step: float, n_steps: int, flip: bool) -> tuple[float, float, float]:
        """One trajectory and accept step; sums over the chains of accepted, min(1, exp(−ΔH)) and exp(−ΔH)."""
        momentum = self._momentum
        rng.standard_normal(out=momentum.numpy())
        self._old.copy_(self.phi)
        before = self.action_now + 0.5 * (momentum * momentum).sum((0, 1))
        momentum.mul_(step)
        _integrate_(self._action, self._padded, momentum, self._work, step, n_steps)
        proposed = self._action(self.phi.movedim(-1, 0))
        after = proposed + 0.5 * (momentum * momentum).sum((0, 1)) / step**2
        # A trajectory that ran away has ΔH = inf or nan: weight 0, rejected.
        weight = torch.nan_to_num(torch.exp(before - after), nan=0.0)
        accept = torch.from_numpy(rng.random(self.n)) < weight
        self.phi.copy_(torch.where(accept, self.phi, self._old))
        self.action_now = torch.where(accept, proposed, self.action_now)
        if flip:
            self.phi.mul_(torch.from_numpy(1.0 - 2.0 * rng.integers(0, 2, self.n)))
        return float(accept.sum()), float(weight.clamp(max=1.0).sum()), float(weight.sum())


def _integrate_(
    action: Action, padded: torch.Tensor, momentum: torch.Tensor, work: torch.Tensor, step: float, n: int
) -> None:
    """Leapfrog in place. `momentum` holds step · π, so that the drift is a plain addition."""
    phi = padded[1:-1, 1:-1]
    _wrap_(padded)
    action.kick_(momentum, padded, 0.5 * step**2, work)
    for k in range(n):
        phi.add_(momentum)
        _wrap_(padded)
        action.kick_(momentum, padded, (0.5 if k == n - 1 else 1.0) * step**2, work)


def _pad(phi: torch.Tensor) -> torch.Tensor:
    """``(chain, Lx, Ly)`` → ``(Lx + 2, Ly + 2, chain)``, halo not yet filled."""
    n, lx, ly = phi.shape
    padded = phi.new_zeros((lx + 2, ly + 2, n))
    padded[1:-1, 1:-1] = phi.movedim(0, -1)
    return padded


def _wrap_(padded: torch.Tensor) -> None:
    """Fill the halo with the opposite edges. The corners stay unused: no action here has diagonal neighbours."""
    padded[0, 1:-1] = padded[-2, 1:-1]
    padded[-1, 1:-1] = padded[1, 1:-1]
    padded[1:-1, 0] = padded[1:-1, -2]
    padded[1:-1, -1] = padded[1:-1, 1]
