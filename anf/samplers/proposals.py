"""Sampling with a flow: proposals in batches, Metropolis–Hastings over them, observables.

Whatever multiplies in the base layers — digital, a model of an array, a board — every proposal is evaluated once, and
the density that goes into the chain is the one of that evaluation (docs/theory.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.measurement.convergence import JUDGED, diagnose
from anf.measurement.observables import Estimate, Series, estimate, measure_series
from anf.measurement.statistics import ess, ess_forward
from anf.samplers import hmc
from anf.samplers.metropolis import accept

Progress = Callable[[int, int], None]
"""progress(proposals done, proposals in all)."""

BATCH = 512
"""Proposals per evaluation: wide enough for the products, narrow enough for the cache and for a bar that moves."""


@dataclass(frozen=True)
class Proposals:
    """Independent draws of a flow.

    phi: ``(n, Lx, Ly)`` float32, as the flow gave it. log_q: ``(n,)``, log density of that whole configuration, given
    the noise that entered it. action: ``(n,)``, S of the stored phi.
    """

    phi: np.ndarray
    log_q: np.ndarray
    action: np.ndarray

    @property
    def log_weights(self) -> np.ndarray:
        """−S − log q, ``(n,)``; −inf for a proposal that is not finite."""
        log_w = -self.action - self.log_q
        return np.where(np.isfinite(log_w), log_w, -np.inf)

    @property
    def ess(self) -> float:
        """Reverse effective sample size per proposal, in (0, 1]."""
        return ess(self.log_weights)


@dataclass(frozen=True)
class Samples:
    """Proposals with the Metropolis–Hastings chain over them.

    state: ``(n,)``, index of the proposal that the chain is in at each step. n_nonfinite: proposals refused because
    their weight was not a finite number. estimates: observables of the chain, by name; reweighted: the same from the
    weights of all proposals. problems: what is wrong with the chain, if anything (`anf.measurement.convergence`).
    """

    proposals: Proposals
    state: np.ndarray
    acceptance: float
    n_nonfinite: int
    estimates: dict[str, Estimate]
    reweighted: dict[str, Estimate]
    problems: tuple[str, ...]


def propose(
    flow: Flow, action: Action, n: int, *, seed: int, batch: int = BATCH, progress: Progress | None = None
) -> Proposals:
    """n proposals, through whatever engines the layers have.

    Raises ValueError for n < 1 or an action on another lattice than the flow's.
    """
    if n < 1:
        raise ValueError(f"n = {n} proposals: needs at least 1")
    if tuple(action.shape) != flow.config.shape:
        raise ValueError(f"action has shape {tuple(action.shape)}, the flow {flow.config.shape}: they must agree")
    generator = torch.Generator().manual_seed(seed)
    phi = np.empty((n, *action.shape), np.float32)
    log_q, values = np.empty(n), np.empty(n)
    for start in range(0, n, batch):
        part = slice(start, min(start + batch, n))
        drawn, density = flow.sample(part.stop - start, generator)
        phi[part], log_q[part] = drawn.numpy(), density.numpy()
        values[part] = action(drawn.double()).numpy()
        if progress is not None:
            progress(part.stop, n)
    return Proposals(phi, log_q, values)


def sample(
    flow: Flow, action: Action, n: int, *, seed: int, batch: int = BATCH, progress: Progress | None = None
) -> Samples:
    """n proposals, the chain over them, and its observables. Errors are those of `propose`."""
    latent, chain = (int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(2))
    proposals = propose(flow, action, n, seed=latent, batch=batch, progress=progress)
    # In random order: an array whose noise remembers time would bias a chain that takes its proposals as they came.
    result = accept(-proposals.action, proposals.log_q, seed=chain, shuffle=True)
    series = measure_series(action, proposals.phi)
    return Samples(
        proposals, result.state, result.acceptance, result.n_nonfinite,
        estimate(action, series, state=result.state),
        estimate(action, series, log_weights=proposals.log_weights),
        _problems(series, result.state),
    )  # fmt: skip


def _problems(series: Series, state: np.ndarray) -> tuple[str, ...]:
    """What is wrong with the chain, judged by its four quarters."""
    quarters = state[: len(state) // 4 * 4].reshape(4, -1)
    if quarters.shape[1] < 10:
        return (f"{len(state)} proposals are too few to judge a chain by; draw 40 or more",)
    return diagnose({name: series.values[name][quarters] for name in JUDGED}).problems


def measure_ess_forward(flow: Flow, action: Action, *, seed: int, chains: int = 128, draws: int = 32) -> float:
    """Forward ESS, on configurations drawn from p by HMC: zero where the flow misses a mode. Digital layers only."""
    phi = hmc.run(action, chains, draws, thin=4, seed=seed).phi.reshape(-1, *action.shape)
    dtype = next(flow.parameters()).dtype
    log_q = flow.log_prob(torch.from_numpy(phi).to(dtype)).numpy()
    return ess_forward(-action(phi) - log_q)
