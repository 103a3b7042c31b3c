"""The Gaussian base: its covariance, its density, and the spectrum that it starts from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from anf.flows.gaussian import GaussianBase, hartree_spectrum
from anf.lattice.actions import Graphene, Phi4
from anf.lattice.checkerboard import Checkerboard
from anf.lattice.completion import EvenHalf, WholeLattice
from anf.lattice.exact import FreeField

SHAPES = pytest.mark.parametrize("shape", [(4, 4), (4, 6), (6, 6)])


def matrix(base: GaussianBase, board: Checkerboard) -> torch.Tensor:
    sites = board.half if base.completed else 2 * board.half
    return base.double().colour(torch.eye(sites, dtype=torch.float64)).detach()


@SHAPES
@pytest.mark.parametrize("completed", [False, True])
def test_colour_is_a_symmetric_matrix_with_the_stated_determinant_and_inverse(shape, completed):
    board = Checkerboard(shape)
    base = GaussianBase(board, completed)
    torch.nn.init.normal_(base.log_amplitude, generator=torch.Generator().manual_seed(0))
    a = matrix(base, board)
    torch.testing.assert_close(a, a.T)
    torch.testing.assert_close(torch.linalg.slogdet(a).logabsdet, base.log_det().detach())
    torch.testing.assert_close(base.whiten(a).detach(), torch.eye(len(a), dtype=torch.float64))


@SHAPES
@pytest.mark.parametrize("completed", [False, True])
@pytest.mark.parametrize("name", ["phi4", "graphene"])
def test_without_interaction_the_base_is_the_theory_itself(shape, completed, name):
    action = Phi4(0.5, 0.0, shape) if name == "phi4" else Graphene(1.0, 0.0, shape)
    board = Checkerboard(shape)
    base = GaussianBase(board, completed)
    base.follow(action)
    z = torch.randn(board.half if completed else 2 * board.half, 5, dtype=torch.float64)
    x = base.double().colour(z).detach()
    target = EvenHalf(action) if completed else WholeLattice(action)
    value, gradient = target.value_and_gradient(x)
    log_q = -0.5 * z.square().sum(0) - 0.5 * len(z) * math.log(2 * math.pi) - base.log_det().detach()
    # log q = −S − ln Z: with the odd sites integrated out, S_eff has the same Z.
    expected = torch.full((5,), -FreeField(action).values.free_energy, dtype=torch.float64)
    torch.testing.assert_close(-value - log_q, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(base.whiten(z).detach(), gradient, rtol=1e-6, atol=1e-6)


def test_the_spectrum_of_an_interacting_field_solves_the_hartree_equation():
    for action in (Phi4(-4.0, 5.5, (6, 6)), Graphene(0.5, 0.1, (6, 6))):
        k = hartree_spectrum(action)
        assert k.min() > 0
        variance = (1 / k).mean()
        site = action.site
        curvature = 12 * site.quartic * variance
        curvature += site.cosine * site.frequency**2 * math.exp(-0.5 * site.frequency**2 * variance)
        np.testing.assert_allclose(k, action.free_spectrum() + curvature, rtol=1e-9)


def test_setting_a_spectrum_gives_it_back():
    board = Checkerboard((6, 6))
    base = GaussianBase(board, completed=False)
    k = hartree_spectrum(Phi4(-4.0, 5.5, (6, 6)))
    base.set_spectrum(k)
    np.testing.assert_allclose(base.spectrum(), k, rtol=1e-6)
