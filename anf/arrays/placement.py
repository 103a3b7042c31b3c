"""Which weight sits in which cell of which array."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from scipy.optimize import linear_sum_assignment

from anf.arrays.mapping import MAPPINGS, Scaling
from anf.arrays.mapping import Mapping as CellMapping

Array = NDArray[np.float64]


MORE_BOARDS = "open more boards, use a narrower flow, or let arrays take turns (--time-share)"


class PlacementError(ValueError):
    """A plan that does not fit, or a plan file that cannot be used."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of a layer's matrix in an array.

    ``matrix[row : row + n_rows, column : column + n_columns]``, rows being outputs and columns inputs, is mapped to the
    cells where the source lines `sl` cross the bit lines `bl` of `array`, in this order.
    """

    layer: str
    row: int
    column: int
    n_rows: int
    n_columns: int
    array: int
    sl: tuple[int, ...]
    bl: tuple[int, ...]

    @property
    def outputs(self) -> slice:
        """Rows of the matrix."""
        return slice(self.row, self.row + self.n_rows)

    @property
    def inputs(self) -> slice:
        """Columns of the matrix."""
        return slice(self.column, self.column + self.n_columns)

    @property
    def cells(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Index of its cells in the array."""
        source, bit = np.ix_(self.sl, self.bl)
        return source, bit


@dataclass(frozen=True)
class Placement:
    """A plan: tiles of all layers over `n_arrays` arrays of `shape` (n_sl, n_bl), and how weights become conductances.

    mapping: of `anf.arrays.mapping.MAPPINGS`. scaling: what shares a conductance per unit weight.
    """

    shape: tuple[int, int]
    n_arrays: int
    tiles: tuple[Tile, ...]
    mapping: str = "affine"
    scaling: Scaling = "output"

    @property
    def cells(self) -> CellMapping:
        """How weights become cells."""
        return MAPPINGS[self.mapping]

    def of_layer(self, layer: str) -> tuple[Tile, ...]:
        """Tiles of one layer. Raises `PlacementError` for a layer that has none."""
        tiles = tuple(t for t in self.tiles if t.layer == layer)
        if not tiles:
            raise PlacementError(f"layer {layer} is not in the plan; there are {', '.join(self.layers)}")
        return tiles

    @property
    def layers(self) -> dict[str, tuple[int, int]]:
        """(n_out, n_in) of each layer."""
        shapes: dict[str, tuple[int, int]] = {}
        for t in self.tiles:
            n_out, n_in = shapes.get(t.layer, (0, 0))
            shapes[t.layer] = max(n_out, t.outputs.stop), max(n_in, t.inputs.stop)
        return shapes

    @property
    def occupied(self) -> NDArray[np.intp]:
        """Tile that holds each cell, (n_arrays, n_sl, n_bl); −1 where none does."""
        holder = np.full((self.n_arrays, *self.shape), -1)
        for i, t in enumerate(self.tiles):
            holder[t.array][t.cells] = i
        return holder

    def where(self, layer: str, row: int, column: int) -> list[tuple[int, int, int]]:
        """(array, source line, bit line) of the cells of one weight: one, or a pair.

        Raises `PlacementError` for a weight that is not in the plan.
        """
        for t in self.of_layer(layer):
            if t.outputs.start <= row < t.outputs.stop and t.inputs.start <= column < t.inputs.stop:
                one = np.zeros((t.n_rows, t.n_columns))
                zero = self.cells.place(one)
                one[row - t.row, column - t.column] = self.cells.full_scale_s
                moved = np.argwhere((self.cells.place(one) != zero) | (self.cells.place(-one) != zero))
                return [(t.array, t.sl[i], t.bl[j]) for i, j in moved]
        n_out, n_in = self.layers[layer]
        raise PlacementError(f"layer {layer} has no weight ({row}, {column}): it is {n_out} × {n_in}, counted from 0")

    def rounds(self, n_boards: int) -> int:
        """How often `n_boards` arrays are filled for one pass through all layers."""
        return -(-self.n_arrays // n_boards)

    def refuse_more_than(self, n_boards: int | None) -> None:
        """Raises `PlacementError` for a plan with more arrays; None allows any number."""
        if n_boards is not None and self.n_arrays > n_boards:
            raise PlacementError(f"the plan needs {self.n_arrays} arrays, there are {n_boards}: {MORE_BOARDS}")

    def write(self, path: Path) -> None:
        """Write the plan as JSON, one tile to a line. Nothing is replaced: raises FileExistsError."""
        plan = _FORMAT.dump_python(self, mode="json")
        tiles = ",\n".join(f"  {json.dumps(tile)}" for tile in plan.pop("tiles"))
        head = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in plan.items())
        with path.open("x") as file:
            file.write(f'{{\n{head},\n "tiles": [\n{tiles}\n ]\n}}\n')

    @classmethod
    def read(cls, path: Path) -> Placement:
        """A plan from its file. Raises `PlacementError` for a file that is none, or in which two weights share a
        cell."""
        try:
            plan = _FORMAT.validate_json(path.read_bytes())
        except ValidationError as error:
            raise PlacementError(f"{path}: not a plan: {error}") from error
        if plan.mapping not in MAPPINGS:
            raise PlacementError(f"{path}: mapping {plan.mapping} is unknown; there are {', '.join(MAPPINGS)}")
        taken = np.zeros((plan.n_arrays, *plan.shape), int)
        for t in plan.tiles:
            if not (0 <= t.array < plan.n_arrays and _within(t.sl, plan.shape[0]) and _within(t.bl, plan.shape[1])):
                raise PlacementError(f"{path}: a tile of {t.layer} lies outside the arrays")
            taken[t.array][t.cells] += 1
        if (clash := np.argwhere(taken > 1)).size:
            raise PlacementError(f"{path}: {len(clash)} cells hold two weights, the first is {tuple(clash[0])}")
        return plan


