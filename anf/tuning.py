"""The digital part of a flow against arrays as they are: tuning after programming, and arrays of the model only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from anf.actions import Action
from anf.analog import ArrayNoise, SimulatedEngine
from anf.flow import Flow
from anf.layers import Engine
from anf.lora import LoRA
from anf.mapping import AffineMapping
from anf.training import Progress, TrainingConfig, TrainingResult, finetune
from drivers.ads8324 import lsb_v
from drivers.board import Board

PROGRAMMING_S = 0.54e-6
"""Standard deviation of programmed conductances, S (paper, Fig. 2g)."""

EngineFactory = Callable[[ArrayNoise, torch.Generator], dict[str, Engine]]


@dataclass(frozen=True)
class Tuning:
    """How to tune. Counted in steps, not in seconds, so that a run can be repeated bit for bit."""

    steps: int = 400
    batch: int = 512
    learning_rate: float = 6e-3
    rank: int = 2
    """Of the LoRA beside each matrix."""


def tune(
    flow: Flow,
    action: Action,
    engines: EngineFactory,
    tuning: Tuning,
    *,
    noise: ArrayNoise | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainingResult:
    """Tune the digital parts of `flow`, in place, through engines that model the arrays: LoRA, biases, time, site map.

    Each matrix gets a LoRA that starts as the best correction of its rank for what the array holds instead of it, so
    that a stuck cell, which is an error of rank one, is made up for before the first step.

    engines: `Deployment.simulated` of programmed arrays, or what `model_arrays` returns.
    Raises what `anf.training.finetune` raises; ValueError for steps, batch or rate out of range.
    """
    config = TrainingConfig(
        steps=tuning.steps,
        batch=tuning.batch,
        learning_rate=tuning.learning_rate,
        seed=seed,
        report_every=10,
        checkpoint_every=10,
    )
    generator = torch.Generator().manual_seed(seed + 1)
    exact = engines(ArrayNoise.off(), generator)
    for name, layer in flow.base_layers().items():
        wanted = layer.weight if layer.lora is None else layer.weight + layer.lora.delta()
        held = exact[name](torch.eye(layer.weight.shape[1])).T
        layer.lora = LoRA.nearest(wanted - held, tuning.rank)
    return finetune(
        flow,
        action,
        config,
        engines=engines(noise or ArrayNoise(), generator),
        progress=progress,
        threads=torch.get_num_threads(),
    )


def model_arrays(flow: Flow, board: Board, *, programming_s: float = PROGRAMMING_S, seed: int) -> EngineFactory:
    """Arrays of the model only: each base weight as a conductance with a programming error of σ = `programming_s` S.

    Equal seeds give equal errors. Raises ValueError for weights that cannot be mapped.
    """
    mapping = AffineMapping()
    generator = torch.Generator().manual_seed(seed)
    conductance_s, scale_s = {}, {}
    for name, layer in flow.base_layers().items():
        weight = layer.weight.detach().double()
        scale_s[name] = mapping.scale_s(weight.numpy())
        target = mapping.centre_s + scale_s[name] * weight
        conductance_s[name] = (
            target + programming_s * torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        ).float()

    def engines(noise: ArrayNoise, read_generator: torch.Generator) -> dict[str, Engine]:
        return {
            name: SimulatedEngine(
                conductance_s[name], mapping, scale_s[name], noise, read_generator,
                input_v=board.levels.input_v, rf_ohm=board.tia.rf_ohm, adc_lsb_v=lsb_v(board.adc.vref_v),
            )
            for name in conductance_s
        }  # fmt: skip

    return engines
