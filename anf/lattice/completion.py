"""Exact completion: sample the even half of the lattice only, and draw the odd half from what it is given.

Neighbours of an odd site are even, so that given the even half the odd sites are independent, each with

    p(x | h) = exp(−V(x) + κ h x) / z(h),        z(h) = ∫ exp(−V(x) + κ h x) dx,        h = sum of its four neighbours,

and what remains for the even half is S_eff = Σ_even V − Σ_odd log z(h). log z comes from tables (`site_tables`).
A draw is that of a tabulated monotone map of a normal number, put right by rejection: its density is p(x | h), which
is what enters log q (docs/theory.md).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from anf.lattice.actions import Action
from anf.lattice.checkerboard import Checkerboard
from anf.lattice.site_kernels import effective_action, field_of, log_density
from anf.lattice.site_tables import SiteTables

Half = NDArray[np.floating]


class Completion:
    """The conditional densities of an action's odd sites. Arrays are ``(V/2, n)``, batch last (`Checkerboard`).

    Raises ValueError for a lattice with an odd side, or couplings that the tables cannot hold.
    """

    def __init__(self, action: Action) -> None:
        self.action = action
        self.board = Checkerboard(action.shape)
        self.tables = SiteTables(action.site, action.hopping)

    def effective(self, even: Half) -> tuple[NDArray[np.float64], Half]:
        """S_eff (n,) and its gradient, the shape and precision of `even` (V/2, n)."""
        value, gradient = np.empty(even.shape[1]), np.empty_like(even)
        slopes = np.empty((self.board.half, even.shape[1]))
        effective_action(
            even, self.board.odd_neighbours, self.board.even_neighbours, *self.tables.log_z, value, gradient, slopes
        )
        return value, gradient

    def log_prob(self, odd: Half, even: Half) -> NDArray[np.float64]:
        """log p(odd | even), (n,)."""
        out = np.empty(even.shape[1])
        log_density(odd, field_of(even, self.board.odd_neighbours), *self.tables.log_z, out)
        return out

    def draw(self, even: Half, random: np.random.Generator) -> tuple[Half, NDArray[np.float64]]:
        """odd (V/2, n) from p(odd | even), in the precision of `even`, and log p(odd | even) (n,) of the rounded draw.

        Raises FloatingPointError where `even` is not finite.
        """
        h = field_of(even, self.board.odd_neighbours)
        if not np.isfinite(h).all():
            raise FloatingPointError("even half: holds values that are not finite; nothing can be drawn beside them")
        odd = self.tables.draw(h.reshape(-1), random).reshape(h.shape).astype(even.dtype)
        out = np.empty(even.shape[1])
        log_density(odd, h, *self.tables.log_z, out)
        return odd, out


@lru_cache(maxsize=32)
def completion(action: Action) -> Completion:
    """The completion of an action; tables are made once per process."""
    return Completion(action)


class WholeLattice:
    """S as a flow on all sites sees it: x (V, n), the even half first."""

    def __init__(self, action: Action) -> None:
        self.action, self.board = action, Checkerboard(action.shape)

    def value_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """S (n,) float64 and ∂S/∂x, the shape of x. No autograd graph."""
        half = self.board.half
        phi = self.board.assemble((x[:half], x[half:]))
        return self.action(phi.double()), self.board.flatten(self.action.gradient(phi))


class EvenHalf:
    """S_eff as a flow on the even half sees it: x (V/2, n)."""

    def __init__(self, action: Action) -> None:
        self.completion = completion(action)

    def value_and_gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """S_eff (n,) float64 and ∂S_eff/∂x, the shape of x. No autograd graph."""
        value, gradient = self.completion.effective(np.ascontiguousarray(x.detach().numpy()))
        return torch.from_numpy(value), torch.from_numpy(gradient)
