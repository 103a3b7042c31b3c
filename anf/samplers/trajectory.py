"""The length of a trajectory of HMC, tuned to cost: τ_int falls with it and the work grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anf.lattice.actions import Action
from anf.measurement.statistics import gamma_method
from anf.samplers import hmc

LENGTHS = (0.5, 1.0, 2.0, 4.0)
_CHAINS, _DRAWS, _THERMALISATION = 64, 200, 100


@dataclass(frozen=True)
class Trial:
    """A short run at one length: τ_int of |M| in trajectories, and leapfrog steps per independent |M|."""

    length: float
    tau_int: float
    cost: float


def tune_length(action: Action, moves: hmc.Moves, *, seed: int) -> tuple[float, list[Trial]]:
    """The length in `LENGTHS` with the fewest leapfrog steps per independent |M|, and all trials.

    |M|, not M: with sign flips the signed M says nothing, and without them it says only how rare flips are. Trials are
    of 64 chains of 200 trajectories, so that τ is good to some ten percent, as is the choice.
    """
    trials = []
    for k, length in enumerate(LENGTHS):
        result = hmc.run(
            action,
            _CHAINS,
            _DRAWS,
            seed=seed + k,
            thermalisation=_THERMALISATION,
            trajectory_length=length,
            moves=moves,
        )
        tau = gamma_method(np.abs(result.phi.mean((-2, -1)))).tau_int
        trials.append(Trial(length, tau, 2.0 * tau * result.n_leapfrog))
    return min(trials, key=lambda trial: trial.cost).length, trials
