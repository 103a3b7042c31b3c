"""Smallest and largest element."""

import numpy as np
import pytest

from firmware_bridge.extremes import extremes


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.uint16])
def test_both_ends_are_found_in_any_shape(dtype):
    array = np.array([[3, 1], [7, 5]], dtype)
    assert extremes(array) == (1, 7)
    assert extremes(array.T) == (1, 7)
    assert extremes(array[:, 1:]) == (1, 5)


@pytest.mark.parametrize("where", [0, 1, 2])
def test_one_nan_is_enough(where):
    array = np.array([1.0, np.inf, -np.inf])
    array[where] = np.nan
    assert all(np.isnan(extremes(array)))
