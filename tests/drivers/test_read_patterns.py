"""Patterns of a read: offsets cancel, noise is spread, currents are small, for every size of an array."""

import numpy as np
import pytest

from drivers.read_patterns import ReadPatterns

SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64]


@pytest.mark.parametrize("n_bl", SIZES)
def test_cells_come_out_exactly_whatever_the_offset(n_bl):
    patterns = ReadPatterns.of(n_bl)
    cells = np.random.default_rng(n_bl).uniform(1.0, 2.0, n_bl)
    assert set(np.unique(patterns.signs)) <= {-1.0, 1.0}
    for offset in (0.0, 1.0, -1e4):
        assert patterns.solution @ (patterns.signs @ cells + offset) == pytest.approx(cells, abs=1e-9)


@pytest.mark.parametrize("n_bl", SIZES)
def test_the_noise_of_a_cell_is_that_of_all_conversions_of_a_pass(n_bl):
    """σ²/n is what n conversions that all see the cell can give at best; the offset is one unknown more."""
    patterns = ReadPatterns.of(n_bl)
    n = len(patterns.signs)
    assert n <= max(2 * n_bl, n_bl + 1)
    variance = n * np.sum(patterns.solution**2, axis=1)
    assert variance.min() >= 1 - 1e-9
    if n_bl & (n_bl - 1):
        assert variance == pytest.approx(1.0)
    else:
        assert variance.max() <= {2: 1.51, 8: 1.26}.get(n_bl, 1.12)
    assert np.linalg.cond(np.column_stack([patterns.signs, np.ones(n)])) < 4


def test_an_array_of_32_lines_takes_33_vectors_and_six_percent_more_variance_than_without_an_offset():
    patterns = ReadPatterns.of(32)
    assert patterns.signs.shape == (33, 32)
    assert np.mean(33 * np.sum(patterns.solution**2, axis=1)) == pytest.approx(1.0622, abs=1e-4)


@pytest.mark.parametrize("n_bl", [4, 8, 16, 32, 64])
def test_no_pattern_adds_up_more_lines_than_a_quarter_to_a_half(n_bl):
    """A transform of signs is never flatter than √N (Parseval); with an odd number of bits this one is √(2N)."""
    sums = np.abs(ReadPatterns.of(n_bl).signs.sum(axis=1))
    assert sums.max() <= np.sqrt(2 * n_bl)
