"""The φ⁴ action against its defining sum, its symmetries, finite differences and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anf.lattice.actions import Graphene, Phi4, action_from_name, lattice_momentum_squared

SHAPES = [(2, 2), (3, 3), (4, 4), (4, 6), (2, 5)]


def field(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def action_by_the_printed_sum(phi: np.ndarray, m2: float, lam: float) -> float:
    lx, ly = phi.shape
    total = 0.0
    for x in range(lx):
        for y in range(ly):
            here = phi[x, y]
            hop = sum(
                2 * here - phi[(x + i) % lx, (y + j) % ly] - phi[(x - i) % lx, (y - j) % ly]
                for i, j in ((1, 0), (0, 1))
            )
            total += here * hop + m2 * here**2 + lam * here**4
    return total


@pytest.mark.parametrize("shape", SHAPES)
def test_action_equals_equation_22_written_out_site_by_site(shape: tuple[int, int]) -> None:
    phi = field(shape)
    assert Phi4(-4.0, 5.5, shape)(phi) == pytest.approx(action_by_the_printed_sum(phi, -4.0, 5.5), rel=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_action_is_the_sum_of_squared_differences(shape: tuple[int, int]) -> None:
    phi = field(shape)
    kinetic = sum(((phi - np.roll(phi, -1, axis)) ** 2).sum() for axis in (0, 1))
    expected = kinetic + (0.3 * phi**2 + 2.0 * phi**4).sum()
    assert Phi4(0.3, 2.0, shape)(phi) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_matches_central_differences(shape: tuple[int, int]) -> None:
    action, phi, h = Phi4(-4.0, 5.0, shape), field(shape), 1e-5
    numerical = np.empty(shape)
    for site in np.ndindex(shape):
        step = np.zeros(shape)
        step[site] = h
        numerical[site] = (action(phi + step) - action(phi - step)) / (2 * h)
    np.testing.assert_allclose(action.gradient(phi), numerical, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_matches_autograd_in_torch(shape: tuple[int, int]) -> None:
    action = Phi4(-4.0, 5.0, shape)
    phi = torch.tensor(field((7, *shape)), requires_grad=True)
    action(phi).sum().backward()
    torch.testing.assert_close(action.gradient(phi.detach()), phi.grad, rtol=1e-12, atol=1e-12)


def test_numpy_and_torch_give_the_same_numbers() -> None:
    action, phi = Phi4(-4.0, 5.0, (4, 6)), field((3, 2, 4, 6))
    np.testing.assert_allclose(action(torch.tensor(phi)).numpy(), action(phi), rtol=1e-13)
    np.testing.assert_allclose(action.gradient(torch.tensor(phi)).numpy(), action.gradient(phi), rtol=1e-13, atol=1e-13)


@settings(max_examples=30, deadline=None)
@given(shift=st.tuples(st.integers(-5, 5), st.integers(-5, 5)), seed=st.integers(0, 1000))
def test_action_does_not_change_under_translation_reflection_transposition_and_sign(
    shift: tuple[int, int], seed: int
) -> None:
    action, phi = Phi4(-4.0, 5.5, (4, 4)), field((4, 4), seed)
    for image in (np.roll(phi, shift, (0, 1)), phi[::-1], phi[:, ::-1], phi.T, -phi):
        assert action(np.ascontiguousarray(image)) == pytest.approx(action(phi), rel=1e-12, abs=1e-12)


def test_quadratic_part_has_the_declared_spectrum() -> None:
    action, phi = Phi4(0.7, 0.0, (4, 6)), field((4, 6))
    modes = np.abs(np.fft.fft2(phi)) ** 2
    assert action(phi) == pytest.approx(0.5 * (action.free_spectrum() * modes).sum() / action.volume, rel=1e-12)
    assert lattice_momentum_squared((4, 6))[2, 3] == pytest.approx(8.0)


def test_s_identity_is_a_quarter_of_the_virial_configuration_by_configuration() -> None:
    action, phi = Phi4(-1.3, 5.0, (4, 4)), field((10, 4, 4))
    value, expected = action.identities(phi)["s_identity"]
    np.testing.assert_allclose(value, (phi * action.gradient(phi)).mean((-2, -1)) / 4, rtol=1e-11)
    assert expected == 0.25


@pytest.mark.parametrize(
    ("m2", "lam", "shape", "message"),
    [
        (-4.0, 0.0, (4, 4), "lam = 0 with m2 = -4"),
        (0.0, 0.0, (4, 4), "lam = 0"),
        (1.0, -0.1, (4, 4), "lam = -0.1"),
        (-4.0, float("nan"), (4, 4), "lam = nan"),
        (float("inf"), 5.0, (4, 4), "m2 = inf"),
        (-4.0, 5.0, (1, 4), "at least 2"),
        (-4.0, 5.0, (4, 4, 4), "two whole numbers"),
        (-4.0, 5.0, (4.5, 4), "whole numbers"),
    ],
)
def test_an_action_that_cannot_be_sampled_is_refused(m2: float, lam: float, shape: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Phi4(m2, lam, shape)


def test_a_field_of_another_lattice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(6, 6\).*\(4, 4\)"):
        Phi4(-4.0, 5.0, (4, 4))(np.zeros((3, 6, 6)))


def test_actions_are_made_by_name_and_record_the_couplings_that_make_them_again() -> None:
    action = action_from_name("phi4", 6, m2=-4.0, lam=5.0)
    assert action == Phi4(-4.0, 5.0, (6, 6))
    assert action_from_name(action.name, action.shape, **action.parameters) == action


def test_an_unknown_action_names_the_known_ones_and_a_wrong_coupling_the_right_ones() -> None:
    with pytest.raises(ValueError, match=r"'ising' does not exist.*phi4"):
        action_from_name("ising", 4)
    with pytest.raises(ValueError, match="m2, lam; got g"):
        action_from_name("phi4", 4, g=1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_graphene_is_the_sum_of_equation_37_with_the_euclidean_sign(shape: tuple[int, int]) -> None:
    phi, g, u = field(shape), 0.7, 0.4
    total = (g**2 * phi**2 / (2 * np.pi) - u * np.cos(2 * np.sqrt(np.pi) * phi)).sum()
    total += 0.5 * sum(((phi - np.roll(phi, -1, axis)) ** 2).sum() for axis in (0, 1))
    assert Graphene(g, u, shape)(phi) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_of_graphene_matches_autograd_and_numpy(shape: tuple[int, int]) -> None:
    action = Graphene(0.7, 0.4, shape)
    phi = torch.tensor(field((7, *shape)), requires_grad=True)
    action(phi).sum().backward()
    torch.testing.assert_close(action.gradient(phi.detach()), phi.grad, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(action.gradient(phi.detach().numpy()), phi.grad.numpy(), rtol=1e-12, atol=1e-12)


def test_graphene_changes_by_its_mass_term_under_a_shift_and_not_at_all_under_a_flip() -> None:
    action, phi = Graphene(0.6, 0.5, (4, 6)), field((3, 4, 6))
    shift = action.shift
    cost = action.volume * action.g**2 / (2 * np.pi) * (2 * shift * phi.mean((-2, -1)) + shift**2)
    np.testing.assert_allclose(action(phi + shift) - action(phi), cost, rtol=1e-10)
    np.testing.assert_allclose(action(-phi), action(phi), rtol=1e-12)


def test_graphene_at_u_0_has_the_declared_spectrum() -> None:
    action, phi = Graphene(0.8, 0.0, (4, 6)), field((4, 6))
    modes = np.abs(np.fft.fft2(phi)) ** 2
    assert action(phi) == pytest.approx(0.5 * (action.free_spectrum() * modes).sum() / action.volume, rel=1e-12)


def test_the_tadpole_is_the_mean_of_the_gradient() -> None:
    # Neighbour terms cancel in the sum over sites.
    action, phi = Graphene(0.8, 0.3, (4, 6)), field((5, 4, 6))
    value, expected = action.identities(phi)["tadpole"]
    np.testing.assert_allclose(value, action.gradient(phi).mean((-2, -1)), rtol=1e-10, atol=1e-13)
    assert expected == 0.0


@pytest.mark.parametrize(
    ("g", "u", "message"), [(0.0, 0.1, "g = 0 must be above 0"), (1.0, -0.1, "u = -0.1"), (float("inf"), 0, "g = inf")]
)
def test_couplings_of_graphene_that_cannot_be_sampled_are_refused(g: float, u: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graphene(g, u, (4, 4))
