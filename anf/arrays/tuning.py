"""The digital part of a flow against arrays as they are, after programming or after a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from anf.arrays.array_model import EngineFactory
from anf.arrays.drive import Drive
from anf.arrays.simulated import ArrayNoise
from anf.flows.deployed import deployed
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from anf.flows.lora import LoRA
from anf.lattice.actions import Action
from anf.training.finetuning import finetune
from anf.training.loop import Progress, TrainingConfig, TrainingResult


@dataclass(frozen=True)
class Tuning:
    """How to tune. Counted in steps, not in seconds, so that a run can be repeated bit for bit."""

    steps: int = 400
    batch: int = 512
    learning_rate: float = 6e-3
    share: float = 0.2
    """Largest share of LoRA in all weights, arrays and LoRA."""


def tune(
    flow: Flow,
    action: Action,
    engines: EngineFactory,
    tuning: Tuning,
    *,
    before: EngineFactory | None = None,
    noise: ArrayNoise | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> TrainingResult:
    """Tune the digital parts of `flow`, in place, through engines that model the arrays: LoRA, biases, time, site map.

    LoRA starts as the best correction, within its share of the weights, for what the arrays hold instead of the
    matrices, so that a stuck cell, which is an error of rank one, is made up for before the first step. Ranks go where
    they take away most for their weights (docs/decisions/0085).

    engines: `Deployment.simulated` of programmed arrays, or `ModelledArrays.simulated`. before: the same of what the
        digital part has been tuned to already; without it, to the base weights.
    Raises what `anf.training.finetuning.finetune` raises; ValueError for steps, batch or rate out of range.
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
    correct(
        flow, held_weights(flow, engines), tuning.share, before=None if before is None else held_weights(flow, before)
    )
    return finetune(
        flow,
        action,
        config,
        engines=engines(noise or ArrayNoise(), generator),
        progress=progress,
        threads=torch.get_num_threads(),
    )


def held_weights(flow: Flow, engines: EngineFactory) -> dict[str, torch.Tensor]:
    """The matrices (n_out, n_in) that arrays hold instead of the base weights, by layer, as their engines multiply."""
    exact = engines(ArrayNoise.off(), torch.Generator())
    return {
        name: exact[name](torch.eye(layer.weight.shape[1])).T.detach() for name, layer in flow.base_layers().items()
    }


def correct(
    flow: Flow,
    held: Mapping[str, torch.Tensor],
    share: float,
    *,
    before: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Give the layers, in place of the LoRA that they have, the best correction for the weights `held` in arrays that
    LoRA within `share` of all weights can be. before: weights that the LoRA they have was made for, without it the base
    weights. Raises ValueError for a share outside [0, 1)."""
    layers = flow.base_layers()
    missing = {}
    for name, layer in layers.items():
        made_for = layer.weight if before is None else before[name]
        wanted = made_for if layer.lora is None else made_for + layer.lora.delta()
        missing[name] = (wanted - held[name]).detach()
    ranks = spread_ranks(missing, {name: layer.weight.detach() for name, layer in layers.items()}, share)
    for name, layer in layers.items():
        layer.lora = LoRA.nearest(missing[name], ranks[name]) if ranks[name] else None


def spread_ranks(
    missing: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor], share: float
) -> dict[str, int]:
    """Rank of the LoRA of each layer, such that LoRA is at most `share` of all weights.

    missing: what the layers lack (n_out, n_in). Each singular value is worth its square, relative to the norm of its
    matrix, and costs n_out + n_in weights; the best bargains are taken as long as they fit.

    Raises ValueError for a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"share = {share:g}: must lie in [0, 1)")
    left = share / (1 - share) * sum(w.numel() for w in weights.values())
    bargains = sorted(
        (float((value / weights[name].norm()) ** 2) / sum(matrix.shape), name, sum(matrix.shape))
        for name, matrix in missing.items()
        for value in torch.linalg.svdvals(matrix)
    )
    ranks = dict.fromkeys(missing, 0)
    for _, name, cost in reversed(bargains):
        if cost <= left:
            ranks[name] += 1
            left -= cost
    return ranks


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
