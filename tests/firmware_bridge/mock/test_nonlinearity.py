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
