"""Token-mixing matrices that commute with translations of the lattice (docs/decisions/0060)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn.utils.parametrize import register_parametrization

from anf.flows.layers import BaseLinear

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
        total = weight.new_zeros(len(self.scale)).index_add_(0, self.index.reshape(-1), weight.detach().reshape(-1))
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
    """The kernel on a larger grid that has the same entries of W at the same signed offsets, and none beyond."""
    entries = (kernel.double().numpy() * scale(grid)).reshape(grid)
    return torch.from_numpy(enlarge(entries, larger).reshape(-1) / scale(larger)).to(kernel.dtype)


def enlarge(entries: np.ndarray, larger: tuple[int, int]) -> np.ndarray:
    """A function of the offset on a periodic grid, (nx, ny), on a larger one: offset by offset, zero farther out.

    An offset of half a period is one of both signs: its entry is shared between them.
    """
    nx, ny = entries.shape
    out = np.zeros(larger)
    for dx in range(-(nx // 2), nx // 2 + 1):
        for dy in range(-(ny // 2), ny // 2 + 1):
            shared = (2 if 2 * abs(dx) == nx else 1) * (2 if 2 * abs(dy) == ny else 1)
            out[dx % larger[0], dy % larger[1]] += entries[dx % nx, dy % ny] / shared
    return out
