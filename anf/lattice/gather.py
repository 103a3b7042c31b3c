"""Rows of a field in another order, with a backward pass that gathers too: several times faster than scattering."""

from __future__ import annotations

import torch


def gather(index: torch.Tensor, dim: int = 0) -> torch.nn.Module:
    """A module x (..., n, ...) -> x[index] (..., m, ...) along `dim`; `index` (m,) takes each row equally often.

    Raises ValueError if it does not.
    """
    counts = torch.bincount(index)
    if (counts != counts[0]).any():
        raise ValueError(f"index takes rows {counts.min()} to {counts.max()} times: must be equally often")
    if torch.equal(index, torch.arange(len(index))):
        return torch.nn.Identity()
    return _Gather(index, dim)


class _Gather(torch.nn.Module):
    index: torch.Tensor
    back: torch.Tensor

    def __init__(self, index: torch.Tensor, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("back", torch.argsort(index, stable=True), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _Select.apply(x, self.dim, self.index, self.back)


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, dim: int, index: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.dim, ctx.back, ctx.rows = dim, back, x.shape[dim]
        return x.index_select(dim, index)

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        grad = grad.index_select(ctx.dim, ctx.back)
        if grad.shape[ctx.dim] != ctx.rows:
            grad = grad.unflatten(ctx.dim, (ctx.rows, -1)).sum(ctx.dim + 1)
        return grad, None, None, None
