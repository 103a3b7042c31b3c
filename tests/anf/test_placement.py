"""Which weight sits in which cell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anf.placement import Placement, place

SHAPES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=8
)


def occupied(placement: Placement) -> np.ndarray:
    count = np.zeros((placement.n_arrays, *placement.shape), int)
    for t in placement.tiles:
        count[t.array, t.source_lines, t.bit_lines] += 1
    return count


@given(SHAPES)
def test_every_weight_has_one_cell_and_no_cell_two_weights(shapes: dict[str, tuple[int, int]]) -> None:
    placement = place(shapes, (32, 32))
    assert occupied(placement).max() == 1
    assert occupied(placement).sum() == sum(a * b for a, b in shapes.values())


@given(SHAPES)
def test_extract_undoes_assemble(shapes: dict[str, tuple[int, int]]) -> None:
    rng = np.random.default_rng(0)
    matrices = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    placement = place(shapes, (32, 32))
    arrays = placement.assemble(matrices)
    assert np.isnan(arrays).sum() == arrays.size - sum(m.size for m in matrices.values())
    for name, matrix in matrices.items():
        np.testing.assert_array_equal(placement.extract(arrays, name), matrix)


def test_a_matrix_larger_than_an_array_is_cut_at_its_edges() -> None:
    tiles = place({"w": (40, 33)}, (32, 32)).tiles
    assert [(t.row, t.column, t.n_rows, t.n_columns) for t in tiles] == [
        (0, 0, 32, 32), (0, 32, 32, 1), (32, 0, 8, 32), (32, 32, 8, 1),
    ]  # fmt: skip


def test_sixteen_blocks_of_a_quarter_fill_four_arrays_without_a_gap() -> None:
    placement = place({f"w{i}": (16, 16) for i in range(16)}, (32, 32))
    assert placement.n_arrays == 4
    assert occupied(placement).min() == 1


def test_too_many_tiles_are_refused_with_the_number_of_arrays_they_need() -> None:
    with pytest.raises(ValueError, match="need 4 arrays of 32 × 32, but there is 1"):
        place({"w": (64, 64)}, (32, 32), max_arrays=1)
