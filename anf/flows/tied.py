"""Kernels on the even half of a lattice, tied by its translations and symmetries, and the matrices they expand to."""

from __future__ import annotations

import numpy as np
import torch

from anf.lattice.checkerboard import Checkerboard

RANGE = 1.5
"""Sites over which the scale of a kernel falls by e: without it, training diverges on far offsets (0053)."""


class Orbits:
    """Offsets between even sites that the symmetries of the lattice carry into each other.

    The symmetries are translations, reflections and, on a square, the exchange of its axes. Orbit 0 is the site itself.
    index: ``(N, N)``, the orbit of the offset between two even sites, in the order of `Checkerboard.even`.
    offsets: ``(n_orbits, 2)``, one representative (dx, dy) with 0 ≤ dx ≤ Lx/2, 0 ≤ dy ≤ Ly/2 of each.
    size: ``(n_orbits,)``, number of offsets in each.
    """

    def __init__(self, board: Checkerboard) -> None:
        lx, ly = board.shape
        delta = board.even[:, None, :] - board.even[None, :, :]
        folded = np.minimum(delta % (lx, ly), -delta % (lx, ly))
        if lx == ly:
            folded = np.sort(folded, -1)[..., ::-1]
        code = folded[..., 0] * (lx + ly) + folded[..., 1]
        # By distance, so that orbit 0 is the site itself.
        known, first = np.unique(code, return_index=True)
        offsets = folded.reshape(-1, 2)[first]
        order = np.lexsort((offsets[:, 1], (offsets**2).sum(1)))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        self.index = torch.from_numpy(rank[np.searchsorted(known, code)])
        self.offsets = offsets[order]
        self.size = torch.bincount(self.index[0], minlength=len(order))
        distance = torch.from_numpy(np.sqrt((self.offsets.astype(float) ** 2).sum(1)))
        self.scale = torch.exp(-(distance - 1).clamp(min=0) / RANGE).float()
        """Scale of a kernel on each orbit, float32."""

    def __len__(self) -> int:
        return len(self.offsets)

    def embed(self, values: torch.Tensor, source: Orbits) -> torch.Tensor:
        """Kernels (..., n_orbits of source) of a smaller lattice, carried over offset by offset; zero farther out.

        An offset of half the smaller side stands for itself and its mirror image, which the larger lattice tells apart:
        they share its value.
        """
        out = values.new_zeros(*values.shape[:-1], len(self))
        place = {tuple(offset): i for i, offset in enumerate(self.offsets.tolist())}
        for i, offset in enumerate(source.offsets.tolist()):
            j = place[tuple(offset)]
            out[..., j] = values[..., i] * (source.size[i] / self.size[j])
        return out
