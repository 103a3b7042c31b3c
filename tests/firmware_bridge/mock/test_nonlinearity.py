from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.mock.nonlinearity import horner, inl_cubics, substitute


@pytest.mark.parametrize("seed", range(20))
def test_every_cubic_vanishes_at_both_ends_and_has_exactly_the_stated_peak(seed: int) -> None:
    cubics = inl_cubics(np.random.default_rng(seed), 8, 1.5)
    u = np.linspace(0.0, 1.0, 20001)
    values = horner(cubics[:, None, :], u)
    assert np.allclose(values[:, [0, -1]], 0.0, atol=1e-12)
    assert np.allclose(np.abs(values).max(axis=1), 1.5, rtol=1e-6)


def test_substitution_evaluates_the_same_cubic_in_the_new_variable() -> None:
    cubics = inl_cubics(np.random.default_rng(3), 5, 2.0)
    x = np.linspace(-0.9, 0.9, 7)
    assert np.allclose(
        horner(substitute(cubics, 0.5, 1 / 1.8)[:, None, :], x), horner(cubics[:, None, :], 0.5 + x / 1.8), atol=1e-14
    )


def test_zero_peak_gives_exactly_no_error() -> None:
    assert not inl_cubics(np.random.default_rng(0), 4, 0.0).any()


def test_a_cubic_is_a_bow_and_an_s_of_peak_one_each_mixed_by_an_angle() -> None:
    angle = np.random.default_rng(7).uniform(0.0, 2.0 * np.pi, 50)
    u = np.linspace(0.0, 1.0, 11)
    bow, ess = 4 * u * (1 - u), 6 * np.sqrt(3) * u * (1 - u) * (1 - 2 * u)
    mixed = np.cos(angle)[:, None] * bow + np.sin(angle)[:, None] * ess
    values = horner(inl_cubics(np.random.default_rng(7), 50, 1.5)[:, None, :], u)
    # Of the same shape, each with a factor of its own.
    factor = (values * mixed).sum(axis=1) / (mixed**2).sum(axis=1)
    assert (factor > 0).all()
    np.testing.assert_allclose(values, factor[:, None] * mixed, atol=1e-12)
