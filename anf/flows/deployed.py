"""A flow whose layers are, for a while, what arrays hold and execute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from anf.flows.flow import Flow
from anf.flows.layers import Engine


@contextmanager
def deployed(
    flow: Flow, effective_weights: Mapping[str, torch.Tensor], engines: Mapping[str, Engine] | None = None
) -> Iterator[None]:
    """Within this context the named layers have the weights (n_out, n_in) and engines given; then all is as before."""
    layers, engines = flow.base_layers(), engines or {}
    if unknown := (set(effective_weights) | set(engines)) - set(layers):
        raise ValueError(f"layers {sorted(unknown)} unknown, this flow has {list(layers)}")
    for name, weight in effective_weights.items():
        if weight.shape != layers[name].weight.shape or not torch.isfinite(weight).all():
            raise ValueError(
                f"effective weight of {name} has shape {tuple(weight.shape)}: needs finite values in "
                f"{tuple(layers[name].weight.shape)}"
            )
    before = {name: (layer.held, layer.engine) for name, layer in layers.items()}
    try:
        for name, weight in effective_weights.items():
            layers[name].held = weight.to(layers[name].weight.dtype)
        for name, engine in engines.items():
            layers[name].engine = engine
        yield
    finally:
        for name, (held, old) in before.items():
            layers[name].held, layers[name].engine = held, old
