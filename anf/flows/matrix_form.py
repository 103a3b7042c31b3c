"""Layers of torch as matrices with vectors, which is all that an array can multiply.

A `MatrixForm` has the matrix of a layer, cuts its input into the vectors that the matrix takes, and puts the products
together to the layer's output. Biases stay digital. Any network of these layers can be put on arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class MatrixForm:
    """matrix: (n_out, n_in). vectors: input of the layer -> (N, n_in). output: products (N, n_out), input -> output."""

    matrix: torch.Tensor
    vectors: Callable[[torch.Tensor], torch.Tensor]
    output: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

    def __call__(self, x: torch.Tensor, multiply: Callable[[torch.Tensor], torch.Tensor] | None = None) -> torch.Tensor:
        """The layer's output, without bias, with products by `multiply`, (N, n_in) -> (N, n_out), or digital."""
        vectors = self.vectors(x)
        return self.output(vectors @ self.matrix.T if multiply is None else multiply(vectors), x)


def matrix_form(layer: torch.nn.Module, *, axis: int = -1) -> MatrixForm:
    """The form of a `Linear`, `Conv2d` or `ConvTranspose2d`.

    axis: of the input that a `Linear` acts on. −1 is the features of a pixel or token; another is token mixing, with
    one vector for each channel.

    Raises ValueError for another layer, for groups, and for padding that is not zeros.
    """
    if isinstance(layer, torch.nn.Linear):
        return _linear(layer.weight, axis)
    if isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
        if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise ValueError(f"{layer}: only one group and zero padding given in numbers have a matrix form here")
        return _convolution(layer) if isinstance(layer, torch.nn.Conv2d) else _transposed(layer)
    raise ValueError(f"{type(layer).__name__} has no matrix form here: Linear, Conv2d and ConvTranspose2d have")


def _linear(weight: torch.Tensor, axis: int) -> MatrixForm:
    n_out, n_in = weight.shape

    def output(product: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        moved = x.movedim(axis, -1)
        return product.reshape(*moved.shape[:-1], n_out).movedim(-1, axis)

    return MatrixForm(weight, lambda x: x.movedim(axis, -1).reshape(-1, n_in), output)


def _convolution(layer: torch.nn.Conv2d) -> MatrixForm:
    """One vector per output pixel: what the kernel sees there."""
    kernel, stride, padding, dilation = (
        _pair(v) for v in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    n_out = layer.out_channels

    def vectors(x: torch.Tensor) -> torch.Tensor:
        seen = functional.unfold(x, kernel, dilation, padding, stride)
        return seen.transpose(1, 2).reshape(-1, seen.shape[1])

    def output(product: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        height, width = (
            (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
        )
        return product.reshape(len(x), height, width, n_out).permute(0, 3, 1, 2)

    return MatrixForm(layer.weight.reshape(n_out, -1), vectors, output)


def _transposed(layer: torch.nn.ConvTranspose2d) -> MatrixForm:
    """One vector per input pixel, of its channels; the products are patches, added where they overlap."""
    kernel, stride, padding, dilation, extra = (
        _pair(v) for v in (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.output_padding)
    )
    channels = layer.in_channels

    def output(product: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        height, width = (
            (x.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (kernel[i] - 1) + extra[i] + 1
            for i in (0, 1)
        )
        patches = product.reshape(len(x), -1, product.shape[-1]).transpose(1, 2)
        return functional.fold(patches, (height, width), kernel, dilation, padding, stride)

    return MatrixForm(
        layer.weight.reshape(channels, -1).T, lambda x: x.permute(0, 2, 3, 1).reshape(-1, channels), output
    )


def _pair(value: str | Sequence[int]) -> tuple[int, int]:
    """Two numbers, one for each axis, as torch keeps them."""
    first, second = (int(v) for v in value)
    return first, second
