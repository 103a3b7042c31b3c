"""Weights as conductances."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anf.arrays.mapping import MAPPINGS, AffineMapping, DifferentialMapping, Mapping, ReferenceMapping

MAPPING = AffineMapping(20e-6, 80e-6)
ALL = pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)
SCALINGS = pytest.mark.parametrize("per", ["tile", "output"])
WEIGHTS = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.floats(-9, 9, allow_subnormal=False)
).filter(lambda w: np.abs(w).max() > 1e-6)


def random(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def product(mapping: Mapping, cells_s: np.ndarray, scale_s: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What an exact array gives."""
    lines = mapping.drive(x)
    return mapping.collect(lines @ cells_s.T, lines) / scale_s.T


def test_the_largest_weight_reaches_the_end_of_the_range_and_zero_sits_in_its_middle() -> None:
    weight = np.array([[0.0, 1.5], [-3.0, 0.25]])
    g = MAPPING.conductance_s(weight, MAPPING.scale_s(weight))
    assert g[0, 0] == pytest.approx(50e-6)
    assert g[1, 0] == pytest.approx(20e-6)
    assert g[0, 1] == pytest.approx(65e-6)


def test_per_output_every_row_reaches_the_end_of_the_range() -> None:
    weight = np.array([[0.0, 1.5], [-3.0, 0.25], [0.0, 0.0]])
    g = MAPPING.conductance_s(weight, MAPPING.scale_s(weight, "output"))
    np.testing.assert_allclose(g, [[50e-6, 80e-6], [20e-6, 52.5e-6], [50e-6, 50e-6]])


def test_a_pair_has_one_cell_at_the_lower_end_and_differs_by_the_weight() -> None:
    weight = np.array([[1.0, -2.0]])
    mapping = DifferentialMapping()
    g = mapping.conductance_s(weight, mapping.scale_s(weight))
    np.testing.assert_allclose(g, [[50e-6, 20e-6, 20e-6, 80e-6]])


def test_the_reference_line_lies_in_the_middle_and_takes_away_what_all_lines_share() -> None:
    weight, mapping = random((3, 4)), ReferenceMapping()
    scale = mapping.scale_s(weight)
    g = mapping.conductance_s(weight, scale)
    np.testing.assert_allclose(g[0], 50e-6)
    np.testing.assert_allclose(mapping.weight(g + 7e-6, scale), weight, rtol=1e-10)


@ALL
@SCALINGS
@given(weight=WEIGHTS)
def test_weights_come_back_from_cells_that_lie_within_the_range(mapping: Mapping, per, weight: np.ndarray) -> None:
    scale = mapping.scale_s(weight, per)
    g = mapping.conductance_s(weight, scale)
    assert g.shape == mapping.cells(*weight.shape)
    assert mapping.largest(g.shape) == weight.shape
    assert g.min() >= mapping.low_s * (1 - 1e-9)
    assert g.max() <= mapping.high_s * (1 + 1e-9)
    np.testing.assert_allclose(mapping.weight(g, scale), weight, atol=1e-12 * np.abs(weight).max())


@ALL
@SCALINGS
def test_an_exact_array_multiplies(mapping: Mapping, per) -> None:
    weight, x = random((6, 4)), random((9, 4), 1)
    scale = mapping.scale_s(weight, per)
    np.testing.assert_allclose(
        product(mapping, mapping.conductance_s(weight, scale), scale, x), x @ weight.T, rtol=1e-9, atol=1e-12
    )


@ALL
def test_torch_goes_the_same_way_as_numpy(mapping: Mapping) -> None:
    x, current = random((2, 5, 4)), random((2, 5, mapping.cells(6, 4)[0]), 1)
    lines = mapping.drive(x)
    np.testing.assert_array_equal(mapping.drive(torch.from_numpy(x)).numpy(), lines)
    np.testing.assert_allclose(
        mapping.collect(torch.from_numpy(current), torch.from_numpy(lines)).numpy(), mapping.collect(current, lines)
    )


@ALL
def test_the_weights_that_a_cell_belongs_to_are_those_that_change_with_it(mapping: Mapping) -> None:
    weight = random((3, 4))
    scale = mapping.scale_s(weight)
    g = mapping.conductance_s(weight, scale)
    for cell in np.ndindex(g.shape):
        other, mask = g.copy(), np.zeros(g.shape, bool)
        other[cell] += 5e-6
        mask[cell] = True
        np.testing.assert_array_equal(mapping.touched(mask), ~np.isclose(mapping.weight(other, scale), weight))


@ALL
def test_a_constant_matrix_is_a_matrix_like_any_other(mapping: Mapping) -> None:
    weight = np.full((3, 2), -0.7)
    scale = mapping.scale_s(weight)
    np.testing.assert_allclose(mapping.weight(mapping.conductance_s(weight, scale), scale), weight)


@ALL
@pytest.mark.parametrize("weight", [np.zeros((2, 2)), np.array([[1.0, np.nan]]), np.array([[np.inf]])])
def test_a_matrix_that_has_no_scale_is_refused(mapping: Mapping, weight: np.ndarray) -> None:
    with pytest.raises(ValueError, match="largest"):
        mapping.scale_s(weight)


@ALL
def test_weights_beyond_the_range_are_refused_with_their_number_place_and_limit(mapping: Mapping) -> None:
    scale = mapping.scale_s(np.array([[2.0]]))
    with pytest.raises(ValueError, match=r"1 of 4 weights are outside.* \(1, 0\) is -2.5, allowed are ±2"):
        mapping.conductance_s(np.array([[1.0, 2.0], [-2.5, 0.0]]), scale)
    with pytest.raises(ValueError, match="outside"):
        mapping.conductance_s(np.array([[np.nan]]), scale)


@pytest.mark.parametrize("limits", [(0.0, 80e-6), (80e-6, 20e-6), (-1e-6, 1e-6)])
def test_an_empty_or_negative_range_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="needs 0 < low < high"):
        AffineMapping(*limits)


def test_a_single_line_is_too_few_for_a_pair_or_a_reference() -> None:
    for mapping, array in ((DifferentialMapping(), (4, 1)), (ReferenceMapping(), (1, 4))):
        with pytest.raises(ValueError, match="too few cells"):
            mapping.largest(array)
