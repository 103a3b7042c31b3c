"""What a flow multiplies for one configuration: matrices, vectors, MACs, and the LoRA beside them.

Counted from a `Flow`, or from the sizes of the paper's own network, which needs no training to be counted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from anf.flows.flow import Flow


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
        d, area = self.width, self.patch**2
        pixels, tokens = self.side**2, self.side**2 // area
        lora, counted = self.rank, area if transposed == "output pixels" else 1
        sizes = [("conv", d, 9, pixels, 0, 1), ("embed", d, d * area, tokens, 0, 1)]
        for i in range(self.blocks):
            sizes += [
                (f"blocks.{i}.w1", d, tokens, d, lora, 1), (f"blocks.{i}.w2", tokens, d, d, lora, 1),
                (f"blocks.{i}.w3", d, d, tokens, lora, 1), (f"blocks.{i}.w4", d, d, tokens, lora, 1),
            ]  # fmt: skip
        sizes += [
            ("output", 2 * d * area, d, tokens, 0, counted),
            ("pixel.0", d, 2 * d, pixels, 0, 1), ("pixel.1", d, d, pixels, 0, 1), ("pixel.2", 2, d, pixels, 0, 1),
        ]  # fmt: skip
        return tuple(LayerCount(n, o, i, v * self.steps, self.steps, r, c) for n, o, i, v, r, c in sizes)
