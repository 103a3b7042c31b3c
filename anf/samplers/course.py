"""What a run of proposals amounts to while it goes on, for who looks on: nothing of it enters the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anf.lattice.actions import Action
from anf.measurement.observables import Estimate, Series, estimate, measure_series
from anf.measurement.statistics import MIN_DRAWS, ess
from anf.samplers.metropolis import accept
from anf.samplers.proposals import Proposals

_SEED = 0
"""Of chains that are shown and thrown away: the run's own is drawn at its end."""


@dataclass(frozen=True)
class SoFar:
    """Of the `proposals` that were taken: reverse ESS, acceptance of a chain over them, its observables by name."""

    proposals: int
    ess: float
    acceptance: float
    estimates: dict[str, Estimate]


class Course:
    """Of proposals with one density: a new one begins with each segment of a run (`anf.samplers.guard`)."""

    def __init__(self, action: Action) -> None:
        self._action = action
        self._log_weights: list[np.ndarray] = []
        self._series: list[Series] = []

    def take(self, drawn: Proposals) -> None:
        """These as well."""
        self._log_weights.append(drawn.log_weights)
        self._series.append(measure_series(self._action, drawn.phi))

    def so_far(self) -> SoFar | None:
        """None for too few for a chain, or none of finite weight."""
        log_w = np.concatenate(self._log_weights) if self._log_weights else np.empty(0)
        if len(log_w) < MIN_DRAWS or not np.isfinite(log_w).any():
            return None
        series = Series(
            {name: np.concatenate([s.values[name] for s in self._series]) for name in self._series[0].values},
            np.concatenate([s.slices for s in self._series]),
        )
        chain = accept(log_w, np.zeros_like(log_w), seed=_SEED, shuffle=True)
        return SoFar(len(log_w), ess(log_w), chain.acceptance, estimate(self._action, series, state=chain.state))
