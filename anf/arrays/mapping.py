"""Weights as conductances and back: pure functions of arrays.

A `Mapping` says which cells stand for a matrix W (n_out, n_in), what the bit lines get of an input vector, and what the
source lines' currents mean. Lines are rows (source lines, outputs) and columns (bit lines, inputs). The functions that
products go through take numpy arrays and torch tensors alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Lines = TypeVar("Lines", Matrix, torch.Tensor)

Scaling = Literal["tile", "output"]
"""What shares one conductance per unit weight: all of a tile, or each output by itself (its weights fill the range)."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Mapping(ABC):
    """Cells between `low_s` and `high_s` (paper: 20–80 µS).

    Raises ValueError for an empty range.
    """

    low_s: float = 20e-6
    high_s: float = 80e-6

    def __post_init__(self) -> None:
        if not 0 < self.low_s < self.high_s:
            raise ValueError(f"conductance range {self.low_s:g} … {self.high_s:g} S: needs 0 < low < high")

    @property
    def centre_s(self) -> float:
        """Middle of the range, S."""
        return (self.low_s + self.high_s) / 2

    # -- what each mapping defines -------------------------------------------------------------------------------------
    @property
    @abstractmethod
    def full_scale_s(self) -> float:
        """Conductance that stands for the largest weight, S."""

    @abstractmethod
    def cells(self, n_out: int, n_in: int) -> tuple[int, int]:
        """(rows, columns) of cells that a matrix needs."""

    @abstractmethod
    def largest(self, array: tuple[int, int]) -> tuple[int, int]:
        """(n_out, n_in) of the largest matrix that fits into (rows, columns) of cells. Raises ValueError if none."""

    @abstractmethod
    def place(self, g_s: Matrix) -> Matrix:
        """Cells (rows, columns) S for scaled weights (n_out, n_in) S."""

    @abstractmethod
    def drive(self, x: Lines) -> Lines:
        """Inputs (…, n_in) -> what the bit lines get (…, columns)."""

    @abstractmethod
    def collect(self, current: Lines, lines: Lines) -> Lines:
        """Currents (…, rows) with `lines` (…, columns) driven -> scale · W x (…, n_out)."""

    @abstractmethod
    def touched(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The weights (n_out, n_in) that any of these cells (rows, columns) belongs to."""

    # -- what follows --------------------------------------------------------------------------------------------------
    def scale_s(self, weight: Matrix, per: Scaling = "tile") -> Matrix:
        """Conductance per unit weight, S, that puts the largest |weight| at an end of the range: (1, 1), or (n_out, 1)
        per output. An output whose weights are all zero has the scale of the whole.

        Raises ValueError for weights that are not finite or all zero.
        """
        peak = np.abs(weight).max(initial=0.0)
        if not np.isfinite(peak) or peak == 0.0:
            raise ValueError(
                f"largest |weight| = {peak:g}: a matrix needs finite weights and at least one that is not zero"
            )
        if per == "tile":
            return np.full((1, 1), self.full_scale_s / peak)
        peaks = np.abs(weight).max(axis=1, keepdims=True)
        return self.full_scale_s / np.where(peaks > 0, peaks, peak)

    def conductance_s(self, weight: Matrix, scale_s: Matrix) -> Matrix:
        """Target conductances (rows, columns) S of weights (n_out, n_in) at `scale_s`, (1, 1) or (n_out, 1).

        Raises ValueError for a weight beyond the range, with its place.
        """
        scaled = scale_s * weight
        beyond = ~(np.abs(scaled) <= self.full_scale_s * (1 + _ROUNDING))  # NaN is beyond, too
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            limit = self.full_scale_s / float(np.broadcast_to(scale_s, weight.shape)[row, column])
            raise ValueError(
                f"{beyond.sum()} of {weight.size} weights are outside the mapping, the first at ({row}, {column}) is "
                f"{weight[row, column]:g}, allowed are ±{limit:g}: use a smaller scale"
            )
        return self.place(scaled)

    def weight(self, conductance_s: Matrix, scale_s: Matrix) -> Matrix:
        """Weights (n_out, n_in) that conductances (rows, columns) S stand for: the product with unit vectors."""
        one = np.eye(self.largest(conductance_s.shape)[1])
        lines = self.drive(one)
        return self.collect(lines @ conductance_s.T, lines).T / scale_s


@dataclass(frozen=True)
class AffineMapping(Mapping):
    """``G = centre + scale · W`` (paper, Fig. 2k): one cell per weight.

    ``I = G v = centre · Σv + scale · W v``: the digital side knows Σv and takes the first term away.
    """

    @property
    def full_scale_s(self) -> float:
        return (self.high_s - self.low_s) / 2

    def cells(self, n_out: int, n_in: int) -> tuple[int, int]:
        return n_out, n_in

    def largest(self, array: tuple[int, int]) -> tuple[int, int]:
        return _at_least_one(*array, "affine")

    def place(self, g_s: Matrix) -> Matrix:
        return self.centre_s + g_s

    def drive(self, x: Lines) -> Lines:
        return x

    def collect(self, current: Lines, lines: Lines) -> Lines:
        return current - self.centre_s * lines.sum(-1)[..., None]

    def touched(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return cells


@dataclass(frozen=True)
class ReferenceMapping(Mapping):
    """``G = centre + scale · W`` with one more source line, the first, at the centre: its current is subtracted.

    What all lines of a bit line have in common (errors of its DAC, a uniform drift of the array) drops out; errors of
    the reference cells enter all outputs.
    """

    @property
    def full_scale_s(self) -> float:
        return (self.high_s - self.low_s) / 2

    def cells(self, n_out: int, n_in: int) -> tuple[int, int]:
        return n_out + 1, n_in

    def largest(self, array: tuple[int, int]) -> tuple[int, int]:
        return _at_least_one(array[0] - 1, array[1], "reference")

    def place(self, g_s: Matrix) -> Matrix:
        return self.centre_s + np.vstack([np.zeros((1, g_s.shape[1])), g_s])

    def drive(self, x: Lines) -> Lines:
        return x

    def collect(self, current: Lines, lines: Lines) -> Lines:
        return current[..., 1:] - current[..., :1]

    def touched(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return cells[1:] | cells[:1]


@dataclass(frozen=True)
class DifferentialMapping(Mapping):
    """``scale · W = G₊ − G₋``: two bit lines per input, neighbours, driven at +v and −v; the array itself subtracts.

    The other cell of a pair rests at the lower end. Twice the cells and the DAC channels, as many conversions, twice
    the signal, and no offset to subtract.
    """

    @property
    def full_scale_s(self) -> float:
        return self.high_s - self.low_s

    def cells(self, n_out: int, n_in: int) -> tuple[int, int]:
        return n_out, 2 * n_in

    def largest(self, array: tuple[int, int]) -> tuple[int, int]:
        return _at_least_one(array[0], array[1] // 2, "differential")

    def place(self, g_s: Matrix) -> Matrix:
        pairs = np.stack([np.maximum(g_s, 0), np.maximum(-g_s, 0)], axis=-1)
        return self.low_s + pairs.reshape(len(g_s), -1)

    def drive(self, x: Lines) -> Lines:
        stacked: Any = (torch.stack if isinstance(x, torch.Tensor) else np.stack)([x, -x], -1)
        return stacked.reshape(*x.shape[:-1], -1)

    def collect(self, current: Lines, lines: Lines) -> Lines:
        return current

    def touched(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return cells[:, ::2] | cells[:, 1::2]


MAPPINGS: dict[str, Mapping] = {
    "affine": AffineMapping(),
    "reference": ReferenceMapping(),
    "differential": DifferentialMapping(),
}
"""At the paper's range, by name."""


def _at_least_one(n_out: int, n_in: int, name: str) -> tuple[int, int]:
    if n_out < 1 or n_in < 1:
        raise ValueError(f"too few cells for a weight in {name} mapping")
    return n_out, n_in
