"""Odd and even parts of a shifted tanh: the activations of the mixer, exact under z -> -z in floating point."""

from __future__ import annotations

import torch


def odd_part(z: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """(tanh(z + shift) + tanh(z - shift)) / 2, the odd part in z of tanh(z + shift). `shift` broadcasts to z."""
    return _Part.apply(z, shift, 1.0)


def even_part(z: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """(tanh(z + shift) - tanh(z - shift)) / 2, the even part in z of tanh(z + shift). `shift` broadcasts to z."""
    return _Part.apply(z, shift, -1.0)


class _Part(torch.autograd.Function):
    """(u + sign v) / 2 with u, v = tanh(z +- shift). One fused backward: the activations dominate a training step."""

    @staticmethod
    def forward(ctx, z: torch.Tensor, shift: torch.Tensor, sign: float) -> torch.Tensor:
        u, v = (z + shift).tanh_(), (z - shift).tanh_()
        out = torch.add(u, v, alpha=sign).mul_(0.5)
        u.square_()
        v.square_()
        # d/dz = [(1 - u^2) + sign (1 - v^2)] / 2 and d/dshift = [(1 - u^2) - sign (1 - v^2)] / 2
        total, difference = torch.add(u, v).mul_(-0.5).add_(1.0), torch.sub(v, u).mul_(0.5)
        ctx.shift_shape = shift.shape
        ctx.save_for_backward(*((total, difference) if sign > 0 else (difference, total)))
        return out

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        wrt_z, wrt_shift = ctx.saved_tensors
        grad_z = grad * wrt_z if ctx.needs_input_grad[0] else None
        grad_shift = (grad * wrt_shift).sum_to_size(ctx.shift_shape) if ctx.needs_input_grad[1] else None
        return grad_z, grad_shift, None
