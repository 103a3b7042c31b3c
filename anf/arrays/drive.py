"""How input vectors become voltages: scaled to the full input range, and cut into slices if that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Drive:
    """Vectors x become drives u in [−1, 1], full scale being the largest input voltage.

    full_scale: largest |input|, calibrated (`tuning.calibrated_drives`). Larger ones are clipped, and counted.
        None: every vector is driven at its own full scale, ``u = x / max|x|``. The array is linear, so this costs
        nothing, never clips, and gives every vector the same signal over the converters' noise.
    slices: drives per vector. With two or more the first is u rounded to 2^−`bits`, the next what was lost, driven at
        full scale again, and so on: finer than the DACs are.
    clipped, driven: inputs so far.
    """

    full_scale: float | None = None
    slices: int = 1
    bits: int = 6
    clipped: int = 0
    driven: int = 0

    def __post_init__(self) -> None:
        if self.full_scale is not None and not 0 < self.full_scale < float("inf"):
            raise ValueError(f"full_scale = {self.full_scale:g}: must be positive and finite")
        if self.slices < 1 or self.bits < 1:
            raise ValueError(f"slices = {self.slices}, bits = {self.bits}: both must be at least 1")

    @property
    def clipped_fraction(self) -> float:
        """Share of the inputs so far that were clipped."""
        return self.clipped / self.driven if self.driven else 0.0

    def scale(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | float]:
        """x (…, n_in) -> u (…, n_in) and what a unit of u stands for, (…, 1) or a number."""
        if self.full_scale is None:
            peak = x.detach().abs().amax(-1, keepdim=True)
            # A vector of zeros has no scale: any will do.
            peak = peak.masked_fill_(peak == 0, 1.0)
            return x / peak, peak
        beyond = int((x.detach().abs() > self.full_scale).sum())
        self.driven += x.numel()
        self.clipped += beyond
        u = x / self.full_scale
        return (u.clamp(-1, 1) if beyond else u), self.full_scale

    def split(self, u: torch.Tensor) -> list[tuple[torch.Tensor, float]]:
        """Drives in [−1, 1], each with its weight: u is their weighted sum."""
        parts, weight, step = [], 1.0, 2.0**-self.bits
        for _ in range(self.slices - 1):
            coarse = (u.detach() / step).round() * step
            parts.append((coarse, weight))
            u, weight = (u - coarse) / (step / 2), weight * step / 2
        return [*parts, (u, weight)]
