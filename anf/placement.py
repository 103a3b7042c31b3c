"""Which weight sits in which cell of which array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tile:
    """A rectangle of a layer's matrix in an array: rows (outputs) on source lines, columns (inputs) on bit lines.

    ``matrix[row : row + n_rows, column : column + n_columns]`` sits at ``array[sl : sl + n_rows, bl : bl +
    n_columns]``.
    """

    layer: str
    row: int
    column: int
    n_rows: int
    n_columns: int
    array: int
    sl: int
    bl: int

    @property
    def outputs(self) -> slice:
        """Rows of the matrix."""
        return slice(self.row, self.row + self.n_rows)

    @property
    def inputs(self) -> slice:
        """Columns of the matrix."""
        return slice(self.column, self.column + self.n_columns)

    @property
    def source_lines(self) -> slice:
        """Rows of the array."""
        return slice(self.sl, self.sl + self.n_rows)

    @property
    def bit_lines(self) -> slice:
        """Columns of the array."""
        return slice(self.bl, self.bl + self.n_columns)


@dataclass(frozen=True)
class Placement:
    """A plan: tiles of all layers over `n_arrays` arrays of `shape` (n_sl, n_bl)."""

    shape: tuple[int, int]
    n_arrays: int
    tiles: tuple[Tile, ...]

    def of_layer(self, layer: str) -> tuple[Tile, ...]:
        """Tiles of one layer."""
        return tuple(t for t in self.tiles if t.layer == layer)

    def assemble(self, matrices: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Layers' matrices laid out over the arrays, (n_arrays, n_sl, n_bl); NaN where no weight sits."""
        arrays = np.full((self.n_arrays, *self.shape), np.nan)
        for t in self.tiles:
            arrays[t.array, t.source_lines, t.bit_lines] = matrices[t.layer][t.outputs, t.inputs]
        return arrays

    def extract(self, arrays: NDArray[np.float64], layer: str) -> NDArray[np.float64]:
        """The matrix of a layer from arrays (n_arrays, n_sl, n_bl): the inverse of `assemble`."""
        tiles = self.of_layer(layer)
        matrix = np.empty((max(t.outputs.stop for t in tiles), max(t.inputs.stop for t in tiles)))
        for t in tiles:
            matrix[t.outputs, t.inputs] = arrays[t.array, t.source_lines, t.bit_lines]
        return matrix


def place(shapes: Mapping[str, tuple[int, int]], array: tuple[int, int], *, max_arrays: int | None = None) -> Placement:
    """Tile matrices of `shapes` (n_out, n_in) and pack the tiles into as few arrays of shape `array` as a greedy search
    finds.

    Raises ValueError if more than `max_arrays` are needed, saying how many.
    """
    n_sl, n_bl = array
    pieces = [
        (name, row, column, min(n_sl, n_out - row), min(n_bl, n_in - column))
        for name, (n_out, n_in) in shapes.items()
        for row in range(0, n_out, n_sl)
        for column in range(0, n_in, n_bl)
    ]
    free: list[list[_Rectangle]] = []
    tiles = []
    for piece in sorted(pieces, key=lambda p: (-max(p[3], p[4]), -p[3] * p[4])):
        tiles.append(_put(free, piece, array))
    if max_arrays is not None and len(free) > max_arrays:
        cells = sum(a * b for a, b in shapes.values())
        raise ValueError(
            f"{len(pieces)} tiles with {cells} weights need {len(free)} arrays of {n_sl} × {n_bl}, but there "
            f"{'is' if max_arrays == 1 else 'are'} {max_arrays}; open more boards or use a narrower flow"
        )
    order = {name: i for i, name in enumerate(shapes)}
    tiles.sort(key=lambda t: (order[t.layer], t.row, t.column))
    return Placement(array, len(free), tuple(tiles))


@dataclass(frozen=True)
class _Rectangle:
    """Free cells of one array."""

    sl: int
    bl: int
    rows: int
    columns: int


def _put(free: list[list[_Rectangle]], piece: tuple[str, int, int, int, int], array: tuple[int, int]) -> Tile:
    """Put a piece where it leaves the smallest margin, and cut the rest of that rectangle along its shorter side
    (guillotine)."""
    name, row, column, rows, columns = piece
    fits = [
        (min(r.rows - rows, r.columns - columns), i, r)
        for i, rectangles in enumerate(free)
        for r in rectangles
        if r.rows >= rows and r.columns >= columns
    ]
    if not fits:
        free.append([_Rectangle(0, 0, *array)])
        return _put(free, piece, array)
    _, i, r = min(fits, key=lambda f: (f[1], f[0]))
    free[i].remove(r)
    below, beside = r.rows - rows, r.columns - columns
    if below < beside:
        rest = [_Rectangle(r.sl + rows, r.bl, below, columns), _Rectangle(r.sl, r.bl + columns, r.rows, beside)]
    else:
        rest = [_Rectangle(r.sl + rows, r.bl, below, r.columns), _Rectangle(r.sl, r.bl + columns, rows, beside)]
    free[i] += [q for q in rest if q.rows and q.columns]
    return Tile(name, row, column, rows, columns, i, r.sl, r.bl)
