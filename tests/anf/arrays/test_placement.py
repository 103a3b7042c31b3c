"""Which weight sits in which cell."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anf.arrays.mapping import MAPPINGS
from anf.arrays.placement import Placement, PlacementError, avoid, missed, place

ARRAY = (32, 32)
SHAPES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.tuples(st.integers(1, 70), st.integers(1, 70)), min_size=1, max_size=8
)
NAMES = st.sampled_from(list(MAPPINGS))


def no_faults() -> np.ndarray:
    return np.full(ARRAY, np.nan)


@given(SHAPES, NAMES)
def test_every_weight_has_its_cells_and_no_cell_two_weights(shapes: dict[str, tuple[int, int]], name: str) -> None:
    mapping = MAPPINGS[name]
    placement = place(shapes, ARRAY, mapping=name)
    assert placement.layers == shapes
    held = (placement.occupied >= 0).sum()
    assert held == sum(len(t.sl) * len(t.bl) for t in placement.tiles)
    assert all((len(t.sl), len(t.bl)) == mapping.cells(t.n_rows, t.n_columns) for t in placement.tiles)
    covered = {layer: np.zeros(shape, int) for layer, shape in shapes.items()}
    for t in placement.tiles:
        covered[t.layer][t.outputs, t.inputs] += 1
    assert all((c == 1).all() for c in covered.values())


def test_a_matrix_larger_than_an_array_is_cut_at_its_edges() -> None:
    tiles = place({"w": (40, 33)}, ARRAY).tiles
    assert [(t.row, t.column, t.n_rows, t.n_columns) for t in tiles] == [
        (0, 0, 32, 32), (0, 32, 32, 1), (32, 0, 8, 32), (32, 32, 8, 1),
    ]  # fmt: skip


def test_sixteen_blocks_of_a_quarter_fill_four_arrays_without_a_gap() -> None:
    placement = place({f"w{i}": (16, 16) for i in range(16)}, ARRAY)
    assert placement.n_arrays == 4
    assert placement.occupied.min() >= 0


def test_pairs_of_bit_lines_halve_what_an_array_takes() -> None:
    assert place({"w": (32, 32)}, ARRAY).n_arrays == 1
    assert place({"w": (32, 32)}, ARRAY, mapping="differential").n_arrays == 2


def test_an_order_that_wastes_an_array_is_not_the_only_one_tried() -> None:
    # Longest side first, cut along the shorter one, needs a second array for these.
    shapes = {"a": (32, 4), "b": (4, 28), "c": (28, 14), "d": (14, 14), "e": (14, 14)}
    assert place(shapes, ARRAY, max_arrays=1).occupied.min() >= 0


def test_too_many_tiles_are_refused_with_the_number_of_arrays_they_need() -> None:
    with pytest.raises(PlacementError, match="need 4 arrays of 32 × 32, but there is 1"):
        place({"w": (64, 64)}, ARRAY, max_arrays=1)


def test_arrays_are_filled_as_often_as_the_tiles_need() -> None:
    placement = place({"w": (64, 96)}, ARRAY)
    assert [placement.rounds(n) for n in (1, 2, 4, 6, 7)] == [6, 3, 2, 1, 1]


# -- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAPPINGS)
def test_the_cells_that_a_weight_is_said_to_have_are_those_that_it_changes(name: str) -> None:
    mapping = MAPPINGS[name]
    placement = place({"a": (5, 7), "b": (33, 3)}, ARRAY, mapping=name)
    for layer, row, column in (("a", 4, 6), ("b", 32, 0), ("b", 0, 2)):
        cells = placement.where(layer, row, column)
        assert len(cells) == (2 if name == "differential" else 1)
        (t,) = (t for t in placement.of_layer(layer) if t.row <= row < t.row + t.n_rows)
        conductance = {}
        for sign in (0.5, -0.5):
            weight = np.zeros((t.n_rows, t.n_columns))
            weight[row - t.row, column - t.column] = sign
            array = np.zeros(ARRAY)
            array[t.cells] = mapping.conductance_s(weight, np.array([[mapping.full_scale_s]]))
            conductance[sign] = array
        changed = np.argwhere(conductance[0.5] != conductance[-0.5])
        assert {(t.array, *map(int, cell)) for cell in changed} == set(cells)


def test_a_weight_that_does_not_exist_is_said_not_to() -> None:
    placement = place({"a": (5, 7)}, ARRAY)
    with pytest.raises(PlacementError, match=r"no weight \(5, 0\): it is 5 × 7"):
        placement.where("a", 5, 0)
    with pytest.raises(PlacementError, match="layer b is not in the plan; there are a"):
        placement.where("b", 0, 0)


# -- faults ---------------------------------------------------------------------------------------------------------


def test_dead_lines_hold_no_weight() -> None:
    fault = no_faults()
    fault[3], fault[:, 30] = 1e-6, 1e-6
    placement = place({"w": (31, 31), "v": (3, 3)}, ARRAY, faults=[fault])
    assert placement.n_arrays == 2
    assert all(3 not in t.sl and 30 not in t.bl for t in placement.tiles if t.array == 0)
    assert {t.array: (len(t.sl), len(t.bl)) for t in placement.of_layer("w")} == {0: (31, 31)}


def test_a_whole_array_is_tiled_to_what_its_dead_lines_leave() -> None:
    fault = no_faults()
    fault[0] = 1e-6
    placement = place({"w": (32, 32)}, ARRAY, faults=[fault])
    assert sorted((t.n_rows, t.n_columns) for t in placement.tiles) == [(1, 32), (31, 32)]


def assembled(placement: Placement, weights: dict[str, np.ndarray]) -> np.ndarray:
    targets = np.full((placement.n_arrays, *placement.shape), np.nan)
    for t in placement.tiles:
        targets[t.array][t.cells] = 50e-6 + 30e-6 * weights[t.layer][t.outputs, t.inputs]
    return targets


def test_faulty_cells_are_left_empty_where_there_is_room() -> None:
    rng = np.random.default_rng(0)
    weights = {"w": rng.uniform(-1, 1, (28, 28))}
    fault = no_faults()
    for row, column in rng.choice(28, (3, 2), replace=False):
        fault[row, column] = 300e-6
    plan = place({"w": (28, 28)}, ARRAY, faults=[fault])
    assert missed(assembled(plan, weights)[0], fault) > 0
    better = avoid(plan, assembled(plan, weights), [fault])
    assert missed(assembled(better, weights)[0], fault) == 0
    assert better.layers == plan.layers
    assert (better.occupied >= 0).sum() == 28 * 28


def test_in_a_full_array_faulty_cells_get_weights_that_are_near_to_them() -> None:
    rng = np.random.default_rng(1)
    weights = {f"w{i}": rng.uniform(-1, 1, (16, 16)) for i in range(4)}
    fault = no_faults()
    fault[rng.integers(0, 32, 12), rng.integers(0, 32, 12)] = 50e-6
    plan = place({name: w.shape for name, w in weights.items()}, ARRAY, faults=[fault])
    better = avoid(plan, assembled(plan, weights), [fault])
    before, after = (missed(assembled(p, weights)[0], fault) for p in (plan, better))
    assert after < 0.2 * before
    assert np.sort(assembled(better, weights).ravel()).tolist() == np.sort(assembled(plan, weights).ravel()).tolist()


def test_arrays_of_other_boards_keep_their_order() -> None:
    weights = {"w": np.random.default_rng(2).uniform(-1, 1, (64, 32))}
    fault = no_faults()
    fault[5, 5] = 300e-6
    plan = place({"w": (64, 32)}, ARRAY, faults=[fault])
    better = avoid(plan, assembled(plan, weights), [fault])
    assert [t for t in better.tiles if t.array == 1] == [t for t in plan.tiles if t.array == 1]
    assert [t for t in better.tiles if t.array == 0] != [t for t in plan.tiles if t.array == 0]


def test_faults_of_another_shape_or_everywhere_are_refused() -> None:
    with pytest.raises(PlacementError, match=r"shape \(3, 3\)"):
        place({"w": (2, 2)}, ARRAY, faults=[np.full((3, 3), np.nan)])
    with pytest.raises(PlacementError, match="no cell that can be programmed"):
        place({"w": (2, 2)}, ARRAY, faults=[np.zeros(ARRAY)])


# -- files ----------------------------------------------------------------------------------------------------------


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = place({"a": (5, 7), "b": (33, 3)}, ARRAY, mapping="differential", scaling="output")
    plan.write(tmp_path / "plan.json")
    assert Placement.read(tmp_path / "plan.json") == plan
    assert sum('"layer"' in line for line in (tmp_path / "plan.json").read_text().splitlines()) == len(plan.tiles)
    with pytest.raises(FileExistsError):
        plan.write(tmp_path / "plan.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: plan["tiles"][1].update(plan["tiles"][0], layer="b"), "cells hold two weights"),
        (lambda plan: plan["tiles"][0].update(array=9), "outside the arrays"),
        (lambda plan: plan["tiles"][0].update(sl=[99, 1, 2, 3, 4]), "outside the arrays"),
        (lambda plan: plan.pop("tiles"), "not a plan"),
        (lambda plan: plan.update(mapping="magic"), "mapping magic is unknown; there are affine, "),
    ],
)
def test_a_plan_file_that_makes_no_sense_is_refused(tmp_path: Path, change, message: str) -> None:
    place({"a": (5, 7), "b": (5, 3)}, ARRAY).write(tmp_path / "plan.json")
    plan = json.loads((tmp_path / "plan.json").read_text())
    change(plan)
    (tmp_path / "bad.json").write_text(json.dumps(plan))
    with pytest.raises(PlacementError, match=message):
        Placement.read(tmp_path / "bad.json")
