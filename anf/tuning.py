"""The digital part of a flow against arrays as they are, after programming or after a while."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from anf.actions import Action
from anf.array_model import EngineFactory
from anf.drive import Drive
from anf.flow import Flow
from anf.layers import Engine
from anf.lora import LoRA
from anf.simulated import ArrayNoise
from anf.training import Progress, TrainingConfig, TrainingResult, deployed, finetune


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

    engines: `Deployment.simulated` of programmed arrays, or `ModelledArrays.simulated`.
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


def calibrated_drives(
    flow: Flow, n: int, generator: torch.Generator, *, quantile: float = 1.0, slices: int = 1
) -> dict[str, Drive]:
    """Drives of a fixed full scale for each layer: the `quantile` of what its inputs are in each of n draws at their
    largest. With 1.0 the largest input of all draws, so that later ones are hardly ever clipped.

    Raises ValueError for a quantile outside (0, 1], or a layer that only ever gets zeros.
    """
    if not 0 < quantile <= 1:
        raise ValueError(f"quantile = {quantile:g}: must lie in (0, 1]")
    largest: dict[str, list[torch.Tensor]] = {name: [] for name in flow.base_layers()}

    def recording(name: str, weight: torch.Tensor) -> Engine:
        def product(x: torch.Tensor) -> torch.Tensor:
            largest[name].append(x.abs().amax(1))
            return x @ weight.T

        return product

    engines = {name: recording(name, layer.weight.detach()) for name, layer in flow.base_layers().items()}
    with deployed(flow, {}, engines):
        flow.sample(n, generator)
    return {
        name: Drive(full_scale=float(np.quantile(torch.cat(seen).numpy(), quantile)), slices=slices)
        for name, seen in largest.items()
    }
