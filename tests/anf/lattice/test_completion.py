"""Given the even half of the lattice, the odd half is drawn exactly, with its exact density."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from anf.lattice.actions import Graphene, Phi4, SitePotential
from anf.lattice.completion import Completion, EvenHalf, WholeLattice, completion
from anf.lattice.site_kernels import log_z
from anf.lattice.site_tables import SiteTables

ACTIONS = [
    Phi4(-4.0, 5.0, (4, 6)),
    Phi4(-6.0, 2.0, (2, 4)),
    Phi4(1.5, 0.0, (4, 4)),
    Graphene(1.0, 0.5, (4, 6)),
    Graphene(0.2, 1.0, (6, 4)),
]
ALL = pytest.mark.parametrize("action", ACTIONS, ids=lambda a: f"{a.name} {a.shape} {list(a.parameters.values())}")
WIDE_FIELDS = (0.0, 0.013, -0.7, 3.2, -6.9, 9.5, 21.0, -60.0)
"""Neighbour sums inside the tables and far outside."""


def exponent(action, h, x):
    return -action.site(x) + action.hopping * h * x


def integral(action, h, upto: float = np.inf) -> tuple[float, float]:
    """(log of the maximum taken out, the rest of) ∫ exp(−V + κhx) dx up to `upto`, by adaptive quadrature."""
    x = np.linspace(-30, 30, 60_001)
    e = exponent(action, h, x)
    best, inside = e.max(), x[e > e.max() - 60]
    low, high = inside.min(), min(inside.max(), upto)
    pieces = np.linspace(low, max(low, high), 30)
    total = sum(
        integrate.quad(lambda at: math.exp(exponent(action, h, at) - best), a, b, epsabs=0, epsrel=1e-12)[0]
        for a, b in itertools.pairwise(pieces)
    )
    return best, total


@ALL
def test_log_z_is_the_integral_to_a_billionth_inside_the_table_and_outside(action):
    tables = SiteTables(action.site, action.hopping)
    for h in WIDE_FIELDS:
        best, total = integral(action, h)
        assert abs(log_z(h, *tables.log_z)[0] - best - math.log(total)) < 1e-9


@ALL
def test_the_slope_of_log_z_is_the_mean_of_a_site(action):
    tables = SiteTables(action.site, action.hopping)
    for h in WIDE_FIELDS:
        step = 1e-4
        rise = log_z(h + step, *tables.log_z)[0] - log_z(h - step, *tables.log_z)[0]
        assert log_z(h, *tables.log_z)[1] == pytest.approx(rise / (2 * step), abs=1e-5)


@ALL
def test_draws_follow_the_density(action):
    """Kolmogorov and Smirnov, fifteen thousand draws at each field; one bad table in a thousand would show."""
    tables, random = SiteTables(action.site, action.hopping), np.random.default_rng(5)
    for h in WIDE_FIELDS:
        drawn = np.sort(tables.draw(np.full(15_000, h), random))
        best, total = integral(action, h)
        grid = np.linspace(drawn[0] - 1.0, drawn[-1] + 1.0, 20_001)
        cdf = integrate.cumulative_trapezoid(np.exp(exponent(action, h, grid) - best), grid, initial=0.0) / total
        assert stats.kstest(drawn, lambda x, g=grid, c=cdf: np.interp(x, g, c)).pvalue > 1e-3


@ALL
def test_s_and_the_density_of_the_odd_half_make_up_the_effective_action(action):
    """−S(φ) − log p(odd | even) = −S_eff(even), whatever the odd half."""
    done, random = completion(action), np.random.default_rng(1)
    even, odd = 0.8 * random.standard_normal((2, done.board.half, 7))
    phi = np.empty((7, *action.shape))
    phi[:, done.board.even[:, 0], done.board.even[:, 1]] = even.T
    phi[:, done.board.odd[:, 0], done.board.odd[:, 1]] = odd.T
    np.testing.assert_allclose(action(phi) + done.log_prob(odd, even), done.effective(even)[0], atol=1e-8)


@ALL
def test_the_gradient_of_the_effective_action_is_its_slope(action):
    done, random = Completion(action), np.random.default_rng(2)
    even = random.standard_normal((done.board.half, 1))
    moved = np.repeat(even, done.board.half, 1)
    step = 1e-4 * np.eye(done.board.half)
    slope = (done.effective(moved + step)[0] - done.effective(moved - step)[0]) / 2e-4
    np.testing.assert_allclose(done.effective(even)[1][:, 0], slope, atol=2e-5)


def test_a_draw_comes_with_the_density_of_what_was_stored():
    done, random = completion(Phi4(-4.0, 5.0, (4, 4))), np.random.default_rng(3)
    even = random.standard_normal((8, 50)).astype(np.float32)
    odd, log_p = done.draw(even, random)
    assert odd.dtype == np.float32
    np.testing.assert_array_equal(log_p, done.log_prob(odd, even))


def test_completing_an_exact_even_half_gives_the_exact_lattice():
    """λ = 0: even sites of the Gaussian, drawn exactly and completed, have the free field's correlations."""
    action, random = Phi4(0.5, 0.0, (4, 4)), np.random.default_rng(4)
    modes = np.fft.fft2(random.standard_normal((40_000, 4, 4))) / np.sqrt(action.free_spectrum())
    phi = np.fft.ifft2(modes).real
    done = completion(action)
    odd, _ = done.draw(np.ascontiguousarray(phi[:, done.board.even[:, 0], done.board.even[:, 1]].T), random)
    energy_before = action(phi)
    phi[:, done.board.odd[:, 0], done.board.odd[:, 1]] = odd.T
    for values in (energy_before, action(phi)):
        assert abs(values.mean() - 8.0) < 4 * values.std() / 200


def test_whole_and_even_targets_are_the_action_and_the_effective_action():
    import torch

    action = Graphene(0.5, 0.3, (4, 4))
    x = torch.randn(16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole, half = WholeLattice(action), EvenHalf(action)
    value, gradient = whole.value_and_gradient(x)
    phi = whole.board.assemble((x[:8], x[8:]))
    torch.testing.assert_close(value, action(phi))
    torch.testing.assert_close(whole.board.assemble((gradient[:8], gradient[8:])), action.gradient(phi))
    np.testing.assert_array_equal(half.value_and_gradient(x[:8])[0], completion(action).effective(x[:8].numpy())[0])


def test_potentials_that_cannot_be_normalised_or_tabulated_are_refused():
    with pytest.raises(ValueError, match=r"quadratic = -1.*cannot be normalised"):
        SiteTables(SitePotential(-1.0), 1.0)
    with pytest.raises(ValueError, match="wells are too deep"):
        SiteTables(SitePotential(2.0, cosine=60.0, frequency=3.5), 1.0)


def test_an_odd_side_and_fields_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="Ly = 5"):
        Completion(Phi4(-4.0, 5.0, (4, 5)))
    with pytest.raises(FloatingPointError, match="not finite"):
        completion(Phi4(-4.0, 5.0, (4, 4))).draw(np.full((8, 1), np.nan), np.random.default_rng(0))
