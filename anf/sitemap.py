"""A monotone map of each site by itself: the optional, digital second half of a coupling (docs/decisions/0023)."""

from __future__ import annotations

import torch


class SiteMap(torch.nn.Module):
    """f(y) = a (y + c tanh(k y) / k) with a, k > 0 and 1 + c = exp(gamma + s) > 0: odd in y, monotone.

    a, gamma and k belong to the coupling step; s is given per site by the network (even in the field), so the shape of
    the conditional density follows the frozen neighbours. With its parameters and s at zero the map is the identity.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.log_a = torch.nn.Parameter(torch.zeros(steps))
        self.gamma = torch.nn.Parameter(torch.zeros(steps))
        self.log_k = torch.nn.Parameter(torch.zeros(steps))

    def forward(self, y: torch.Tensor, s: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """f(y) and log f'(y); y, s and both results have one shape."""
        a, c, k = self._coefficients(s, step)
        t = torch.tanh(k * y)
        return a * (y + c * t / k), self.log_a[step] + torch.log1p(c * (1 - t * t))

    def pull(
        self, score: torch.Tensor, y: torch.Tensor, s: torch.Tensor, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """d/df, and d/ds at fixed f, of log q(f) = log q(y) - log f'(y); `score` is d log q / dy."""
        a, c, k = self._coefficients(s, step)
        t = torch.tanh(k * y)
        sech2 = 1 - t * t
        slope = 1 + c * sech2
        wrt_f = (score + 2 * c * k * sech2 * t / slope) / (a * slope)
        return wrt_f, -(1 + c) * (wrt_f * a * t / k + sech2 / slope)

    def inverse(self, f: torch.Tensor, s: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """y with f(y) = f, and log f'(y). Newton steps within a shrinking bracket, on |f|: exactly odd in f."""
        a, c, k = self._coefficients(s, step)
        target = f.abs() / a
        # y + (c/k) tanh(ky) = target with y >= 0, where the tanh term lies between 0 and c/k.
        low, high = (target - (c / k).clamp(min=0)).clamp(min=0), target - (c / k).clamp(max=0)
        y = 0.5 * (low + high)
        for _ in range(_MAX_ITERATIONS):
            t = torch.tanh(k * y)
            residual = y + c * t / k - target
            low, high = torch.where(residual < 0, y, low), torch.where(residual < 0, high, y)
            newton = y - residual / (1 + c * (1 - t * t))
            following = torch.where((newton > low) & (newton < high), newton, 0.5 * (low + high))
            if torch.equal(following, y):
                break
            y = following
        t = torch.tanh(k * y)
        return torch.sign(f) * y, self.log_a[step] + torch.log1p(c * (1 - t * t))

    def _coefficients(self, s: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return torch.exp(self.log_a[step]), torch.expm1(self.gamma[step] + s), torch.exp(self.log_k[step])


_MAX_ITERATIONS = 100  # bisection alone reaches float64 resolution in about 60
