"""Hybrid Monte Carlo: many chains at once, leapfrog, tuned step, and exact moves for what leapfrog finds hard.

One trajectory: momenta π ~ N(0, 1), leapfrog of H = ½π² + S(φ), accept with min(1, exp(−ΔH)). Chains stand side by side
in memory (batch last), in groups small enough for the cache, and the loops are compiled (`anf.lattice.kernels`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import scipy.fft
import torch

from anf.lattice import kernels
from anf.lattice.actions import Action, lattice_momentum_squared
from anf.samplers.even_half import EvenHalfChains

_GROUP_SITES = 36_864
"""Sites of all chains in one group: enough to hide the cost of a call, few enough to stay in cache."""
_STEP_JITTER = 0.1
_SHORT = 0.2
_MAX_LEAPFROG = 1000
LATER = {"later": True}
"""Marks a field of a plan that plans of before did not have: at its default a plan is the same as without it."""
_ENOUGH_TO_JUDGE = 20
"""Trajectories: that all of so many are refused does not happen by chance at any acceptance worth running at."""


@dataclass(frozen=True)
class Moves:
    """What a trajectory is made of, beside leapfrog and accept step. All of it leaves exp(−S) as it is.

    symmetry: after each trajectory the symmetries that the action declares. ``sign_flip``: every chain times ±1 at
        random, always accepted; it removes the slow mode of the signed magnetisation. ``shift``: a Metropolis step
        by ±`Action.shift`; without it chains stay in the well in which they began.
    clusters: Wolff clusters of the signs, flipped after each trajectory.
    fourier_mass2: μ² of Fourier acceleration, above 0; None for the plain kinetic energy.
    even_half: move the even sites alone, against S_eff, and draw the odd ones exactly for each configuration kept
        (`anf.lattice.completion`); without clusters and Fourier acceleration.
    """

    symmetry: bool = True
    clusters: int = 0
    fourier_mass2: float | None = None
    even_half: bool = field(default=False, metadata=LATER)


@dataclass(frozen=True)
class HmcState:
    """All that is needed to go on: a run resumed from it gives the bits that the uninterrupted run would have given.

    phi: ``(chain, x, y)``; step_size, n_leapfrog: as tuned; rng_state: the state of torch's generator, ``(bytes,)``.
    """

    phi: np.ndarray
    step_size: float
    n_leapfrog: int
    rng_state: np.ndarray


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
    moves: Moves = Moves(),
    state: HmcState | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> HmcResult:
    """Draw configurations from exp(−S)/Z.

    Parameters
    ----------
    n_chains, n_draws: chains that run side by side, and draws kept of each.
    thin: trajectories per draw.
    thermalisation: trajectories discarded at the start, every other one short, during which the step is tuned; then it
        is frozen. With 0 the step stays at a tenth of the trajectory.
    trajectory_length: molecular-dynamics time of a trajectory. The step is jittered by ±10 % from one trajectory to the
        next, since a fixed length can be a multiple of some mode's period and leave that mode where it was.
    target_acceptance: what the step is tuned to, in (0, 1); 0.7 … 0.9 is where HMC is efficient.
    moves: what follows each trajectory, and its kinetic energy.
    state: resume from here; nothing is tuned or thermalised then, and `seed` must not be given.
    progress: called with (trajectories done, trajectories in all) after each.

    Chains begin in white noise, and in different wells where there are several, so that chains which do not mix are
    seen to differ (`anf.measurement.convergence`).

    Raises ValueError for counts below 1, parameters out of range, a state that does not fit, and when no trajectory was
    accepted.
    """
    _check(n_chains, n_draws, thin, thermalisation, trajectory_length, target_acceptance, moves)
    if state is not None:
        if state.phi.shape != (n_chains, *action.shape):
            raise ValueError(f"state.phi has shape {state.phi.shape}; this run needs {(n_chains, *action.shape)}")
        if seed is not None:
            raise ValueError("seed and state exclude each other: the state carries its generator")

    generator = torch.Generator()
    if state is None:
        generator.seed() if seed is None else generator.manual_seed(seed)
        step, n_leapfrog = trajectory_length / 10.0, 10
        start = _start(action, n_chains, generator)
    else:
        thermalisation, step, n_leapfrog, start = 0, state.step_size, state.n_leapfrog, state.phi
        generator.set_state(torch.from_numpy(state.rng_state))

    n_groups = math.ceil(n_chains * action.volume / _GROUP_SITES)
    parts = np.array_split(start, min(n_groups, n_chains))
    groups = [
        EvenHalfChains(action, part, moves.symmetry, generator)
        if moves.even_half
        else _Chains(action, part, moves, generator)
        for part in parts
    ]
    total = thermalisation + n_draws * thin
    done = 0

    def sweep(shorter: float = 1.0) -> tuple[float, float, float]:
        nonlocal done
        jittered = shorter * step * (1.0 + _STEP_JITTER * (2.0 * float(torch.rand((), generator=generator)) - 1.0))
        sums = np.sum([group.trajectory(jittered, n_leapfrog) for group in groups], axis=0)
        done += 1
        if progress is not None:
            progress(done, total)
        return sums / n_chains

    tuning = []
    for k in range(thermalisation):
        if k % 2:
            # A chain that begins where forces are large refuses every step that is right for the others.
            sweep(_SHORT)
            continue
        _, expected, _ = sweep()
        if k < 0.8 * thermalisation:
            # Robbins–Monro on log(step): the gain falls as k^-0.6, so early noise is forgotten; the later half is
            # averaged.
            step *= math.exp((expected - target_acceptance) * 2.0 / (1 + k / 2) ** 0.6)
            tuning.append(math.log(step))
            if k + 2 >= 0.8 * thermalisation:
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
        phi[:, draw], values[:, draw] = map(
            np.concatenate, zip(*(group.configurations() for group in groups), strict=True)
        )
    accepted, _, exp_minus_dh = sums / (n_draws * thin)
    if accepted == 0 and n_chains * n_draws * thin >= _ENOUGH_TO_JUDGE:
        raise ValueError(
            f"step_size = {step:.3g}: no trajectory was accepted; thermalise longer (thermalisation = {thermalisation})"
        )
    final = HmcState(phi[:, -1].copy(), step, n_leapfrog, generator.get_state().numpy())
    return HmcResult(phi, values, float(accepted), float(exp_minus_dh), step, n_leapfrog, final)


def _check(
    n_chains: int,
    n_draws: int,
    thin: int,
    thermalisation: int,
    trajectory_length: float,
    target_acceptance: float,
    moves: Moves,
) -> None:
    for name, count, least in (
        ("n_chains", n_chains, 1),
        ("n_draws", n_draws, 1),
        ("thin", thin, 1),
        ("thermalisation", thermalisation, 0),
        ("clusters", moves.clusters, 0),
    ):
        if not isinstance(count, (int, np.integer)) or count < least:
            raise ValueError(f"{name} = {count} must be a whole number of at least {least}")
    if not (math.isfinite(trajectory_length) and trajectory_length > 0):
        raise ValueError(f"trajectory_length = {trajectory_length} must be positive and finite")
    if not 0 < target_acceptance < 1:
        raise ValueError(f"target_acceptance = {target_acceptance} must lie in (0, 1); 0.7 to 0.9 is efficient")
    mass2 = moves.fourier_mass2
    if moves.even_half and (moves.clusters or mass2 is not None):
        raise ValueError(
            f"even_half with clusters = {moves.clusters}, fourier_mass2 = {mass2}: S_eff couples more than neighbours; "
            "leave one of them out"
        )
    if mass2 is not None and not (math.isfinite(mass2) and mass2 > 0):
        raise ValueError(f"fourier_mass2 = {mass2} must be positive and finite; 1/ξ² of the theory is best")


def _start(action: Action, n_chains: int, generator: torch.Generator) -> np.ndarray:
    """Fields ``(n_chains, Lx, Ly)`` to begin with: white noise, in wells as far from the middle as the mass lets them
    be. White noise of ½ is within reach of every leapfrog; a field far out in a quartic potential is not."""
    start = 0.5 * torch.randn((n_chains, *action.shape), generator=generator, dtype=torch.float64).numpy()
    if "shift" in action.symmetries:
        zero_mode = 1.0 / math.sqrt(action.volume * float(action.free_spectrum()[0, 0]))
        offset = zero_mode * torch.randn(n_chains, generator=generator, dtype=torch.float64).numpy()
        start += (action.shift * np.round(offset / action.shift))[:, None, None]
    return start


class _Chains:
    """A group of chains, batch last: the field, momenta, work space, and S of the present configurations."""

    def __init__(self, action: Action, phi: np.ndarray, moves: Moves, generator: torch.Generator) -> None:
        self._action, self._moves, self._generator = action, moves, generator
        self.n = len(phi)
        self.phi = np.ascontiguousarray(np.moveaxis(phi, 0, -1))
        self._old = np.empty_like(self.phi)
        self._noise = torch.empty(self.phi.shape, dtype=torch.float32)
        self._momentum = np.empty_like(self.phi)
        self._kinetic = np.empty(self.n)
        self._site = kernels.site_constants(action)
        self._clusters = np.empty((3, action.volume), np.int64)
        self._fourier = None if moves.fourier_mass2 is None else Fourier(action, moves.fourier_mass2)
        self.action_now = np.empty(self.n)
        self._value(self.action_now)

    def trajectory(self, step: float, n_steps: int) -> tuple[float, float, float]:
        """One trajectory, accept step and moves; sums over the chains of accepted, min(1, exp(−ΔH)) and exp(−ΔH)."""
        # Normals in single precision: a quarter of the time, and cut at 5.6 standard deviations, which 2·10⁻⁸ exceed.
        self._momentum[...] = self._noise.normal_(generator=self._generator).numpy()
        self._old[...] = self.phi
        before = self.action_now + self._kinetic_now()
        if self._fourier is None:
            kernels.leapfrog(self.phi, self._momentum, step, n_steps, self._site, self._action.hopping)
        else:
            self._fourier.leapfrog(self.phi, self._momentum, step, n_steps)
        kinetic = self._kinetic_now()
        proposed = np.empty(self.n)
        self._value(proposed)
        # A trajectory that ran away has ΔH = inf or nan: weight 0, rejected.
        with np.errstate(over="ignore", invalid="ignore"):
            weight = np.nan_to_num(np.exp(before - proposed - kinetic), nan=0.0)
        accept = self._uniform() < weight
        kernels.put_back(self.phi, self._old, accept)
        np.copyto(self.action_now, proposed, where=accept)
        self._move()
        return float(accept.sum()), float(np.minimum(weight, 1.0).sum()), float(weight.sum())

    def configurations(self) -> tuple[np.ndarray, np.ndarray]:
        """φ (n, Lx, Ly) and S (n,) as they are."""
        return np.moveaxis(self.phi, -1, 0), self.action_now

    def _move(self) -> None:
        """The exact moves that leapfrog finds hard."""
        moves, symmetries = self._moves, self._action.symmetries
        if moves.symmetry and "sign_flip" in symmetries:
            self.phi *= np.where(self._uniform() < 0.5, -1.0, 1.0)
        if moves.symmetry and "shift" in symmetries:
            shift = np.where(self._uniform() < 0.5, -1.0, 1.0) * self._action.shift
            # The cosine does not change, and of a uniform shift the differences between sites know nothing.
            mass = self._site[0] - 2.0 * self._action.hopping
            cost = mass * (2.0 * shift * self.phi.sum((0, 1)) + self._action.volume * shift**2)
            taken = np.where(self._uniform() < np.exp(np.minimum(-cost, 0.0)), shift, 0.0)
            self.phi += taken
            self.action_now += np.where(taken != 0.0, cost, 0.0)
        for _ in range(moves.clusters):
            seeds = torch.randint(-(2**63), 2**63 - 1, (self.n,), generator=self._generator).numpy().view(np.uint64)
            kernels.flip_clusters(self.phi, self._action.hopping, seeds, self._clusters)
        if moves.clusters:
            self._value(self.action_now)

    def _kinetic_now(self) -> np.ndarray:
        kernels.kinetic_values(self._momentum, self._kinetic)
        return self._kinetic.copy()

    def _value(self, out: np.ndarray) -> None:
        kernels.action_values(self.phi, self._site, self._action.hopping, out)

    def _uniform(self) -> np.ndarray:
        return torch.rand(self.n, generator=self._generator, dtype=torch.float64).numpy()


class Fourier:
    """Leapfrog with the kinetic energy ½ Σ_p |π̃(p)|² / K(p) / V, K(p) = κ(p̂² + μ²): in the free field of mass μ all
    modes turn at the same rate (Batrouni et al., PRD 32, 2736). The momenta that come and go are white, √K of the true
    ones divided out."""

    def __init__(self, action: Action, mass2: float) -> None:
        self._action = action
        spectrum = action.hopping * (lattice_momentum_squared(action.shape) + mass2)
        self._root = np.sqrt(spectrum)[:, : action.shape[1] // 2 + 1, None]
        self._inverse = 1.0 / self._root**2
        self._site = kernels.site_constants(action)

    def leapfrog(self, phi: np.ndarray, momentum: np.ndarray, step: float, n_steps: int) -> None:
        """`kernels.leapfrog` with this kinetic energy; fields and white momenta ``(Lx, Ly, n)``, in place."""
        site, hopping = self._site, self._action.hopping
        # A trajectory that runs away overflows, and is refused.
        with np.errstate(over="ignore", invalid="ignore"):
            true = self._filtered(momentum, self._root)
            kernels.kick(phi, true, 0.5 * step, site, hopping)
            for k in range(n_steps):
                phi += step * self._filtered(true, self._inverse)
                kernels.kick(phi, true, step * (0.5 if k == n_steps - 1 else 1.0), site, hopping)
            momentum[...] = self._filtered(true, 1.0 / self._root)

    def _filtered(self, x: np.ndarray, factor: np.ndarray) -> np.ndarray:
        """x with each mode multiplied by `factor`, lattice axes first."""
        shape = self._action.shape
        return scipy.fft.irfft2(scipy.fft.rfft2(x, axes=(0, 1)) * factor, shape, axes=(0, 1))