_FORMAT = TypeAdapter(Placement)


def _within(lines: Sequence[int], n: int) -> bool:
    return len(set(lines)) == len(lines) and all(0 <= line < n for line in lines)


def place(
    shapes: Mapping[str, tuple[int, int]],
    array: tuple[int, int],
    *,
    mapping: str = "affine",
    scaling: Scaling = "output",
    faults: Sequence[Array] = (),
    max_arrays: int | None = None,
) -> Placement:
    """Tile matrices of `shapes` (n_out, n_in) and pack the tiles into as few arrays of shape `array` as a greedy search
    finds. Several orders are tried.

    faults: of the first arrays, (n_sl, n_bl) each: conductance of cells that cannot be programmed, S; NaN where they
    can. A line that is faulty all along is left out here, single cells are what `avoid` is for.

    Raises `PlacementError` if more than `max_arrays` are needed, saying how many.
    """
    cells = MAPPINGS[mapping]
    lines = [_sound_lines(f, array) for f in faults]
    everything = (tuple(range(array[0])), tuple(range(array[1])))
    smallest = (
        min((len(sl) for sl, _ in lines), default=array[0]),
        min((len(bl) for _, bl in lines), default=array[1]),
    )
    n_out_max, n_in_max = cells.largest(smallest)
    pieces = [
        _Piece(name, row, column, rows, columns, *cells.cells(rows, columns))
        for name, (n_out, n_in) in shapes.items()
        for row in range(0, n_out, n_out_max)
        for column in range(0, n_in, n_in_max)
        for rows, columns in [(min(n_out_max, n_out - row), min(n_in_max, n_in - column))]
    ]
    packed = min((_pack(order, lines, everything, rule) for order, rule in _attempts(pieces)), key=_arrays)
    n_arrays = _arrays(packed)
    if max_arrays is not None and n_arrays > max_arrays:
        weights = sum(a * b for a, b in shapes.values())
        raise PlacementError(
            f"{len(pieces)} tiles with {weights} weights need {n_arrays} arrays of {array[0]} × {array[1]}, but there "
            f"{'is' if max_arrays == 1 else 'are'} {max_arrays}; {MORE_BOARDS}"
        )
    order = {name: i for i, name in enumerate(shapes)}
    tiles = tuple(sorted(packed, key=lambda t: (order[t.layer], t.row, t.column)))
    return Placement(array, n_arrays, tiles, mapping, scaling)


def avoid(placement: Placement, targets_s: Array, faults: Sequence[Array]) -> Placement:
    """The same plan with the lines of each faulty array in the order that hurts least: where faulty cells cannot be
    left empty, they get the weights that they are nearest to.

    targets_s: (n_arrays, n_sl, n_bl) S as the plan has them, NaN in empty cells. faults: as for `place`.
    What is minimised is the sum of squares of what faulty cells miss, by source lines and bit lines in turn.
    """
    moved = {}
    for k, (target, fault) in enumerate(zip(targets_s, faults, strict=False)):
        sl, bl = np.arange(placement.shape[0]), np.arange(placement.shape[1])
        sound_sl, sound_bl = _sound_lines(fault, placement.shape)
        held, stuck = target[np.ix_(sound_sl, sound_bl)], fault[np.ix_(sound_sl, sound_bl)]
        rows, columns = _best_order(held, stuck)
        sl[list(sound_sl)], bl[list(sound_bl)] = np.array(sound_sl)[rows], np.array(sound_bl)[columns]
        moved[k] = sl, bl
    return replace(
        placement,
        tiles=tuple(
            replace(t, sl=_renamed(t.sl, moved[t.array][0]), bl=_renamed(t.bl, moved[t.array][1]))
            if t.array in moved
            else t
            for t in placement.tiles
        ),
    )


