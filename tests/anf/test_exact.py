"""Exact values against numbers that were computed independently: closed forms, nested quadrature, published digits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from anf import exact


@pytest.mark.parametrize(
    ("L", "lam", "digits"),
    [
        (2, 5.0, ("-1.938422", "0.8908789", "0.2100461", "0.2811534", "0.1340184")),
        (2, 6.0, ("-1.491069", "0.6765417", "0.1562036", "0.2287827", "0.0937346")),
        (3, 5.0, ("-3.461670", "1.5809416", "0.1742728", "0.2616755", "0.1197091")),
        (3, 6.0, ("-2.580279", "1.0648173", "0.1169589", "0.2077286", "0.0806530")),
    ],
)
def test_small_tori_agree_with_the_row_transfer_matrix_to_the_digits_known(
    L: int, lam: float, digits: tuple[str, ...]
) -> None:
    e = exact.phi4(L, -4.0, lam)
    for value, known in zip((e.free_energy, e.chi2, e.energy, e.phi2, e.phi4), digits, strict=True):
        # half a unit in the last digit, plus as much for the rounding of the known number itself
        assert value == pytest.approx(float(known), abs=10.0 ** -len(known.split(".")[1]))


def test_two_by_two_agrees_with_brute_force_quadrature_over_all_four_sites() -> None:
    m2, lam = -4.0, 5.0
    x, w = np.polynomial.legendre.leggauss(48)
    x, w = 1.9 * x, 1.9 * w
    a, b, c, d = np.meshgrid(x, x, x, x, indexing="ij", sparse=True)
    # every bond of the 2 × 2 torus occurs twice
    kinetic = 2 * ((a - b) ** 2 + (c - d) ** 2 + (a - c) ** 2 + (b - d) ** 2)
    local = sum(m2 * s**2 + lam * s**4 for s in (a, b, c, d))
    weight = np.exp(-kinetic - local) * np.einsum("i,j,k,l->ijkl", w, w, w, w)
    z = weight.sum()
    e = exact.phi4(2, m2, lam)
    assert e.free_energy == pytest.approx(-np.log(z), abs=1e-8)
    assert e.chi2 == pytest.approx((weight * (a + b + c + d) ** 2).sum() / z / 4, rel=1e-8)
    assert e.energy == pytest.approx((weight * a * b).sum() / z, rel=1e-8)
    assert e.phi2 == pytest.approx((weight * a**2).sum() / z, rel=1e-8)
    assert e.phi4 == pytest.approx((weight * a**4).sum() / z, rel=1e-8)


def test_a_single_site_is_a_one_dimensional_integral() -> None:
    x = np.linspace(-4, 4, 20001)
    weight = np.exp(4 * x**2 - 5 * x**4)
    z = weight.sum() * (x[1] - x[0])
    e = exact.phi4(1, -4.0, 5.0)
    assert e.free_energy == pytest.approx(-np.log(z), abs=1e-9)
    assert e.phi2 == e.chi2 == pytest.approx((weight * x**2).sum() / weight.sum(), rel=1e-9)
    assert e.phi4 == pytest.approx((weight * x**4).sum() / weight.sum(), rel=1e-9)


def test_without_interaction_the_torus_reproduces_the_free_field() -> None:
    for L, m2 in itertools.product((2, 3), (2.0, 4.0)):
        torus, closed = exact.phi4(L, m2, 0.0), exact.free_field((L, L), m2)
        for name, value in vars(closed).items():
            assert getattr(torus, name) == pytest.approx(value, rel=1e-9), (L, m2, name)


def test_free_field_two_point_function_is_the_inverse_of_the_hessian() -> None:
    shape, m2 = (3, 4), 0.5
    hessian = np.zeros((12, 12))
    for x, y in np.ndindex(shape):
        hessian[4 * x + y, 4 * x + y] += 2 * (4 + m2)
        for i, j in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            hessian[4 * x + y, 4 * ((x + i) % 3) + (y + j) % 4] -= 2
    covariance = np.linalg.inv(hessian)
    e = exact.free_field(shape, m2)
    assert e.free_energy == pytest.approx(0.5 * np.linalg.slogdet(hessian / (2 * np.pi))[1], rel=1e-12)
    assert e.chi2 == pytest.approx(covariance.sum() / 12, rel=1e-12)
    assert e.phi2 == pytest.approx(covariance[0, 0], rel=1e-12)
    assert e.energy == pytest.approx((covariance[0, 1] + covariance[0, 4]) / 2, rel=1e-12)


def test_derivatives_of_the_free_energy_are_the_moments() -> None:
    h = 1e-3
    d_lam = (exact.phi4(3, -4.0, 5.0 + h).free_energy - exact.phi4(3, -4.0, 5.0 - h).free_energy) / (2 * h)
    d_m2 = (exact.phi4(3, -4.0 + h, 5.0).free_energy - exact.phi4(3, -4.0 - h, 5.0).free_energy) / (2 * h)
    e = exact.phi4(3, -4.0, 5.0)
    assert d_lam == pytest.approx(9 * e.phi4, rel=1e-6)
    assert d_m2 == pytest.approx(9 * e.phi2, rel=1e-6)


def test_four_by_four_has_converged_in_the_bond_dimension() -> None:
    coarse = exact.phi4(4, -4.0, 5.5, bond_dimension=6)
    assert coarse.chi2 == pytest.approx(1.75945408, rel=2e-7)
    assert coarse.energy == pytest.approx(0.12147216, rel=2e-7)
    assert coarse.phi2 == pytest.approx(0.21948256, rel=2e-7)
    assert coarse.phi4 == pytest.approx(0.08962624, rel=2e-7)


def test_what_cannot_be_computed_to_the_stated_accuracy_is_refused() -> None:
    with pytest.raises(ValueError, match="L = 5"):
        exact.phi4(5, -4.0, 5.0)
    with pytest.raises(ValueError, match="lam = 0"):
        exact.phi4(2, -4.0, 0.0)
    with pytest.raises(ValueError, match="virial comes out at"):
        exact.phi4(3, -4.0, 5.0, bond_dimension=3)
    with pytest.raises(ValueError, match="m2 = 0"):
        exact.free_field((4, 4), 0.0)
