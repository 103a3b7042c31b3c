"""The patterns of signs that a read of the array drives, and what solves their currents for the cells.

A pass of n vectors over n_bl lines has n_bl + 1 unknowns on each source line: its cells, and the offset of its
amplifier and converter. Sylvester's Hadamard matrix H, HᵀH = N·1, sees every cell with all N vectors. Where it has a
column to spare, the constant takes that of ones. Where n_bl = N it has none, so the rows get signs that spread the
constant evenly over the cells, and one more vector, opposed to it everywhere, tells the two apart. The variance of a
cell is then σ²/n of one conversion's in the first case, and at n_bl = 32, n = 33 on average 1.06 σ²/n: offsets are
removed exactly at next to no cost.

Signs on the columns keep the sum of every row small. Like cells then carry little current together, which is what lets
a read use as high a voltage as a product does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReadPatterns:
    """signs: (n, n_bl) ±1, one row for each vector. solution: (n_bl, n), cells = solution @ currents / voltage."""

    signs: Array
    solution: Array

    @classmethod
    def of(cls, n_bl: int) -> ReadPatterns:
        """For an array of `n_bl` bit lines."""
        order = 1 << (n_bl - 1).bit_length()
        spread = _quadratic_signs(order)
        columns = spread * _alternating(order)
        if order > n_bl:
            signs = (hadamard(order) * columns)[:, 1 : n_bl + 1]
        else:
            signs = spread[:, None] * hadamard(order) * columns
            constant = signs.sum(axis=0)
            opposed = np.where(constant == 0, _alternating(order), -np.sign(constant))
            signs = np.vstack([signs, opposed])
        design = np.column_stack([signs, np.ones(len(signs))]).astype(float)
        return cls(signs.astype(float), np.linalg.pinv(design)[:n_bl])


def _quadratic_signs(order: int) -> NDArray[np.int64]:
    """(−1)^(b0·b1 + b2·b3 + …) of the bits of 0 … order − 1: signs whose Hadamard transform is as flat as can be (a
    bent function; with an odd number of bits half the transform is 0 and the rest is flat)."""
    k = np.arange(order)
    signs = np.ones(order, np.int64)
    for bit in range(0, order.bit_length() - 2, 2):
        signs *= 1 - 2 * (k >> bit & k >> (bit + 1) & 1)
    return signs


def _alternating(n: int) -> NDArray[np.int64]:
    return 1 - 2 * (np.arange(n) % 2)
