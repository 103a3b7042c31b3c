"""A monotone map of each site by itself: the digital, optional part of a coupling (docs/decisions/0023)."""

from __future__ import annotations

import torch


class SiteMap(torch.nn.Module):
    """f_t(y) = a (y + c tanh(k y) / k), with a, k > 0 and c > -1 per step t: odd, monotone, slope closed-form.

    It gives each site the double well that affine couplings can only build up over many steps. Parameters are
    log a, log(1 + c) and log k; a fresh map is the identity. No array is involved.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.log_a = torch.nn.Parameter(torch.zeros(steps))
        self.log_1c = torch.nn.Parameter(torch.zeros(steps))
        self.log_k = torch.nn.Parameter(torch.zeros(steps))

    def forward(self, y: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """f(y) and log f'(y), shaped as y."""
        a, c, k = self._coefficients(step)
        t = torch.tanh(k * y)
        return a * (y + (c / k) * t), self.log_a[step] + torch.log1p(c * (1 - t * t))

    def push_score(self, score: torch.Tensor, y: torch.Tensor, step: int) -> torch.Tensor:
        """d log q(f) / df from `score` = d log q(y) / dy: (score - d log f' / dy) / f'."""
        a, c, k = self._coefficients(step)
        t = torch.tanh(k * y)
        sech2 = 1 - t * t
        slope = 1 + c * sech2
        return (score + 2 * c * k * sech2 * t / slope) / (a * slope)

    def inverse(self, f: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """y with f(y) = f, and log f'(y). Newton steps kept within a bracket; exactly odd in f."""
        a, c, k = self._coefficients(step)
        target = f.abs() / a
        # y + (c/k) tanh(ky) = target, y >= 0: the tanh term lies between 0 and c/k.
        shift = (c / k).expand_as(target)
        low = (target - shift.clamp(min=0)).clamp(min=0)
        high = target - shift.clamp(max=0)
        y = 0.5 * (low + high)
        for _ in range(100):
            t = torch.tanh(k * y)
            residual = y + (c / k) * t - target
            low, high = torch.where(residual < 0, y, low), torch.where(residual < 0, high, y)
            newton = y - residual / (1 + c * (1 - t * t))
            y_next = torch.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
            if torch.equal(y_next, y):
                break
            y = y_next
        t = torch.tanh(k * y)
        return torch.sign(f) * y, self.log_a[step] + torch.log1p(c * (1 - t * t))

    def _coefficients(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return torch.exp(self.log_a[step]), torch.expm1(self.log_1c[step]), torch.exp(self.log_k[step])
