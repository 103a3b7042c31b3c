"""A flow on arrays beside the same flow in software and HMC: effective sample size and observables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from anf.arrays.analog import CrossbarEngine, Deployment, deploy, survey
from anf.arrays.array_model import ArrayErrors, ModelledArrays, model_arrays
from anf.arrays.mapped import base_weights, map_flow
from anf.arrays.simulated import ArrayNoise
from anf.arrays.tuning import Tuning, tune
from anf.arrays.watched import Watched
from anf.flows.deployed import deployed
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from anf.lattice.actions import Action
from anf.measurement.observables import Estimate, summarise
from anf.samplers import hmc
from anf.samplers.proposals import propose
from anf.samplers.sampling import sample
from drivers.board import Board
from drivers.crossbar import Crossbar

Progress = Callable[[str], None]

HMC_CHAINS = 128


@dataclass(frozen=True)
class Compared:
    """patched: share of the weights that are added to digitally, since their cells could not be programmed.
    ess_software, ess_untuned, ess_hardware: of the flow with digital layers, on its arrays as programmed, and after
    tuning its digital part against them. acceptance: on hardware. hardware, software, hmc: estimates by observable, of
    chains of as many proposals (or draws). cycles, board_time_s, cells_j: what the boards executed for all proposals,
    summed over boards, and the energy in the cells, J; 0 where arrays are simulated."""

    arrays: int
    patched: float
    ess_software: float
    ess_untuned: float
    ess_hardware: float
    acceptance: float
    hardware: dict[str, Estimate]
    software: dict[str, Estimate]
    hmc: dict[str, Estimate]
    cycles: int
    board_time_s: float
    cells_j: float

    @property
    def identities(self) -> dict[str, float]:
        """What is known exactly held against hardware: differences in units of their errors, by name."""
        return {name: pull for name, e in self.hardware.items() if (pull := e.pull) is not None}

    def pull(self, name: str) -> float:
        """Difference between hardware and HMC in an observable, in units of its error."""
        here, there = self.hardware[name], self.hmc[name]
        return (here.value - there.value) / (here.error**2 + there.error**2) ** 0.5


def compare(
    flow: Flow,
    action: Action,
    board: Board,
    crossbars: Sequence[Crossbar],
    *,
    proposals: int,
    tuning: Tuning | None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Compared:
    """Put a flow on arrays and sample. Its digital part is tuned, in place.

    crossbars: as many as the flow needs; they are surveyed first, and faulty cells avoided. With none the arrays are
    simulated with all errors of `ArrayErrors.all`. What weights in faulty cells lack is added digitally, on boards and
    in the model. tuning: None leaves the digital part as it is.
    Raises what `survey`, `map_flow`, `deploy`, `tune` and `sample` raise, and what stops sampling on the way.
    """
    say = progress or (lambda _: None)
    say("software")
    software = sample(flow, action, proposals, seed=seed)
    say("programming")
    faults = survey(crossbars)
    mapped = map_flow(flow, board.shape, faults=faults, max_arrays=len(crossbars) or None)
    generator = torch.Generator().manual_seed(seed)
    arrays: Deployment | ModelledArrays
    if crossbars:
        arrays = deploy(flow, crossbars, mapped=mapped, patched=True)
    else:
        arrays = model_arrays(flow, board, errors=ArrayErrors.all(), seed=seed, mapped=mapped, patched=True)

    def engines() -> Mapping[str, Engine]:
        return arrays.crossbar() if isinstance(arrays, Deployment) else arrays.simulated(ArrayNoise(), generator)

    say("untuned")
    with deployed(flow, {}, engines()):
        untuned = propose(flow, action, max(10, proposals // 4), seed=seed).ess
    if tuning is not None:
        say("tuning")
        tune(flow, action, arrays.simulated, tuning, seed=seed)
    say("hardware")
    look = Watched(arrays).look if isinstance(arrays, Deployment) else lambda: None
    with deployed(flow, {}, used := engines()):
        hardware = sample(flow, action, proposals, seed=seed + 1, look=look).complete()
    spent = [engine.transcript for engine in used.values() if isinstance(engine, CrossbarEngine)]
    cycles = sum(transcript.cycles for transcript in spent)
    say("HMC")
    reference = hmc.run(action, HMC_CHAINS, max(10, proposals // HMC_CHAINS), thin=4, seed=seed)
    return Compared(
        mapped.placement.n_arrays,
        arrays.patched / sum(w.size for w in base_weights(flow).values()),
        software.proposals.ess, untuned, hardware.proposals.ess, hardware.acceptance,
        dict(hardware.estimates), dict(software.estimates), dict(summarise(action, reference.phi)),
        cycles, cycles * board.timing.period_s, sum(transcript.cells_j for transcript in spent),
    )  # fmt: skip