def _renamed(lines: Sequence[int], new: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(int(new[line]) for line in lines)


def missed(targets_s: Array, stuck_s: Array) -> float:
    """Sum over faulty cells of the squared difference from their targets, S²."""
    return float(np.nansum((targets_s - stuck_s) ** 2))


def _best_order(held: Array, stuck: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Physical line of each planned line (rows, columns) that makes `missed` small."""
    rows, columns = np.arange(held.shape[0]), np.arange(held.shape[1])
    best = missed(held, stuck)
    while best > 0:
        new_rows = _assign(held, stuck[:, columns])
        new_columns = _assign(held.T, stuck[new_rows].T)
        cost = missed(held, stuck[np.ix_(new_rows, new_columns)])
        if cost >= best * (1 - 1e-9):
            break
        rows, columns, best = new_rows, new_columns, cost
    return rows, columns


def _assign(held: Array, stuck: Array) -> NDArray[np.intp]:
    """For each row of `held` the row of `stuck` that it goes to."""
    there = np.isfinite(held).astype(float)
    faulty = np.isfinite(stuck).astype(float)
    h, s = np.nan_to_num(held), np.nan_to_num(stuck)
    # Σ_c (h − s)² over cells that hold a weight and are faulty.
    cost = (h**2) @ faulty.T - 2 * h @ s.T + there @ (s**2).T
    return linear_sum_assignment(cost)[1]


def _sound_lines(fault: Array, array: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Source lines and bit lines that are not faulty all along."""
    if fault.shape != array:
        raise PlacementError(f"faults have shape {fault.shape}, the arrays {array}")
    bad = np.isfinite(fault)
    if bad.all():
        raise PlacementError("faults: an array has no cell that can be programmed")
    sl = tuple(int(i) for i in np.flatnonzero(~bad.all(axis=1)))
    return sl, tuple(int(i) for i in np.flatnonzero(~bad[list(sl)].all(axis=0)))


# -- packing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Piece:
    """A tile that has no place yet, with its size in cells."""

    layer: str
    row: int
    column: int
    n_rows: int
    n_columns: int
    rows: int
    columns: int


@dataclass(frozen=True)
class _Rectangle:
    """Free cells of one array."""

    sl: int
    bl: int
    rows: int
    columns: int


Lines = tuple[tuple[int, ...], tuple[int, ...]]


def _arrays(tiles: Sequence[Tile]) -> int:
    return 1 + max(t.array for t in tiles)


def _attempts(pieces: list[_Piece]) -> Iterator[tuple[list[_Piece], str]]:
    keys = (
        lambda p: (-max(p.rows, p.columns), -p.rows * p.columns),
        lambda p: (-p.columns, -p.rows),
        lambda p: (-p.rows, -p.columns),
        lambda p: -p.rows * p.columns,
    )
    for key, rule in product(keys, ("short", "long", "rows", "columns")):
        yield sorted(pieces, key=key), rule


def _pack(pieces: Sequence[_Piece], lines: Sequence[Lines], everything: Lines, rule: str) -> list[Tile]:
    """Each piece where it leaves the smallest margin, in the first array that has room."""
    sizes = (
        _Rectangle(0, 0, len(sl), len(bl)) for sl, bl in (lines[k] if k < len(lines) else everything for k in count())
    )
    free: list[list[_Rectangle]] = []
    tiles = []
    for p in pieces:
        while not (fits := _fits(free, p)):
            free.append([next(sizes)])
        k, _, r = fits
        free[k].remove(r)
        free[k] += _rest(r, p, rule)
        sl, bl = lines[k] if k < len(lines) else everything
        tiles.append(
            Tile(
                p.layer, p.row, p.column, p.n_rows, p.n_columns, k,
                sl[r.sl : r.sl + p.rows], bl[r.bl : r.bl + p.columns],
            )
        )  # fmt: skip
    return tiles


def _fits(free: list[list[_Rectangle]], p: _Piece) -> tuple[int, int, _Rectangle] | None:
    return min(
        (
            (k, min(r.rows - p.rows, r.columns - p.columns), r)
            for k, rectangles in enumerate(free)
            for r in rectangles
            if r.rows >= p.rows and r.columns >= p.columns
        ),
        key=lambda f: f[:2],
        default=None,
    )


def _rest(r: _Rectangle, p: _Piece, rule: str) -> list[_Rectangle]:
    """What is left of a rectangle, in two (guillotine): cut below the piece, or beside it."""
    below, beside = r.rows - p.rows, r.columns - p.columns
    cut_beside = {"short": below < beside, "long": below >= beside, "rows": True, "columns": False}[rule]
    if cut_beside:
        rest = [_Rectangle(r.sl + p.rows, r.bl, below, p.columns), _Rectangle(r.sl, r.bl + p.columns, r.rows, beside)]
    else:
        rest = [_Rectangle(r.sl + p.rows, r.bl, below, r.columns), _Rectangle(r.sl, r.bl + p.columns, p.rows, beside)]
    return [q for q in rest if q.rows and q.columns]
