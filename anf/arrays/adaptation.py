"""Adapting one base to another action, to the errors of an array, or to both: what is trained, what it costs, what it
gives."""

from __future__ import annotations

from dataclasses import dataclass
from time import process_time

import torch

from anf.arrays.array_model import ModelledArrays
from anf.arrays.simulated import ArrayNoise
from anf.arrays.tuning import correct, held_weights
from anf.flows.deployed import deployed
from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.training.evaluation import evaluate
from anf.training.finetuning import finetune
from anf.training.loop import TrainingConfig, group_sizes

SMALL = ("lora", "base", "site")
"""What `xbar finetune` trains unless told otherwise: LoRA, the Gaussian's spectrum and the site maps."""


@dataclass(frozen=True)
class Adapted:
    """One adaptation. Weights are counted as cells in arrays, all entries of a circulant matrix, and digital numbers.

    ess_before, ess_after: reverse, over fresh proposals.
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
    rank: int = 1,
    groups: tuple[str, ...] = SMALL,
    arrays: ModelledArrays | None = None,
    share: float = 0.06,
    proposals: int = 65_536,
) -> Adapted:
    """Add LoRA and train `groups` of the digital part, in place, for `action`, or for what `arrays` hold, or for both.

    Without arrays LoRA of `rank` (0: none) sits in the mixer blocks; with them it starts as the best correction for
    what they hold, within `share` of the weights, and both ESS are those of products through them with all noise on.
    Raises what `finetune` raises.
    """
    flow.aim(action)
    generator = torch.Generator().manual_seed(config.seed)
    engines = {} if arrays is None else arrays.simulated(ArrayNoise(), generator)
    held = {} if arrays is None else held_weights(flow, arrays.simulated)
    with deployed(flow, {}, engines):
        before = evaluate(flow, action, proposals, seed=config.seed + 1)
    if arrays is not None:
        correct(flow, held, share)
    elif rank:
        flow.add_lora(rank, config.seed)
    start = process_time()
    finetune(flow, action, config, groups=groups, effective_weights=held)
    cpu_s = process_time() - start
    with deployed(flow, {}, engines):
        after = evaluate(flow, action, proposals, seed=config.seed + 1)
    trained = sum(group_sizes(flow)[group] for group in groups)
    return Adapted(before.ess, after.ess, trained, trained / weights(flow), cpu_s)
