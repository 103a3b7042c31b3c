"""Errors of arrays to train against, as digital layers make them."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field

from anf.flows.layers import Engine


class TrainingNoise(BaseModel):
    """Array errors to train against, per cell, as fractions of a matrix's largest |weight| (its full scale)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    programming: float = Field(default=0.0, ge=0, description="fixed error of each cell, drawn anew every step")
    read: float = Field(default=0.0, ge=0, description="error of each cell in each product")


def noisy_engine(weight: torch.Tensor, noise: TrainingNoise, generator: torch.Generator) -> Engine:
    """A product with errors of the size `noise`: the programming error is drawn here, the read noise at every call.

    Independent errors of variance r^2 in the cells of a row add up to r |x| in its output, so one number per output is
    drawn. Differentiable in the input and in `weight`.
    """
    full_scale = weight.detach().abs().max()
    error = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
    programmed = weight + noise.programming * full_scale * error

    def product(x: torch.Tensor) -> torch.Tensor:
        y = x @ programmed.T
        if noise.read:
            drawn = torch.randn(y.shape, generator=generator, dtype=y.dtype)
            y = y + noise.read * full_scale * x.square().sum(-1, keepdim=True).sqrt() * drawn
        return y

    return product
