"""Uncertainties against closed forms and drawn errors."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import ndtr

from drivers.estimate import Estimate, Shared


def estimate(scatter, **bounds):
    n = len(scatter)
    shared = {name: Shared(distribution="uniform", effect=np.full(n, bound)) for name, bound in bounds.items()}
    return Estimate(unit="V", value=np.zeros(n), scatter=scatter, shared=shared, rests_on="a test")


def test_a_bounded_error_is_a_third_of_its_square_and_scatter_adds_in_quadrature():
    assert estimate([0.3], a=1.2).standard_uncertainty == pytest.approx([np.sqrt(0.09 + 0.48)])


def test_the_interval_of_scatter_alone_is_normal_and_of_a_bound_alone_95_percent_of_it():
    assert estimate([2.0]).half_width() == pytest.approx([2 * 1.959964], rel=1e-4)
    assert estimate([0.0], a=3.0).half_width() == pytest.approx([0.95 * 3.0], rel=1e-4)
    assert estimate([0.0]).half_width() == [0.0]


@pytest.mark.parametrize("scatter", [0.05, 0.3, 1.0, 5.0])
def test_the_interval_of_a_sum_holds_95_percent_of_drawn_errors(scatter):
    rng = np.random.default_rng(1)
    n = 200_000
    errors = rng.uniform(-1, 1, n) + scatter * rng.standard_normal(n)
    inside = np.mean(np.abs(errors) <= estimate([scatter], a=1.0).half_width())
    assert abs(inside - 0.95) < 4 * np.sqrt(0.95 * 0.05 / n)


@pytest.mark.parametrize("scatter", [0.02, 0.2, 0.5, 1.0, 2.0, 20.0])
def test_the_interval_of_a_sum_is_that_of_the_convolution(scatter):
    # P(|u + s z| < t) by quadrature over u, uniform in ±1.
    u = (np.arange(20_000) + 0.5) / 10_000 - 1
    t = float(estimate([scatter], a=1.0).half_width()[0])
    inside = np.mean(ndtr((t - u) / scatter) - ndtr((-t - u) / scatter))
    assert inside == pytest.approx(0.95, abs=2e-4)


def test_two_equal_bounds_are_covered_to_two_percent():
    rng = np.random.default_rng(2)
    errors = rng.uniform(-1, 1, (200_000, 2)).sum(axis=1)
    assert abs(np.mean(np.abs(errors) <= estimate([0.0], a=1.0, b=1.0).half_width()) - 0.95) < 0.02


def test_what_two_results_share_is_their_covariance_and_drops_out_of_their_difference():
    one, two = estimate([0.1, 0.1], meter=1.0), estimate([0.2], meter=1.0, other=5.0)
    np.testing.assert_allclose(one.covariance(two), [[1 / 3], [1 / 3]])
    own = one.covariance()
    np.testing.assert_allclose(own, [[0.01 + 1 / 3, 1 / 3], [1 / 3, 0.01 + 1 / 3]])
    difference = np.array([1.0, -1.0])
    assert difference @ own @ difference == pytest.approx(0.02)


@pytest.mark.parametrize(
    "change", [{"value": [np.nan]}, {"scatter": [-1.0]}, {"scatter": [1.0, 2.0]}, {"correlation": [[1.0, 0.0]]}]
)
def test_numbers_that_make_no_sense_are_refused(change):
    with pytest.raises(ValidationError):
        Estimate(**{"unit": "V", "value": [0.0], "scatter": [1.0], "rests_on": "a test", **change})


def test_a_normal_error_that_is_shared_counts_whole_and_its_interval_is_normal():
    meter = Shared(distribution="normal", effect=[0.4, -0.4])
    both = Estimate(unit="V", value=[0.0, 0.0], scatter=[0.3, 0.0], shared={"meter": meter}, rests_on="a test")
    np.testing.assert_allclose(both.standard_uncertainty, [0.5, 0.4])
    np.testing.assert_allclose(both.half_width(), [0.5 * 1.959964, 0.4 * 1.959964], rtol=1e-4)
    np.testing.assert_allclose(both.covariance(), [[0.25, -0.16], [-0.16, 0.16]])


def test_of_several_bounds_the_largest_is_taken_as_uniform_and_the_others_as_normal():
    mixed = estimate([0.3], a=0.5, b=1.0).half_width()
    np.testing.assert_allclose(mixed, estimate([np.sqrt(0.09 + 0.25 / 3)], a=1.0).half_width())
    np.testing.assert_allclose(estimate([0.3], a=-1.0).half_width(), estimate([0.3], a=1.0).half_width())


@pytest.mark.parametrize(("scatter", "bound"), [(1.0, 1e-4), (1.0, 2e-3), (1e6, 1.0), (1e-4, 1.0), (1e-7, 1.0)])
def test_the_interval_of_very_unlike_errors_is_that_of_the_larger(scatter, bound):
    larger = 1.959964 * scatter if scatter > bound else 0.95 * bound
    assert estimate([scatter], a=bound).half_width() == pytest.approx([larger], rel=2e-4)


def test_scatter_that_is_correlated_is_so_in_the_covariance():
    pair = Estimate(
        unit="V", value=[0.0, 0.0], scatter=[0.2, 0.5], correlation=[[1.0, -0.5], [-0.5, 1.0]], rests_on="a test"
    )
    np.testing.assert_allclose(pair.covariance(), [[0.04, -0.05], [-0.05, 0.25]])


@pytest.mark.parametrize(
    "change",
    [
        {"value": [[0.0]], "scatter": [[1.0]]},
        {"shared": {"a": Shared(distribution="uniform", effect=[1.0, 2.0])}},
        {"correlation": [1.0]},
        {"correlation": [[1.0, 0.0], [0.0, 1.0]]},
        {"unknown": 1},
    ],
)
def test_numbers_of_other_shapes_are_refused(change):
    with pytest.raises(ValidationError):
        Estimate(**{"unit": "V", "value": [0.0], "scatter": [1.0], "rests_on": "a test", **change})


def test_an_estimate_and_what_it_holds_cannot_be_changed():
    one = estimate([0.0], a=1.0)
    for array in (one.value, one.scatter, one.shared["a"].effect):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    for of, name in ((one, "unit"), (one.shared["a"], "distribution")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(of, name, "normal")


@pytest.mark.parametrize("factor", [1e-6, 0.5, 3.0])
def test_an_interval_is_as_large_in_another_unit(factor):
    np.testing.assert_allclose(
        estimate([0.3 * factor], a=factor).half_width(), factor * estimate([0.3], a=1.0).half_width(), rtol=1e-9
    )
