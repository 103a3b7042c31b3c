"""HMC on the even half of the lattice: trajectories against S_eff, and the odd half drawn when it is asked for."""

from __future__ import annotations

import numpy as np
import torch

from anf.lattice import even_kernels, kernels
from anf.lattice.actions import Action
from anf.lattice.completion import completion


class EvenHalfChains:
    """A group of chains, batch last, that keep the even half ``(V/2, n)`` and S_eff of each.

    symmetry: the exact moves that the action declares, after each trajectory.
    Raises ValueError for a lattice with an odd side, and couplings that the tables of `completion` cannot hold.
    """

    def __init__(self, action: Action, phi: np.ndarray, symmetry: bool, generator: torch.Generator) -> None:
        self._action, self._generator, self._symmetry = action, generator, symmetry
        self._completion = completion(action)
        board = self._completion.board
        self.n = len(phi)
        self._even = np.ascontiguousarray(board.flatten(torch.from_numpy(phi))[: board.half].numpy())
        self._old = np.empty_like(self._even)
        self._noise = torch.empty(self._even.shape, dtype=torch.float32)
        self._force = (
            board.odd_neighbours, board.even_neighbours, kernels.site_constants(action),
            even_kernels.slope_of(self._completion.tables), np.empty_like(self._even),
        )  # fmt: skip
        self._value = self._completion.effective(self._even)[0]

    def trajectory(self, step: float, n_steps: int) -> tuple[float, float, float]:
        """One trajectory, accept step and moves; sums over the chains of accepted, min(1, exp(−ΔH)) and exp(−ΔH)."""
        momentum = self._noise.normal_(generator=self._generator).numpy().astype(np.float64)
        self._old[...] = self._even
        before = self._value + _kinetic(momentum)
        even_kernels.leapfrog(self._even, momentum, step, n_steps, *self._force)
        # A trajectory that ran away has ΔH = inf or nan: weight 0, rejected.
        with np.errstate(over="ignore", invalid="ignore"):
            proposed = self._completion.effective(self._even)[0]
            weight = np.nan_to_num(np.exp(before - proposed - _kinetic(momentum)), nan=0.0)
        accepted = self._accept(proposed, weight)
        if self._symmetry and "sign_flip" in self._action.symmetries:
            self._even *= np.where(self._uniform() < 0.5, -1.0, 1.0)
        if self._symmetry and "shift" in self._action.symmetries:
            # The odd half moves along with it: what it costs in S_eff is all that it costs.
            self._old[...] = self._even
            self._even += np.where(self._uniform() < 0.5, -1.0, 1.0) * self._action.shift
            proposed = self._completion.effective(self._even)[0]
            self._accept(proposed, np.exp(np.minimum(self._value - proposed, 0.0)))
        return float(accepted.sum()), float(np.minimum(weight, 1.0).sum()), float(weight.sum())

    def configurations(self) -> tuple[np.ndarray, np.ndarray]:
        """φ (n, Lx, Ly), the odd half drawn beside the even one as it is, and S (n,)."""
        seed = int(torch.randint(2**62, (), generator=self._generator))
        odd, _ = self._completion.draw(self._even, np.random.default_rng(seed))
        phi = self._completion.board.assemble((torch.from_numpy(self._even), torch.from_numpy(odd))).numpy()
        return phi, self._action(phi)

    def _accept(self, proposed: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Keep what moved with probability min(1, weight), else put the old field back; which were kept (n,)."""
        kept = self._uniform() < weight
        np.copyto(self._even, self._old, where=~kept)
        np.copyto(self._value, proposed, where=kept)
        return kept

    def _uniform(self) -> np.ndarray:
        return torch.rand(self.n, generator=self._generator, dtype=torch.float64).numpy()


def _kinetic(momentum: np.ndarray) -> np.ndarray:
    return 0.5 * np.einsum("ik,ik->k", momentum, momentum)
