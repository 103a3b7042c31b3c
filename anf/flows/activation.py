"""Odd and even parts of a shifted tanh: the activations of the mixer, exact under z -> -z in floating point.

With e = exp(−2|z|) and N = 1 + e² + 2e cosh 2b,

    odd   ½ [tanh(z + b) + tanh(z − b)] = sign(z) (1 − e²) / N
    even  ½ [tanh(z + b) − tanh(z − b)] = 2e sinh 2b / N

and the derivatives are P = 4e (2e + (1 + e²) cosh 2b) / N² and Q = −4e (1 − e²) sign(z) sinh 2b / N²: with respect to z
and b, P and Q for the odd part, Q and P for the even one. One exponential of the field instead of two tanh, and one
pass over it: the activations are what most of the time of a flow is spent on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numba import njit

_compiled = njit(cache=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz", "arcp"})


def odd_part(z: torch.Tensor, shift: torch.Tensor, gain: torch.Tensor | None = None) -> torch.Tensor:
    """gain · (tanh(z + shift) + tanh(z - shift)) / 2, the odd part in z of tanh(z + shift).

    `shift` and `gain` (1 if None) broadcast to z and have one value for all of its last axis. |shift| < 40.
    """
    return _Part.apply(z, shift, shift.new_ones(1) if gain is None else gain, True)


def even_part(z: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """(tanh(z + shift) - tanh(z - shift)) / 2, the even part in z of tanh(z + shift); as `odd_part`."""
    return _Part.apply(z, shift, shift.new_ones(1), False)


@contextmanager
def field_alone() -> Iterator[None]:
    """Backward passes within this context give no gradients of shifts and gains, which a score does not need; autograd
    does not tell a function which of its inputs are asked for. They would be wrong, and must not be used."""
    _Part.field_alone = True
    try:
        yield
    finally:
        _Part.field_alone = False


class _Part(torch.autograd.Function):
    field_alone = False

    @staticmethod
    def forward(ctx, z: torch.Tensor, shift: torch.Tensor, gain: torch.Tensor, odd: bool) -> torch.Tensor:
        z = z.contiguous()
        e = z.abs().mul_(-2).exp_()
        rows = _rows(2 * shift, z)
        cosh, sinh, gains = torch.cosh(rows), torch.sinh(rows), _rows(gain, z)
        needed = any(ctx.needs_input_grad)
        out = torch.empty_like(e) if needed else e
        part = _odd if odd else _even
        part(_matrix(z), _matrix(e), _matrix(out), cosh.numpy(), sinh.numpy(), gains.numpy())
        if needed:
            ctx.odd, ctx.shapes = odd, (shift.shape, gain.shape)
            ctx.save_for_backward(z, e, cosh, sinh, gains)
        return out

    @staticmethod
    def backward(ctx, grad: torch.Tensor):
        z, e, cosh, sinh, gains = ctx.saved_tensors
        if _Part.field_alone:
            wrt_z = torch.empty_like(z)
            _pull_field(
                _matrix(z), _matrix(e), _matrix(grad.contiguous()), _matrix(wrt_z), cosh.numpy(), sinh.numpy(),
                gains.numpy(), ctx.odd,
            )  # fmt: skip
            return wrt_z, None, None, None
        wrt_z, wrt_shift, wrt_gain = torch.empty_like(z), torch.empty_like(cosh), torch.empty_like(cosh)
        _pull(
            _matrix(z), _matrix(e), _matrix(grad.contiguous()), _matrix(wrt_z), cosh.numpy(), sinh.numpy(),
            gains.numpy(), wrt_shift.numpy(), wrt_gain.numpy(), ctx.odd,
        )  # fmt: skip
        rows, (shift, gain) = (*z.shape[:-1], 1), ctx.shapes
        return wrt_z, wrt_shift.reshape(rows).sum_to_size(shift), wrt_gain.reshape(rows).sum_to_size(gain), None


def _rows(value: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return value.detach().expand(*z.shape[:-1], 1).reshape(-1)


def _matrix(tensor: torch.Tensor) -> np.ndarray:
    """Rows that share a shift, without a copy."""
    return tensor.detach().view(-1, tensor.shape[-1]).numpy()


@_compiled
def _odd(z: np.ndarray, e: np.ndarray, out: np.ndarray, cosh: np.ndarray, sinh: np.ndarray, gains: np.ndarray) -> None:
    one = z.dtype.type(1)
    for r in range(z.shape[0]):
        double, gain = cosh[r] + cosh[r], gains[r]
        for k in range(z.shape[1]):
            f = e[r, k]
            square = f * f
            out[r, k] = gain * math.copysign((one - square) / (one + square + f * double), z[r, k])


@_compiled
def _even(z: np.ndarray, e: np.ndarray, out: np.ndarray, cosh: np.ndarray, sinh: np.ndarray, gains: np.ndarray) -> None:
    one = z.dtype.type(1)
    for r in range(z.shape[0]):
        double, top = cosh[r] + cosh[r], gains[r] * (sinh[r] + sinh[r])
        for k in range(z.shape[1]):
            f = e[r, k]
            out[r, k] = f * top / (one + f * f + f * double)


@_compiled
def _pull(
    z: np.ndarray,
    e: np.ndarray,
    grad: np.ndarray,
    wrt_z: np.ndarray,
    cosh: np.ndarray,
    sinh: np.ndarray,
    gains: np.ndarray,
    wrt_shift: np.ndarray,
    wrt_gain: np.ndarray,
    odd: bool,
) -> None:
    one, four = z.dtype.type(1), z.dtype.type(4)
    for r in range(z.shape[0]):
        c, s, gain = cosh[r], sinh[r], gains[r]
        shifts = values = z.dtype.type(0)
        for k in range(z.shape[1]):
            f = e[r, k]
            square = f * f
            side = math.copysign(one - square, z[r, k])
            inverse = one / (one + square + (f + f) * c)
            slope = four * f * inverse * inverse * grad[r, k]
            p = slope * (f + f + (one + square) * c)
            q = -slope * s * side
            wrt_z[r, k] = gain * (p if odd else q)
            shifts += q if odd else p
            values += grad[r, k] * inverse * (side if odd else (f + f) * s)
        wrt_shift[r], wrt_gain[r] = gain * shifts, values


@_compiled
def _pull_field(
    z: np.ndarray,
    e: np.ndarray,
    grad: np.ndarray,
    wrt_z: np.ndarray,
    cosh: np.ndarray,
    sinh: np.ndarray,
    gains: np.ndarray,
    odd: bool,
) -> None:
    one, four = z.dtype.type(1), z.dtype.type(4)
    for r in range(z.shape[0]):
        c, top = cosh[r], four * gains[r]
        if odd:
            for k in range(z.shape[1]):
                f = e[r, k]
                square = f * f
                inverse = one / (one + square + (f + f) * c)
                wrt_z[r, k] = top * f * inverse * inverse * grad[r, k] * (f + f + (one + square) * c)
        else:
            top *= -sinh[r]
            for k in range(z.shape[1]):
                f = e[r, k]
                square = f * f
                inverse = one / (one + square + (f + f) * c)
                wrt_z[r, k] = top * f * inverse * inverse * grad[r, k] * math.copysign(one - square, z[r, k])
