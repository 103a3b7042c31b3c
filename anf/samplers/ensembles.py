"""Runs of samplers, measured as they go: series of observables instead of fields, so that millions of draws fit.

What is to be run is a plan: plain data, equal plans give equal bits. `HmcPlan` and `FlowPlan` say what HMC and a flow
with Metropolis–Hastings are asked for; an `Ensemble` is what came out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from time import process_time
from typing import Any, Protocol

import numpy as np

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.measurement.convergence import JUDGED, Convergence, diagnose
from anf.measurement.observables import Estimate, Series, estimate, improved, measure_series
from anf.measurement.statistics import ess, free_energy
from anf.samplers import hmc
from anf.samplers.metropolis import accept
from anf.samplers.proposals import propose

Progress = Callable[[int, int], None]

_BLOCK_SITES = 1 << 23
"""Sites held at a time: 64 MB."""


@dataclass(frozen=True)
class HmcPlan:
    """HMC as `hmc.run` takes it; chains · draws configurations.

    bin: consecutive draws of which the mean is kept. τ_int is then in bins, and the run takes less memory.
    improve: replace χ₂ and the zero mode by their cluster averages (`anf.measurement.observables.improved`).
    """

    chains: int
    draws: int
    seed: int
    thin: int = 1
    thermalisation: int = 300
    trajectory_length: float = 2.0
    moves: hmc.Moves = field(default_factory=hmc.Moves)
    bin: int = 1
    improve: bool = False


@dataclass(frozen=True)
class FlowPlan:
    """`proposals` of a flow, offered to `chains` Metropolis–Hastings chains of equal length.

    base_digest: of the flow's tensors, so that other weights make another plan.
    """

    proposals: int
    seed: int
    base_digest: str
    chains: int = 8
    improve: bool = False


@dataclass(frozen=True)
class Ensemble:
    """What a plan gave.

    series: ``(chain, draw)`` of HMC, ``(proposal,)`` of a flow.
    log_weights: ``(proposal,)``; state: ``(chain, draw)``, the proposal that each chain is in. None for HMC.
    statistics: acceptance, cpu_s of sampling (measuring not counted), and what else the sampler says of itself.
    """

    series: Series
    statistics: dict[str, float]
    log_weights: np.ndarray | None = None
    state: np.ndarray | None = None

    def chains(self, name: str) -> np.ndarray:
        """The series of an observable along the Markov chains, ``(chain, draw)``."""
        values = self.series.values[name]
        return values if self.state is None else values[self.state]

    def slices(self) -> np.ndarray:
        """C(p = 0, t) along the Markov chains, ``(chain, draw, Lx)``."""
        return self.series.slices if self.state is None else self.series.slices[self.state]

    def estimates(self, action: Action) -> dict[str, Estimate]:
        """Estimates along the Markov chains."""
        return estimate(action, self.series, state=self.state)

    def reweighted(self, action: Action) -> dict[str, Estimate]:
        """Estimates from the weights of the proposals. Raises ValueError for HMC, which has none."""
        if self.log_weights is None:
            raise ValueError("a run of HMC has no weights")
        return estimate(action, self.series, log_weights=self.log_weights)

    def verdict(self) -> Convergence:
        """Whether the chains agree and are long enough."""
        return diagnose({name: self.chains(name) for name in JUDGED})


class Runs(Protocol):
    """Where ensembles come from: samplers, or a folder that keeps what they gave."""

    def hmc(self, action: Action, plan: HmcPlan) -> Ensemble:
        """What HMC gave."""

    def flow(
        self, action: Action, proposals: int, seed: int, *, chains: int = 8, exactly: bool = True
    ) -> Ensemble | None:
        """What a flow gave, as a `FlowPlan`; None if there is none.

        exactly: made for this action; else the one made for the nearest couplings will do, which costs acceptance and
        nothing else.
        """


def run_hmc(action: Action, plan: HmcPlan, progress: Progress | None = None) -> Ensemble:
    """Run HMC block by block, measuring each block. Raises ValueError as `hmc.run` does, and for a `bin` that does
    not divide the draws."""
    if plan.bin < 1 or plan.draws % plan.bin:
        raise ValueError(f"bin = {plan.bin} must divide draws = {plan.draws}")
    generator = np.random.default_rng(plan.seed)
    block = max(1, _BLOCK_SITES // (plan.chains * action.volume) // plan.bin) * plan.bin
    state, parts, cpu, sums, done = None, [], 0.0, np.zeros(2), 0
    while done < plan.draws:
        n = min(block, plan.draws - done)
        start = process_time()
        result = hmc.run(
            action, plan.chains, n, thin=plan.thin, seed=plan.seed if state is None else None,
            thermalisation=plan.thermalisation, trajectory_length=plan.trajectory_length, moves=plan.moves, state=state,
        )  # fmt: skip
        cpu += process_time() - start
        state, done = result.state, done + n
        sums += n * np.array([result.acceptance, result.exp_minus_dh])
        measured = measure_series(action, result.phi)
        if plan.improve:
            measured = replace(measured, values={**measured.values, **improved(action, result.phi, generator)})
        parts.append(_binned(measured, plan.bin))
        if progress is not None:
            progress(done, plan.draws)
    trajectories = plan.chains * (plan.thermalisation + plan.draws * plan.thin)
    return Ensemble(
        Series(
            {name: np.concatenate([part.values[name] for part in parts], 1) for name in parts[0].values},
            np.concatenate([part.slices for part in parts], 1),
        ),
        {
            "acceptance": sums[0] / plan.draws,
            "exp_minus_dh": sums[1] / plan.draws,
            "step_size": result.step_size,
            "n_leapfrog": float(result.n_leapfrog),
            "cpu_s": cpu,
            "cpu_s_per_trajectory": cpu / trajectories,
        },
    )


def run_flow(flow: Flow, action: Action, plan: FlowPlan, progress: Progress | None = None) -> Ensemble:
    """Propose block by block, measuring each block; then the chains. Raises ValueError as `proposals.propose` and
    `metropolis.accept` do, and for proposals that do not divide among the chains."""
    if plan.chains < 1 or plan.proposals % plan.chains:
        raise ValueError(f"proposals = {plan.proposals} must divide among chains = {plan.chains}")
    block = max(1, _BLOCK_SITES // action.volume)
    n_blocks = -(-plan.proposals // block)
    seeds = [int(s.generate_state(1)[0]) for s in np.random.SeedSequence(plan.seed).spawn(n_blocks + plan.chains)]
    generator = np.random.default_rng(plan.seed)
    parts, weights, cpu = [], [], 0.0
    for k in range(n_blocks):
        n = min(block, plan.proposals - k * block)
        start = process_time()
        drawn = propose(flow, action, n, seed=seeds[k])
        cpu += process_time() - start
        measured = measure_series(action, drawn.phi)
        if plan.improve:
            measured = replace(measured, values={**measured.values, **improved(action, drawn.phi, generator)})
        parts.append(_binned(measured, 1))
        weights.append(drawn.log_weights)
        if progress is not None:
            progress(k * block + n, plan.proposals)
    log_weights = np.concatenate(weights)
    length = plan.proposals // plan.chains
    results = [
        accept(part, np.zeros(length), seed=seed)
        for part, seed in zip(np.split(log_weights, plan.chains), seeds[n_blocks:], strict=True)
    ]
    free, free_error = free_energy(log_weights)
    return Ensemble(
        Series(
            {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values},
            np.concatenate([part.slices for part in parts]),
        ),
        {
            "acceptance": float(np.mean([result.acceptance for result in results])),
            "ess": ess(log_weights),
            "largest_weight": float(np.exp(log_weights - np.logaddexp.reduce(log_weights)).max()),
            "free_energy": free,
            "free_energy_error": free_error,
            "cpu_s": cpu,
            "cpu_s_per_proposal": cpu / plan.proposals,
        },
        log_weights,
        np.stack([result.state + k * length for k, result in enumerate(results)]),
    )


def as_plain(plan: Any) -> dict[str, Any]:
    """A plan as what JSON can hold, nested plans too, without `hmc.LATER` fields at their default: what was kept under
    such a plan before the field came is kept under it still."""
    values = {f.name: (getattr(plan, f.name), f) for f in fields(plan)}
    return {
        name: as_plain(value) if is_dataclass(value) else value
        for name, (value, f) in values.items()
        if not (f.metadata == hmc.LATER and value == f.default)
    }


def _binned(measured: Series, n: int) -> Series:
    """Means over n draws, kept in single precision: its rounding, 6·10⁻⁸, is far below any error here."""

    def bins(x: np.ndarray) -> np.ndarray:
        return x if n == 1 else x.reshape(x.shape[0], x.shape[1] // n, n, *x.shape[2:]).mean(2)

    return Series(
        {name: bins(value).astype(np.float32) for name, value in measured.values.items()},
        bins(measured.slices).astype(np.float32),
    )
