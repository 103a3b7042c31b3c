"""A flow on arrays beside the same flow in software and HMC: effective sample size and observables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from anf.arrays.analog import deploy, survey
from anf.arrays.array_model import EngineFactory, model_arrays
from anf.arrays.mapped import base_weights, map_flow
from anf.arrays.simulated import ArrayNoise
from anf.arrays.tuning import Tuning, tune
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from anf.lattice.actions import Action
from anf.measurement.observables import Estimate, summarise
from anf.samplers import hmc
from anf.samplers.proposals import propose, sample
from anf.training.loop import deployed
from drivers.board import Board
from drivers.crossbar import Crossbar

Progress = Callable[[str], None]

HMC_CHAINS = 128


@dataclass(frozen=True)
class Compared:
    """patched: share of the weights that are added to digitally, since their cells could not be programmed.
    ess_software, ess_untuned, ess_hardware: of the flow with digital layers, on its arrays as programmed, and after
    tuning its digital part against them. hardware, software, hmc: estimates by observable, of chains of as many
    proposals (or draws). cycles, board_time_s: what sampling took, 0 where arrays are simulated."""

    arrays: int
    patched: float
    ess_software: float
    ess_untuned: float
    ess_hardware: float
    hardware: dict[str, Estimate]
    software: dict[str, Estimate]
    hmc: dict[str, Estimate]
    cycles: int
    board_time_s: float

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
    simulated, without faulty cells. tuning: None leaves the digital part as it is.
    Raises what `survey`, `map_flow`, `deploy` and `tune` raise.
    """
    say = progress or (lambda _: None)
    say("software")
    software = sample(flow, action, proposals, seed=seed)
    say("programming")
    faults = survey(crossbars)
    mapped = map_flow(flow, board.shape, faults=faults, max_arrays=len(crossbars) or None)
    factory: EngineFactory
    engines: Mapping[str, Engine]
    if crossbars:
        programmed = deploy(flow, crossbars, mapped=mapped, patched=True)
        factory, engines = programmed.simulated, programmed.crossbar()
    else:
        programmed, factory = None, model_arrays(flow, board, seed=seed, mapped=mapped).simulated
        engines = factory(ArrayNoise(), torch.Generator().manual_seed(seed))
    say("untuned")
    with deployed(flow, {}, engines):
        untuned = propose(flow, action, max(10, proposals // 4), seed=seed).ess
    if tuning is not None:
        say("tuning")
        tune(flow, action, factory, tuning, seed=seed)
    say("hardware")
    cycles, board_time_s = (0, 0.0) if programmed is None else (programmed.cycles, programmed.board_time_s)
    with deployed(flow, {}, engines):
        hardware = sample(flow, action, proposals, seed=seed + 1)
    if programmed is not None:
        cycles, board_time_s = programmed.cycles - cycles, programmed.board_time_s - board_time_s
    say("HMC")
    reference = hmc.run(action, HMC_CHAINS, max(10, proposals // HMC_CHAINS), thin=4, seed=seed)
    return Compared(
        mapped.placement.n_arrays,
        0.0 if programmed is None else programmed.patched / sum(w.size for w in base_weights(flow).values()),
        software.proposals.ess, untuned, hardware.proposals.ess,
        dict(hardware.estimates), dict(software.estimates), dict(summarise(action, reference.phi)), cycles,
        board_time_s,
    )  # fmt: skip
