"""Exact values against numbers that were computed independently: closed forms, nested quadrature, published digits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import iv

from anf.lattice import exact
from anf.lattice.actions import Action, Graphene, Phi4, bond_sum


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
        torus, closed = exact.phi4(L, m2, 0.0), exact.FreeField(Phi4(m2, 0.0, (L, L))).values
        for name, value in closed.by_name().items():
            assert torus.by_name()[name] == pytest.approx(value, rel=1e-9), (L, m2, name)
        assert torus.free_energy == pytest.approx(closed.free_energy, rel=1e-9)
    for L in (2, 3):
        torus, closed = exact.graphene(L, 1.0, 0.0), exact.FreeField(Graphene(1.0, 0.0, (L, L))).values
        for name, value in closed.by_name().items():
            assert torus.by_name()[name] == pytest.approx(value, rel=1e-5), (L, name)
        assert torus.free_energy == pytest.approx(closed.free_energy, abs=1e-7)


@pytest.mark.parametrize("action", [Phi4(0.5, 0.0, (3, 4)), Graphene(0.9, 0.0, (3, 4))])
def test_free_field_two_point_function_is_the_inverse_of_the_hessian(action: Action) -> None:
    columns = [action.gradient(unit.reshape(3, 4)).reshape(12) for unit in np.eye(12)]
    covariance = np.linalg.inv(np.stack(columns))
    field = exact.FreeField(action)
    np.testing.assert_allclose(field.two_point, covariance[0].reshape(3, 4), rtol=1e-12)
    e = field.values
    assert e.free_energy == pytest.approx(-0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1], rel=1e-12)
    assert e.chi2 == pytest.approx(covariance.sum() / 12, rel=1e-12)
    assert e.phi2 == pytest.approx(covariance[0, 0], rel=1e-12)
    assert e.energy == pytest.approx((covariance[0, 1] + covariance[0, 4]) / 2, rel=1e-12)


@pytest.mark.parametrize("action", [Phi4(0.5, 0.0, (12, 5)), Graphene(0.9, 0.0, (12, 5))])
def test_free_correlator_is_a_cosh_of_the_gap(action: Action) -> None:
    field = exact.FreeField(action)
    cosh = np.cosh(field.gap * (np.arange(12) - 6.0))
    np.testing.assert_allclose(field.correlator, field.correlator[6] * cosh, rtol=1e-11)


def test_gap_of_the_free_wire_is_that_of_the_boson() -> None:
    assert 2.0 * np.sinh(exact.FreeField(Graphene(0.7, 0.0, (4, 4))).gap / 2.0) == pytest.approx(0.7 / np.sqrt(np.pi))


def test_cosine_of_the_free_wire_tends_to_g_over_the_root_of_32_pi() -> None:
    # G(0) → −ln(M²/32)/4π on a large lattice, hence ⟨cos⟩ = exp(−2πG(0)) → g/√(32π).
    cosine = exact.FreeField(Graphene(0.05, 0.0, (1024, 1024))).values.cosine
    assert cosine == pytest.approx(0.05 / np.sqrt(32 * np.pi), rel=1e-3)


def test_moments_of_the_free_field_are_those_of_a_gaussian() -> None:
    action = Graphene(0.9, 0.0, (4, 6))
    white = np.fft.fft2(np.random.default_rng(0).standard_normal((200_000, 4, 6)))
    phi = np.fft.ifft2(white / np.sqrt(action.free_spectrum())).real
    series = {
        "abs_M": np.abs(phi.mean((-2, -1))), "S": action(phi), "phi4": (phi**4).mean((-2, -1)),
        "cos": np.cos(2 * np.sqrt(np.pi) * phi).mean((-2, -1)), "E": bond_sum(phi) / 48,
    }  # fmt: skip
    known = exact.FreeField(action).by_name()
    for name, values in series.items():
        assert abs(values.mean() - known[name]) < 3.5 * values.std() / np.sqrt(len(values)), name


def test_closed_forms_of_an_interacting_action_are_refused() -> None:
    with pytest.raises(ValueError, match="lam = 5 makes the action interact"):
        exact.FreeField(Phi4(-4.0, 5.0, (4, 4)))
    with pytest.raises(ValueError, match=r"u = 0\.5 makes the action interact"):
        exact.FreeField(Graphene(1.0, 0.5, (4, 4)))


def test_graphene_two_by_two_agrees_with_a_sum_over_the_dual_lattice_of_charges() -> None:
    # exp(u cos ωφ) = Σ_n I_n(u) cos(nωφ): a Coulomb gas of charges n on the four sites, each weighted by a Gaussian.
    g, u = 1.0, 0.5
    action = Graphene(g, 0.0, (2, 2))
    free = exact.FreeField(action)
    charges = np.array(list(itertools.product(range(-5, 6), repeat=4)))
    positions = np.array(list(np.ndindex(2, 2)))
    green = np.array([[free.two_point[tuple((a - b) % 2)] for b in positions] for a in positions])
    weight = np.prod(iv(np.abs(charges), u), axis=1)
    gas = weight * np.exp(-2 * np.pi * np.einsum("ci,ij,cj->c", charges, green, charges))
    e = exact.graphene(2, g, u)
    assert e.free_energy == pytest.approx(free.values.free_energy - np.log(gas.sum()), abs=1e-8)
    # ⟨M²⟩ of a Gaussian with imaginary sources ω n: its own, less the square of the mean that they draw.
    drawn = 2 * np.sqrt(np.pi) * charges.sum(1) * free.values.chi2 / 4
    assert e.chi2 == pytest.approx(free.values.chi2 - 4 * (gas * drawn**2).sum() / gas.sum(), rel=1e-6)


def test_derivative_of_the_free_energy_of_the_wire_is_its_cosine() -> None:
    h = 1e-3
    slope = (exact.graphene(2, 1.0, 0.5 + h).free_energy - exact.graphene(2, 1.0, 0.5 - h).free_energy) / (2 * h)
    cosine = exact.graphene(2, 1.0, 0.5).cosine
    assert cosine is not None
    assert slope == pytest.approx(-4 * cosine, rel=1e-5)


def test_derivatives_of_the_free_energy_are_the_moments() -> None:
    h = 1e-3
    d_lam = (exact.phi4(3, -4.0, 5.0 + h).free_energy - exact.phi4(3, -4.0, 5.0 - h).free_energy) / (2 * h)
    d_m2 = (exact.phi4(3, -4.0 + h, 5.0).free_energy - exact.phi4(3, -4.0 - h, 5.0).free_energy) / (2 * h)
    e = exact.phi4(3, -4.0, 5.0)
    assert d_lam == pytest.approx(9 * e.phi4, rel=1e-6)
    assert d_m2 == pytest.approx(9 * e.phi2, rel=1e-6)


def test_four_by_four_has_converged_in_the_bond_dimension() -> None:
    coarse = exact.phi4(4, -4.0, 5.5)  # six terms; the numbers are those of seven
    assert coarse.chi2 == pytest.approx(1.75945408, rel=6e-8)
    assert coarse.energy == pytest.approx(0.12147216, rel=6e-8)
    assert coarse.phi2 == pytest.approx(0.21948256, rel=6e-8)
    assert coarse.phi4 == pytest.approx(0.08962624, rel=6e-8)


def test_what_cannot_be_computed_to_the_stated_accuracy_is_refused() -> None:
    with pytest.raises(ValueError, match="L = 5"):
        exact.phi4(5, -4.0, 5.0)
    with pytest.raises(ValueError, match="lam = 0"):
        exact.phi4(2, -4.0, 0.0)
    with pytest.raises(ValueError, match="virial comes out at"):
        exact.phi4(3, -4.0, 5.0, bond_dimension=3)
    with pytest.raises(ValueError, match=r"L = 4 is outside 2 … 3"):
        exact.graphene(4, 1.0, 0.5)
    with pytest.raises(ValueError, match=r"graphene.*virial comes out at"):
        exact.graphene(3, 0.3, 0.5)
