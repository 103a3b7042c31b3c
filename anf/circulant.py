"""Token-mixing matrices that commute with translations of the lattice (docs/decisions/0060)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.utils.parametrize import register_parametrization

from anf.layers import BaseLinear

RANGE = 2.0
"""Tokens over which `Circulant.scale` falls by a factor e."""


class Circulant(torch.nn.Module):
    """The matrix W[s, s'] = scale(d) · kernel(d), d = s − s' on a periodic grid (nx, ny) of tokens, row-major.

    An array holds it as it holds any other, entry by entry; the free parameters are the kernel's. The scale falls with
    the distance, so that far entries start small and learn slowly.
    """

    index: torch.Tensor
    scale: torch.Tensor

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        nx, ny = grid
        x, y = (axis.reshape(-1) for axis in np.indices(grid))
        index = (x[:, None] - x) % nx * ny + (y[:, None] - y) % ny
        self.register_buffer("index", torch.from_numpy(index), persistent=False)
        self.register_buffer("scale", torch.from_numpy(scale(grid)).float(), persistent=False)

    def forward(self, kernel: torch.Tensor) -> torch.Tensor:
        """kernel (tokens,) -> W (tokens, tokens)."""
        return (self.scale * kernel)[self.index]

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        """The kernel of the circulant matrix nearest to `weight`."""
        total = torch.zeros_like(self.scale).index_add_(0, self.index.reshape(-1), weight.detach().reshape(-1))
        return total / (len(weight) * self.scale)


def scale(grid: tuple[int, int]) -> np.ndarray:
    """exp(−distance / RANGE) on the periodic grid, (nx · ny,)."""
    near = (np.minimum(i, n - i) for i, n in zip(np.indices(grid), grid, strict=True))
    return np.exp(-np.hypot(*near) / RANGE).reshape(-1)


def circulant_linear(grid: tuple[int, int], name: str, generator: torch.Generator) -> BaseLinear:
    """A layer (tokens -> tokens) whose weight is circulant, each output of unit variance for unit inputs at first."""
    layer = BaseLinear(grid[0] * grid[1], grid[0] * grid[1], name, generator)
    circulant = Circulant(grid)
    kernel = torch.randn(len(circulant.scale), generator=generator) / circulant.scale.norm()
    with torch.no_grad():
        layer.weight.copy_(circulant(kernel))
    register_parametrization(layer, "weight", circulant)
    return layer


def enlarge_kernel(kernel: torch.Tensor, grid: tuple[int, int], larger: tuple[int, int]) -> torch.Tensor:
    """The kernel on a larger grid that has the same entries at the same signed offsets, and none beyond.

    An offset of half a period is one of both signs: its entry is shared between them.
    """
    old = (torch.from_numpy(scale(grid)).to(kernel) * kernel).reshape(grid)
    new = torch.zeros(larger, dtype=kernel.dtype)
    for dx in range(-(grid[0] // 2), grid[0] // 2 + 1):
        for dy in range(-(grid[1] // 2), grid[1] // 2 + 1):
            shared = (2 if 2 * abs(dx) == grid[0] else 1) * (2 if 2 * abs(dy) == grid[1] else 1)
            new[dx % larger[0], dy % larger[1]] += old[dx % grid[0], dy % grid[1]] / shared
    return new.reshape(-1) / torch.from_numpy(scale(larger)).to(kernel)
