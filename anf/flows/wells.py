"""White noise whose zero mode has many wells: the start of a flow for an action whose field freezes in one of them.

Training by the reverse KL stays in the wells that a flow begins with, so it must begin with all of them.
"""

from __future__ import annotations

import math

import torch

from anf.flows.gaussian import GaussianBase
from anf.lattice.actions import Action

SPACING = 4.0
"""Distance of the wells to begin with, in their own standard deviations. Wider apart, nothing lies between them, where
the field has its walls, and training doesn't find it."""
_REACH = 10.0
"""Beyond the outermost well by this many standard deviations there is no draw."""


class Wells(torch.nn.Module):
    """The zero mode ζ = Σ z / √N of white z (N, n) goes to the ζ' at which Σ_k w_k Φ(ζ' − k d) is Φ(ζ); k = −K … K.

    All else stays. The map is monotone and odd; its density is known in closed form. Nothing in it is trained.
    """

    spacing: torch.Tensor
    log_weight: torch.Tensor

    def __init__(self, count: int) -> None:
        """count: K, wells on either side of the middle."""
        super().__init__()
        self.count = count
        self.register_buffer("spacing", torch.zeros((), dtype=torch.float64))
        self.register_buffer("log_weight", torch.zeros(2 * count + 1, dtype=torch.float64))

    def start(self, base: GaussianBase, action: Action, sites: int) -> None:
        """Give a base on `sites` sites the free spectrum of `action`, and a zero mode with wells `SPACING` apart.

        Raises ValueError for an action without a shift.
        """
        amplitude = action.shift * math.sqrt(sites) / SPACING
        k = action.free_spectrum().copy()
        k[0, 0] = k[0, 1]
        base.take(k)
        base.set_zero_mode(amplitude)
        self.follow(action, base.zero_mode, sites)

    def follow(self, action: Action, amplitude: float, sites: int) -> None:
        """Wells `action.shift` apart, weighted by what a uniform shift costs, for a base x = a z with zero mode a =
        amplitude on `sites` sites. Raises ValueError for an action without a shift."""
        k = torch.arange(-self.count, self.count + 1, dtype=torch.float64)
        cost = 0.5 * action.volume * float(action.free_spectrum()[0, 0]) * (action.shift * k) ** 2
        self.spacing.fill_(action.shift * math.sqrt(sites) / amplitude)
        self.log_weight.copy_(torch.log_softmax(-cost, 0))

    def forward(self, white: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """White z (N, n) -> z' (N, n), its log density (n,) float64, and the gradient of that by z' (N, n)."""
        root = math.sqrt(len(white))
        zeta = white.sum(0, dtype=torch.float64) / root
        spread = torch.sign(zeta) * self._from_tail(_tail(zeta.abs()))
        image = white + ((spread - zeta) / root).to(white.dtype)
        log_density, pull = self._density(image)
        return image, log_density, (pull / root).to(white.dtype) - image

    def inverse(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z' (N, n) -> white z (N, n) and the log density of z' (n,) float64."""
        root = math.sqrt(len(image))
        spread = image.sum(0, dtype=torch.float64) / root
        tail = (self.log_weight.exp() * _tail(spread.abs()[:, None] - self._centres())).sum(1)
        zeta = torch.sign(spread) * -torch.special.ndtri(tail)
        return image + ((zeta - spread) / root).to(image.dtype), self._density(image)[0]

    def _density(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """log density of z' (n,), and its gradient by ζ' with that of a normal number taken off."""
        zeta = image.sum(0, dtype=torch.float64) / math.sqrt(len(image))
        apart = zeta[:, None] - self._centres()
        terms = self.log_weight - 0.5 * apart**2
        white = -0.5 * (image.double() ** 2).sum(0) - 0.5 * len(image) * math.log(2 * math.pi)
        pull = zeta - (torch.softmax(terms, 1) * apart).sum(1)
        return white + 0.5 * zeta**2 + torch.logsumexp(terms, 1), pull

    def _centres(self) -> torch.Tensor:
        return self.spacing.double() * torch.arange(-self.count, self.count + 1, dtype=torch.float64)

    def _from_tail(self, tail: torch.Tensor) -> torch.Tensor:
        """ζ' ≥ 0 with that probability above it, by bisection to the resolution of a double."""
        weight, centres = self.log_weight.exp(), self._centres()
        low, high = torch.zeros_like(tail), torch.full_like(tail, float(centres[-1]) + _REACH)
        for _ in range(55):
            middle = 0.5 * (low + high)
            above = (weight * _tail(middle[:, None] - centres)).sum(1) > tail
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        return 0.5 * (low + high)


def _tail(x: torch.Tensor) -> torch.Tensor:
    """Probability of a normal number above x."""
    return 0.5 * torch.special.erfc(x / math.sqrt(2.0))
