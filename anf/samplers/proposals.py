"""Proposals of a flow, in batches.

Whatever multiplies in the base layers — digital, a model of an array, a board — every proposal is evaluated once, and
the density that goes into the chain is the one of that evaluation (docs/theory.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.measurement.statistics import ess, ess_forward
from anf.samplers import hmc

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

    @classmethod
    def joined(cls, parts: Sequence[Proposals]) -> Proposals:
        """One after the other, at least one."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


def propose(
    flow: Flow,
    action: Action,
    n: int,
    *,
    seed: int | torch.Generator,
    batch: int = BATCH,
    progress: Progress | None = None,
) -> Proposals:
    """n proposals, through whatever engines the layers have. seed: of the latents, or a generator that goes on.

    Raises ValueError for n < 1 or an action on another lattice than the flow's.
    """
    if n < 1:
        raise ValueError(f"n = {n} proposals: needs at least 1")
    if tuple(action.shape) != flow.config.shape:
        raise ValueError(f"action has shape {tuple(action.shape)}, the flow {flow.config.shape}: they must agree")
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
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


def measure_ess_forward(flow: Flow, action: Action, *, seed: int, chains: int = 128, draws: int = 32) -> float:
    """Forward ESS, on configurations drawn from p by HMC: zero where the flow misses a mode. Digital layers only."""
    phi = hmc.run(action, chains, draws, thin=4, seed=seed).phi.reshape(-1, *action.shape)
    dtype = next(flow.parameters()).dtype
    log_q = flow.log_prob(torch.from_numpy(phi).to(dtype)).numpy()
    return ess_forward(-action(phi) - log_q)
