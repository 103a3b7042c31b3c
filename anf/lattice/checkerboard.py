"""Even and odd sites of a periodic lattice, and which are neighbours of which."""

from __future__ import annotations

import numpy as np
import torch

_STEPS = ((1, 0), (-1, 0), (0, 1), (0, -1))


class Checkerboard:
    """Flows and completion keep a configuration as two halves, batch last: ``(V/2, n)`` each, sites in row-major order.

    even, odd: ``(V/2, 2)`` coordinates (x, y), x + y even (odd).  odd_neighbours: ``(V/2, 4)``, for each odd site the
    places of its neighbours in the even half; even_neighbours the reverse. On a side of two sites a neighbour occurs
    twice, as the periodic sum over bonds says.

    Raises ValueError for an odd side: the halves would touch themselves.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        for axis, length in zip(("Lx", "Ly"), shape, strict=True):
            if length < 2 or length % 2:
                raise ValueError(f"{axis} = {length}: must be even and at least 2 for a checkerboard of two halves")
        self.shape = (int(shape[0]), int(shape[1]))
        x, y = np.indices(self.shape)
        parity = (x + y) % 2
        self.even, self.odd = np.argwhere(parity == 0), np.argwhere(parity == 1)
        place = np.empty(self.shape, np.int64)
        place[parity == 0] = place[parity == 1] = np.arange(len(self.even))
        self.odd_neighbours, self.even_neighbours = (
            np.stack([place[tuple(((half + step) % self.shape).T)] for step in _STEPS], 1)
            for half in (self.odd, self.even)
        )
        index = np.arange(x.size).reshape(self.shape)
        self._order = torch.from_numpy(np.concatenate([index[parity == 0], index[parity == 1]]))
        self._back = torch.argsort(self._order)

    @property
    def half(self) -> int:
        """V/2."""
        return len(self.even)

    def flatten(self, phi: torch.Tensor) -> torch.Tensor:
        """Configurations ``(n, Lx, Ly)`` -> ``(V, n)``, the even half first. Raises ValueError for another shape."""
        if phi.ndim != 3 or tuple(phi.shape[1:]) != self.shape:
            raise ValueError(f"phi has shape {tuple(phi.shape)}, this flow needs (n, *{self.shape})")
        return phi.reshape(phi.shape[0], -1).T[self._order]

    def assemble(self, halves: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """The even and the odd half ``(V/2, n)`` -> configurations ``(n, Lx, Ly)``."""
        return torch.cat(halves)[self._back].T.reshape(-1, *self.shape)
