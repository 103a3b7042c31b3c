"""The Gaussian that a flow starts from: white, or with a spectrum that begins at the action's own and is fitted."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import brentq

from anf.flows.circulant import enlarge
from anf.lattice.actions import Action
from anf.lattice.checkerboard import Checkerboard


class GaussianBase(torch.nn.Module):
    """x = A z for white z, with A diagonal in momentum: x (sites, n), the even half first, or the even half alone.

    ``log_amplitude``: ln a(p), one number for all momenta that reflections and, on a square lattice, the exchange of
    the axes connect. On the even half p and p + (π, π) are the same momentum. It starts at zero, white.
    """

    def __init__(self, board: Checkerboard, completed: bool) -> None:
        super().__init__()
        self.shape, self.completed = board.shape, completed
        own = board.even if completed else np.concatenate([board.even, board.odd])
        self._place = torch.from_numpy(np.ravel_multi_index(tuple(own.T), board.shape))
        orbit, count = _orbits(board.shape, completed)
        self._orbit = torch.from_numpy(orbit)
        self.log_amplitude = torch.nn.Parameter(torch.zeros(count))

    @torch.no_grad()
    def follow(self, action: Action) -> None:
        """Take the spectrum from the Gaussian that is nearest to the action (`hartree_spectrum`)."""
        self.take(hartree_spectrum(action))

    @torch.no_grad()
    def take(self, k: np.ndarray) -> None:
        """Take the spectrum K (Lx, Ly) of a Gaussian on the whole lattice, in FFT order."""
        if self.completed:
            # The odd sites integrated out: K(p) K(p + π) over the mean of both, which no hopping depends on.
            other = np.roll(k, tuple(n // 2 for n in self.shape), (0, 1))
            k = 2 * k * other / (k + other)
        self.set_spectrum(k)

    @torch.no_grad()
    def set_spectrum(self, k: np.ndarray) -> None:
        """a(p) = K(p)^(−½) for K (Lx, Ly) in FFT order, averaged over the momenta that share a number."""
        log_a = torch.from_numpy(-0.5 * np.log(k)).reshape(-1)
        orbit = self._orbit.reshape(-1)
        total = torch.zeros(len(self.log_amplitude), dtype=log_a.dtype).index_add_(0, orbit, log_a)
        self.log_amplitude.copy_(total / torch.bincount(orbit))

    @torch.no_grad()
    def enlarge(self, other: GaussianBase) -> None:
        """Take over the base of a lattice no larger: ln a in real space, offset by offset, and nothing farther out."""
        offsets = np.fft.ifft2(other.log_amplitude.double().numpy()[other._orbit.numpy()]).real
        self.set_spectrum(np.exp(-2 * np.fft.fft2(enlarge(offsets, self.shape)).real))

    @property
    def zero_mode(self) -> float:
        """a(0)."""
        return float(self.log_amplitude[self._orbit[0, 0]].detach().exp())

    @torch.no_grad()
    def set_zero_mode(self, amplitude: float) -> None:
        """Give a(0) a value of its own."""
        self.log_amplitude[self._orbit[0, 0]] = float(np.log(amplitude))

    def spectrum(self) -> np.ndarray:
        """K(p) = a(p)^(−2), (Lx, Ly) in FFT order."""
        return np.exp(-2 * self.log_amplitude.detach().double().numpy())[self._orbit.numpy()]

    def colour(self, z: torch.Tensor) -> torch.Tensor:
        """A z, the shape of z (sites, n)."""
        return self._filter(z, 1.0)

    def whiten(self, x: torch.Tensor) -> torch.Tensor:
        """A⁻¹ x, the shape of x. A is symmetric, so −A⁻¹ z is also the score d log q/dx of x = A z."""
        return self._filter(x, -1.0)

    def log_det(self) -> torch.Tensor:
        """log |det A|, a float64 number."""
        total = self.log_amplitude.double()[self._orbit].sum()
        return total / 2 if self.completed else total

    def _filter(self, z: torch.Tensor, sign: float) -> torch.Tensor:
        (lx, ly), n = self.shape, z.shape[1]
        grid = z.new_zeros(lx * ly, n).index_copy(0, self._place, z).reshape(lx, ly, n)
        amplitude = torch.exp(sign * self.log_amplitude)[self._orbit[:, : ly // 2 + 1]].to(z.dtype)
        waves = torch.fft.rfft2(grid, dim=(0, 1)) * amplitude.unsqueeze(-1)
        return torch.fft.irfft2(waves, s=(lx, ly), dim=(0, 1)).reshape(lx * ly, n)[self._place]


def hartree_spectrum(action: Action) -> np.ndarray:
    """K(p), (Lx, Ly) in FFT order, of the Gaussian with the least free energy (Hartree): S's own with V'' replaced by
    its mean, self-consistently."""
    free, site = action.free_spectrum(), action.site
    low = float(-free.min())

    def excess(shift: float) -> float:
        variance = float((1 / (free + shift)).mean())
        cosine = site.cosine * site.frequency**2 * np.exp(-0.5 * site.frequency**2 * variance)
        return 12 * site.quartic * variance + cosine - shift

    high = max(1.0, 2 * abs(low))
    while excess(high) > 0:
        high *= 2
    return free + brentq(excess, low + 1e-9 * max(1.0, abs(low)), high)


def _orbits(shape: tuple[int, int], completed: bool) -> tuple[np.ndarray, int]:
    """For each momentum (Lx, Ly) the number of its class, and how many classes there are."""
    lx, ly = shape
    p = np.indices(shape)
    images = [p, (p + np.array([lx // 2, ly // 2])[:, None, None]) % np.array([lx, ly])[:, None, None]]
    names = []
    for a, b in images if completed else images[:1]:
        a, b = np.minimum(a, lx - a), np.minimum(b, ly - b)
        names.append(a * (ly + 1) + b)
        if lx == ly:
            names.append(b * (ly + 1) + a)
    classes, orbit = np.unique(np.min(names, axis=0), return_inverse=True)
    return orbit.reshape(shape), len(classes)
