"""What a flow multiplies for one configuration: matrices, vectors, MACs, and the LoRA beside them.

Counted from a `Flow`, or from the sizes of the paper's own network, which needs no training to be counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from anf.flows.flow import Flow
from anf.flows.matrix_form import matrix_form


@dataclass(frozen=True)
class LayerCount:
    """One base matrix (n_out, n_in) in an array, and the digital LoRA of `rank` beside it (0: none).

    vectors: input vectors for one configuration, all couplings together.
    uses: how often the layer comes into action for one configuration; each time it takes ``vectors / uses`` vectors.
    overcount: MACs counted for each one that is done.
    """

    name: str
    n_out: int
    n_in: int
    vectors: int
    uses: int
    rank: int = 0
    overcount: int = 1

    @property
    def weights(self) -> int:
        """Analog weights."""
        return self.n_out * self.n_in

    @property
    def macs(self) -> int:
        """Analog multiply-accumulate operations."""
        return self.vectors * self.weights * self.overcount

    @property
    def lora_weights(self) -> int:
        """Digital weights."""
        return self.rank * (self.n_out + self.n_in)

    @property
    def lora_macs(self) -> int:
        """Digital multiply-accumulate operations."""
        return self.vectors * self.lora_weights

    def tiles(self, array: tuple[int, int]) -> int:
        """Arrays of shape (n_sl, n_bl) that one product needs."""
        return math.ceil(self.n_out / array[0]) * math.ceil(self.n_in / array[1])


@dataclass(frozen=True)
class Totals:
    """Sums over layers: weights, and MACs for one configuration."""

    weights: int
    lora_weights: int
    macs: int
    lora_macs: int

    @property
    def analog_weights(self) -> float:
        """Fraction of the weights in arrays."""
        return self.weights / (self.weights + self.lora_weights)

    @property
    def analog_macs(self) -> float:
        """Fraction of the MACs in arrays."""
        return self.macs / (self.macs + self.lora_macs)


def totals(layers: Sequence[LayerCount]) -> Totals:
    """Sums over layers."""
    return Totals(
        sum(c.weights for c in layers), sum(c.lora_weights for c in layers),
        sum(c.macs for c in layers), sum(c.lora_macs for c in layers),
    )  # fmt: skip


def count(flow: Flow) -> tuple[LayerCount, ...]:
    """The base layers of a flow with the LoRA that they carry, in order of execution.

    Not counted: biases, time embedding, activations and site map, which are no MACs of a matrix.
    """
    vectors = flow.vectors_per_sample()
    return tuple(
        LayerCount(
            name,
            n_out=layer.weight.shape[0],
            n_in=layer.weight.shape[1],
            vectors=vectors[name],
            uses=flow.steps,
            rank=0 if layer.lora is None else layer.lora.a.shape[0],
        )
        for name, layer in flow.base_layers().items()
    )


@dataclass(frozen=True)
class PublishedMixer:
    """Sizes of the paper's mixer as its published code builds it (github.com/hustmeng/ANF, layers/mixer.py).

    3 × 3 convolution to `width` channels; P × P convolution with stride P; `blocks` mixer blocks with hidden widths
    `width` and LoRA of `rank`; transposed convolution, kernel and stride P, to 2·width; per-pixel FCs 2·width → width →
    width → 2. `steps` couplings share it.
    """

    side: int
    patch: int
    width: int
    blocks: int
    rank: int
    steps: int = 20

    def count(self, transposed: Literal["physical", "output pixels"]) -> tuple[LayerCount, ...]:
        """Its layers. `transposed`: MACs of the transposed convolution, as they are (kernel and stride are equal: one
        product per token), or as if each output pixel took one product, P² times as many."""
        if self.side % self.patch:
            raise ValueError(f"side {self.side}: must be a multiple of patch = {self.patch}")
        counts = []
        for name, layer, inputs, axis in self._layers():
            form = matrix_form(layer, axis=axis)
            n_out, n_in = form.matrix.shape
            vectors = len(form.vectors(torch.empty(inputs, device="meta")))
            rank = self.rank if name.startswith("blocks.") else 0
            over = self.patch**2 if name == "output" and transposed == "output pixels" else 1
            counts.append(LayerCount(name, n_out, n_in, vectors * self.steps, self.steps, rank, over))
        return tuple(counts)

    def _layers(self) -> Iterator[tuple[str, torch.nn.Module, tuple[int, ...], int]]:
        """Name, layer without numbers, shape of its input for one configuration, and the axis that a `Linear` acts
        on."""
        d, p, side, pixels = self.width, self.patch, self.side, self.side**2
        grid, tokens = side // p, (side // p) ** 2
        with torch.device("meta"):
            yield "conv", torch.nn.Conv2d(1, d, 3, padding=1), (1, 1, side, side), -1
            yield "embed", torch.nn.Conv2d(d, d, p, stride=p), (1, d, side, side), -1
            for i in range(self.blocks):
                yield f"blocks.{i}.w1", torch.nn.Linear(tokens, d), (1, tokens, d), 1
                yield f"blocks.{i}.w2", torch.nn.Linear(d, tokens), (1, d, d), 1
                yield f"blocks.{i}.w3", torch.nn.Linear(d, d), (1, tokens, d), -1
                yield f"blocks.{i}.w4", torch.nn.Linear(d, d), (1, tokens, d), -1
            yield "output", torch.nn.ConvTranspose2d(d, 2 * d, p, stride=p), (1, d, grid, grid), -1
            yield "pixel.0", torch.nn.Linear(2 * d, d), (1, pixels, 2 * d), -1
            yield "pixel.1", torch.nn.Linear(d, d), (1, pixels, d), -1
            yield "pixel.2", torch.nn.Linear(d, 2), (1, pixels, d), -1
