"""Weights as conductances."""

import numpy as np
import pytest

from anf.mapping import AffineMapping

MAPPING = AffineMapping(20e-6, 80e-6)


def test_the_largest_weight_reaches_the_end_of_the_range_and_zero_sits_in_its_middle() -> None:
    weight = np.array([[0.0, 1.5], [-3.0, 0.25]])
    g = MAPPING.conductance_s(weight, MAPPING.scale_s(weight))
    assert g[0, 0] == pytest.approx(50e-6)
    assert g[1, 0] == pytest.approx(20e-6)
    assert g[0, 1] == pytest.approx(65e-6)


def test_weights_come_back_from_their_conductances() -> None:
    weight = np.random.default_rng(0).normal(size=(7, 5))
    scale = MAPPING.scale_s(weight)
    back = MAPPING.weight(MAPPING.conductance_s(weight, scale), scale)
    np.testing.assert_allclose(back, weight, rtol=1e-12, atol=1e-15)


def test_the_digital_offset_turns_currents_into_the_product() -> None:
    rng = np.random.default_rng(1)
    weight, volts = rng.normal(size=(6, 4)), rng.uniform(-0.1, 0.1, 4)
    scale = MAPPING.scale_s(weight)
    current = MAPPING.conductance_s(weight, scale) @ volts
    np.testing.assert_allclose((current - MAPPING.centre_s * volts.sum()) / scale, weight @ volts, rtol=1e-12)


@pytest.mark.parametrize("weight", [np.zeros((2, 2)), np.array([[1.0, np.nan]]), np.array([[np.inf]])])
def test_a_matrix_that_has_no_scale_is_refused(weight: np.ndarray) -> None:
    with pytest.raises(ValueError, match="largest"):
        MAPPING.scale_s(weight)


@pytest.mark.parametrize("limits", [(0.0, 80e-6), (80e-6, 20e-6), (-1e-6, 1e-6)])
def test_an_empty_or_negative_range_is_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="needs 0 < low < high"):
        AffineMapping(*limits)
