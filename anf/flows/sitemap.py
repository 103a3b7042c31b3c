"""A monotone map of each site by itself: the optional, digital second half of a coupling (docs/decisions/0023)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch

Kind = Literal["tanh", "sine"]
Bump = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class SiteMap(torch.nn.Module, ABC):
    """f(y) = a (y + c b(y)) with a > 0, a bump b that is odd with slope at most 1 in magnitude, 1 + c b' > 0.

    a, and what shapes b, belong to the coupling step; c(s) takes s per site from the network (even in the field), so
    that the conditional density follows the frozen sites. With its parameters and s at zero the map is the identity.
    """

    def __init__(self, steps: int, log_k: float) -> None:
        """1/k is the width of the bump."""
        super().__init__()
        self.log_a = torch.nn.Parameter(torch.zeros(steps))
        self.gamma = torch.nn.Parameter(torch.zeros(steps))
        self.log_k = torch.nn.Parameter(torch.full((steps,), log_k))

    @abstractmethod
    def _strength(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """c and dc/dt at t = gamma + s."""

    @abstractmethod
    def _bump(self, y: torch.Tensor, k: torch.Tensor) -> Bump:
        """b, b' and b'' at y."""

    def forward(self, y: torch.Tensor, s: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """f(y) and log f'(y); y, s and both results have one shape."""
        c, _ = self._strength(self.gamma[step] + s)
        b, slope, _ = self._bump(y, torch.exp(self.log_k[step]))
        return torch.exp(self.log_a[step]) * (y + c * b), self.log_a[step] + torch.log1p(c * slope)

    def pull(
        self, score: torch.Tensor, y: torch.Tensor, s: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """d/df, and d/ds at fixed f, of log q(f) = log q(y) - log f'(y); `score` is d log q / dy."""
        a, (c, change) = torch.exp(self.log_a[step]), self._strength(self.gamma[step] + s)
        b, b1, b2 = self._bump(y, torch.exp(self.log_k[step]))
        slope = 1 + c * b1
        wrt_f = (score - c * b2 / slope) / (a * slope)
        return wrt_f, -change * (wrt_f * a * b + b1 / slope)

    def inverse(self, f: torch.Tensor, s: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """y with f(y) = f, and log f'(y). Newton steps within a shrinking bracket, on |f|: exactly odd in f."""
        a, k = torch.exp(self.log_a[step]), torch.exp(self.log_k[step])
        c, _ = self._strength(self.gamma[step] + s)
        target, reach = f.abs() / a, c.abs() / k
        low, high = (target - reach).clamp(min=0), target + reach
        y = 0.5 * (low + high)
        for _ in range(_MAX_ITERATIONS):
            b, slope, _ = self._bump(y, k)
            residual = y + c * b - target
            low, high = torch.where(residual < 0, y, low), torch.where(residual < 0, high, y)
            newton = y - residual / (1 + c * slope)
            following = torch.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
            if torch.equal(following, y):
                break
            y = following
        return torch.sign(f) * y, self.log_a[step] + torch.log1p(c * self._bump(y, k)[1])


class TanhMap(SiteMap):
    """b = tanh(ky) / k and 1 + c = exp(gamma + s): two wells out of one, or one out of two."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps, 0.0)

    def _strength(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        c = torch.expm1(t)
        return c, 1 + c

    def _bump(self, y: torch.Tensor, k: torch.Tensor) -> Bump:
        t = torch.tanh(k * y)
        slope = 1 - t * t
        return t / k, slope, -2 * k * t * slope


class SineMap(SiteMap):
    """b = sin(ky) / k and c = LARGEST tanh(gamma + s), k starting at 2√π: the many wells of a graphene wire."""

    LARGEST = 0.98

    def __init__(self, steps: int) -> None:
        super().__init__(steps, math.log(2 * math.sqrt(math.pi)))

    def _strength(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tanh = torch.tanh(t)
        return self.LARGEST * tanh, self.LARGEST * (1 - tanh * tanh)

    def _bump(self, y: torch.Tensor, k: torch.Tensor) -> Bump:
        sine, cosine = torch.sin(k * y), torch.cos(k * y)
        return sine / k, cosine, -k * sine


SITE_MAPS: dict[Kind, type[TanhMap] | type[SineMap]] = {"tanh": TanhMap, "sine": SineMap}

_MAX_ITERATIONS = 100  # bisection alone reaches float64 resolution in about 60
