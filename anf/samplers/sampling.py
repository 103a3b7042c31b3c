"""Sampling with a flow: guarded proposals, Metropolis–Hastings over them, observables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.measurement.convergence import JUDGED, diagnose, heavy_tail
from anf.measurement.observables import Estimate, Series, estimate, measure_series
from anf.samplers.guard import OnLooker, Segment, Stop, guarded
from anf.samplers.metropolis import accept
from anf.samplers.proposals import BATCH, Progress, Proposals


@dataclass(frozen=True)
class Samples:
    """Proposals with the Metropolis–Hastings chains over them: one for each segment, since what was drawn before a
    change of the array cannot compete with what was drawn after it (docs/theory.md).

    proposals: n of all segments, one after the other. state: ``(n,)``, index of the proposal that the chain of its
    segment is in at each step. n_nonfinite: proposals refused because their weight was not a finite number.
    segments: what was kept and dropped, and why each ended. estimates: observables, with the chains as replica, by
    name; reweighted: the same from the weights of all proposals. problems: what is wrong with the chains or the
    weights, if anything (`anf.measurement.convergence`).
    """

    proposals: Proposals
    state: np.ndarray
    acceptance: float
    n_nonfinite: int
    segments: tuple[Segment, ...]
    estimates: dict[str, Estimate]
    reweighted: dict[str, Estimate]
    problems: tuple[str, ...]

    @property
    def stopped(self) -> Stop | None:
        """What ended the run before its end; None if it came there."""
        return self.segments[-1].stopped

    @property
    def segment(self) -> np.ndarray:
        """``(n,)``, which of the segments each proposal is of."""
        return np.repeat(np.arange(len(self.segments)), [s.kept for s in self.segments])

    def complete(self) -> Samples:
        """These, if the run came to its end. Raises what stopped it."""
        if self.stopped is not None:
            raise self.stopped
        return self


def sample(
    flow: Flow,
    action: Action,
    n: int,
    *,
    seed: int,
    batch: int = BATCH,
    look: Callable[[], None] = lambda: None,
    renew: Callable[[], None] | None = None,
    progress: Progress | None = None,
    on_looker: OnLooker | None = None,
) -> Samples:
    """n proposals, drawn and watched by `guarded`, a chain over each segment, and their observables.

    Fewer if the run was stopped, but some. Errors are those of `guarded`, and what stopped it with nothing kept.
    """
    latent, chain = (int(s.generate_state(1)[0]) for s in np.random.SeedSequence(seed).spawn(2))
    segments = guarded(
        flow, action, n, seed=latent, batch=batch, look=look, renew=renew, progress=progress, on_looker=on_looker
    )
    kept = [s.proposals for s in segments if s.proposals is not None]
    if not kept:
        if segments[-1].stopped is not None:
            raise segments[-1].stopped
        raise ValueError(f"n = {n} proposals are too few for a chain")
    generator = np.random.default_rng(chain)
    # In random order: an array whose noise remembers time would bias a chain that takes its proposals as they came.
    chains = [accept(-p.action, p.log_q, generator=generator, shuffle=True) for p in kept]
    first = np.cumsum([0, *(len(p.log_q) for p in kept)])
    states = [c.state + begin for c, begin in zip(chains, first, strict=False)]
    offers = [max(1, len(s) - 1) for s in states]
    proposals = Proposals.joined(kept)
    series = measure_series(action, proposals.phi)
    return Samples(
        proposals, np.concatenate(states),
        float(np.average([c.acceptance for c in chains], weights=offers)), sum(c.n_nonfinite for c in chains),
        segments,
        estimate(action, series, state=states),
        estimate(action, series, log_weights=proposals.log_weights),
        _problems(series, states, proposals.log_weights),
    )  # fmt: skip


def chains_of(state: np.ndarray, segment: np.ndarray) -> list[np.ndarray]:
    """The chains (draw,) of `Samples`, one for each segment that has proposals."""
    return np.split(state, np.flatnonzero(np.diff(segment[state])) + 1)


def _problems(series: Series, states: Sequence[np.ndarray], log_weights: np.ndarray) -> tuple[str, ...]:
    """What is wrong with the weights, and with the chains, judged by the four quarters of what they are together."""
    state = np.concatenate(states)
    quarters = state[: len(state) // 4 * 4].reshape(4, -1)
    if quarters.shape[1] < 10:
        return (f"{len(state)} proposals are too few to judge a chain by; draw 40 or more",)
    chains = diagnose({name: series.values[name][quarters] for name in JUDGED}).problems
    return (*heavy_tail(log_weights), *chains)
