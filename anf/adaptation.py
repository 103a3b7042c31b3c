"""Adapting one base to another action, to the errors of an array, or to both: what is trained, what it costs, what it
gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import process_time

import torch

from anf.actions import Action
from anf.flow import Flow
from anf.lora import LoRA
from anf.training import TrainingConfig, deployed, evaluate, finetune, group_sizes

SMALL = ("lora", "base", "site")
"""What `xbar finetune` trains unless told otherwise: LoRA, the Gaussian's spectrum and the site maps."""


@dataclass(frozen=True)
class Adapted:
    """One adaptation. Weights are counted as cells in arrays, all entries of a circulant matrix, and digital numbers.

    ess_before, ess_after: reverse, over fresh proposals, on the weights that were held.
    trained: numbers that were trained.  share: of all weights of the flow.  cpu_s: CPU time of the training.
    """

    ess_before: float
    ess_after: float
    trained: int
    share: float
    cpu_s: float


def weights(flow: Flow) -> int:
    """All weights of a flow: cells in arrays and digital numbers."""
    cells = sum(layer.weight.numel() for layer in flow.base_layers().values())
    return cells + sum(n for group, n in group_sizes(flow).items() if group != "weights")


def adapt(
    flow: Flow,
    action: Action,
    config: TrainingConfig,
    *,
    rank: int,
    groups: tuple[str, ...] = SMALL,
    layers: list[str] | None = None,
    held: Mapping[str, torch.Tensor] | None = None,
    proposals: int = 65_536,
) -> Adapted:
    """Add LoRA of `rank` to `layers` (by default those of the mixer blocks) and train `groups`, in place.

    held: by layer name, the weights that an array really holds. The LoRA beside such a layer starts as the best
    correction of its rank. Rank 0 adds none. Raises what `finetune` raises.
    """
    held = held or {}
    flow.aim(action)
    with deployed(flow, held):
        before = evaluate(flow, action, proposals, seed=config.seed + 1)
    if rank:
        flow.add_lora(rank, config.seed, layers)
        for name, weight in held.items():
            layer = flow.base_layers()[name]
            if layer.lora is not None:
                layer.lora = LoRA.nearest(layer.weight - weight, rank)
    start = process_time()
    finetune(flow, action, config, groups=groups, effective_weights=held)
    cpu_s = process_time() - start
    with deployed(flow, held):
        after = evaluate(flow, action, proposals, seed=config.seed + 1)
    trained = sum(group_sizes(flow)[group] for group in groups)
    return Adapted(before.ess, after.ess, trained, trained / weights(flow), cpu_s)
