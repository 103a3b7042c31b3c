"""The base-weight layer: the one place where the flow meets an array."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from anf.flows.lora import LoRA

Engine = Callable[[torch.Tensor], torch.Tensor]


class BaseLinear(torch.nn.Module):
    """y = x W^T with the base weight W (n_out, n_in) that lives in an array.

    There is no bias: biases, time embedding and LoRA are digital. ``engine`` is None for a digital product; otherwise
    it is called with every vector of the layer as one batch (n_vectors, n_in) and returns (n_vectors, n_out), whatever
    executes it: a simulated array, a board. It must be differentiable if the flow is to be trained through it.

    ``held``, where an array is known to hold other weights (n_out, n_in) than it should, takes the place of W.

    ``name`` is the dotted path of the layer within its flow; placement plans and weight files use it.
    """

    def __init__(self, n_in: int, n_out: int, name: str, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.name = name
        self.weight = torch.nn.Parameter(torch.randn(n_out, n_in, generator=generator) / n_in**0.5)
        self.lora: LoRA | None = None
        self.engine: Engine | None = None
        self.held: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., n_in) -> (..., n_out)."""
        if self.engine is None:
            return x @ self.digital_weight().T
        n_out, n_in = self.weight.shape
        y = self.engine(x.reshape(-1, n_in)).reshape(*x.shape[:-1], n_out)
        return y if self.lora is None else y + self.lora(x)

    def columns(self, x: torch.Tensor) -> torch.Tensor:
        """The same product on column vectors: x (groups, n_in, n_columns) -> (groups, n_out, n_columns).

        The flow keeps its batch in the last, contiguous dimension, where a digital product is one wide GEMM.
        """
        if self.engine is None:
            weight = self.digital_weight()
            # For one group this is a single GEMM; matmul of a matrix by a 3-D tensor would copy x.
            return torch.bmm(weight.expand(x.shape[0], *weight.shape), x)
        return self(x.transpose(1, 2)).transpose(1, 2)

    def digital_weight(self) -> torch.Tensor:
        """W, or what is held instead, with the LoRA, (n_out, n_in)."""
        weight = self.weight if self.held is None else self.held
        return weight if self.lora is None else weight + self.lora.delta()


def side_by_side(layers: Sequence[BaseLinear], x: torch.Tensor) -> torch.Tensor:
    """Each layer's product with its own part: x (layers, n_in, n_columns) -> (layers, n_out, n_columns), equal sizes.

    The parts need not be contiguous: digital layers read them where they are.
    """
    if all(layer.engine is None for layer in layers):
        return torch.bmm(torch.stack([layer.digital_weight() for layer in layers]), x)
    return torch.cat([layer.columns(part) for layer, part in zip(layers, x.split(1), strict=True)])
