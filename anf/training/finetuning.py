"""Fine-tuning of the digital part, for other couplings or for what arrays hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from anf.flows.deployed import deployed
from anf.flows.flow import Flow
from anf.flows.layers import Engine
from anf.lattice.actions import Action
from anf.training.loop import DIGITAL, TrainingConfig, TrainingResult, train


def finetune(
    flow: Flow,
    action: Action,
    config: TrainingConfig,
    *,
    groups: Iterable[str] = DIGITAL,
    effective_weights: Mapping[str, torch.Tensor] | None = None,
    engines: Mapping[str, Engine] | None = None,
    **options,
) -> TrainingResult:
    """Train the digital parts only, on the base weights as they are: for other couplings, or for a programmed chip.

    effective_weights: by layer name, the weights (n_out, n_in) that the array really holds; layers not named are exact.
    engines: by layer name, differentiable products to train through (with read noise, say); they take precedence.
    Both hold during the training only: base weights and engines of the flow are afterwards what they were before.
    Path gradients stay valid with noisy engines: score and map come from one evaluation (`anf.flows.path_gradient`).
    `options` are those of `train`, whose errors are raised too.
    """
    if "weights" in (groups := tuple(groups)):
        raise ValueError("groups = weights: fine-tuning leaves the base weights alone; use train")
    with deployed(flow, effective_weights or {}, engines or {}):
        return train(flow, action, config, groups=groups, **options)
