"""A flow measured on fresh proposals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.measurement.statistics import ess, free_energy
from anf.samplers.metropolis import accept


@dataclass(frozen=True)
class Evaluation:
    """A flow measured on `n` fresh proposals: reverse ESS, KL(q || p), Metropolis acceptance, largest w / mean w,
    F = -ln Z and its error."""

    n: int
    ess: float
    kl: float
    acceptance: float
    largest_weight: float
    free_energy: float
    free_energy_error: float


def evaluate(flow: Flow, action: Action, n: int = 65_536, seed: int = 0, batch: int = 512) -> Evaluation:
    """Reverse ESS and its companions over n fresh proposals, drawn in batches, through whatever engines are set."""
    generator = torch.Generator().manual_seed(seed)
    log_p, log_q = [], []
    for start in range(0, n, batch):
        phi, lq = flow.sample(min(batch, n - start), generator)
        log_p.append(-action(phi.double()).numpy())
        log_q.append(lq.numpy())
    log_weights = np.concatenate(log_p) - np.concatenate(log_q)
    f, f_error = free_energy(log_weights)
    return Evaluation(
        n=n,
        ess=ess(log_weights),
        kl=float(-f - log_weights.mean()),
        acceptance=accept(np.concatenate(log_p), np.concatenate(log_q), seed=seed).acceptance,
        largest_weight=float(np.exp(log_weights.max() + f)),
        free_energy=f,
        free_energy_error=f_error,
    )
