"""The gap against the free field, whose correlator is a cosh; the autocorrelation differs from mode to mode."""

from __future__ import annotations

import numpy as np
import pytest

from anf.lattice import exact
from anf.lattice.actions import Action, Graphene
from anf.measurement.mass_gap import MassGap, fit_mass_gap
from anf.measurement.observables import time_slice_correlator
from anf.measurement.statistics import covariance

FREE = Graphene(0.8, 0.0, (10, 6))


def chains(action: Action, n: int, draws: int, seed: int, slow: float = 0.0) -> np.ndarray:
    """Free fields ``(n, draws, Lx, Ly)``: each mode an AR(1) process, `slow` at p = 0 and less beyond."""
    rng = np.random.default_rng(seed)
    spectrum = action.free_spectrum()
    rho = slow * spectrum[0, 0] / spectrum
    noise = np.fft.fft2(rng.standard_normal((draws, n, *action.shape))) / np.sqrt(spectrum)
    modes = np.empty_like(noise)
    modes[0] = noise[0]
    for k in range(1, draws):
        modes[k] = rho * modes[k - 1] + np.sqrt(1 - rho**2) * noise[k]
    return np.fft.ifft2(modes).real.swapaxes(0, 1)


@pytest.fixture(scope="module")
def fits() -> list[MassGap]:
    return [fit_mass_gap(time_slice_correlator(chains(FREE, 8, 1000, seed, slow=0.7))) for seed in range(40)]


def test_the_gap_of_the_free_field_is_covered_by_its_error(fits: list[MassGap]) -> None:
    pulls = np.array([(fit.gap - exact.FreeField(FREE).gap) / fit.error for fit in fits])
    assert abs(pulls.mean()) < 3.5 / np.sqrt(40)
    assert abs(np.mean(pulls**2) - 1.0) < 3.5 * np.sqrt(2 / 40)


def test_p_values_say_that_one_cosh_is_enough(fits: list[MassGap]) -> None:
    # Nine in ten fits begin at once; with correlations of single draws in the place of the covariance fewer would.
    at_once = np.mean([fit.first == 1 for fit in fits])
    assert at_once > 0.9 - 3 * np.sqrt(0.9 * 0.1 / 40)
    assert all(fit.p_value > 0.01 for fit in fits)


def test_the_correlator_is_that_of_the_closed_form(fits: list[MassGap]) -> None:
    known = exact.FreeField(FREE).correlator[:6]
    for t in range(6):
        pulls = np.array([(fit.correlator[t] - known[t]) / fit.correlator_error[t] for fit in fits])
        assert abs(pulls.mean()) < 3.5 / np.sqrt(40)


def test_a_second_exponential_moves_the_beginning_of_the_fit() -> None:
    phi = chains(FREE, 8, 2000, seed=1)
    # A heavy field beside the light one: of mass about 2, gone after two sites.
    heavy = Graphene(3.6, 0.0, FREE.shape)
    fit = fit_mass_gap(time_slice_correlator(phi + 1.5 * chains(heavy, 8, 2000, seed=2)))
    assert fit.first > 1
    assert abs(fit.gap - exact.FreeField(FREE).gap) < 3.5 * fit.error


def test_a_correlator_below_the_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="draw more configurations"):
        fit_mass_gap(time_slice_correlator(np.random.default_rng(5).standard_normal((4, 50, 10, 6))))
    with pytest.raises(ValueError, match="draw more configurations, or take more sites along time"):
        fit_mass_gap(time_slice_correlator(chains(Graphene(0.8, 0.0, (4, 4)), 4, 500, seed=6)))


def test_covariance_of_means_counts_the_autocorrelation() -> None:
    rng = np.random.default_rng(7)
    noise = rng.standard_normal((2, 4, 20_000))
    noise[1] = 0.6 * noise[0] + 0.8 * noise[1]
    series = np.empty_like(noise)
    rho = np.array([0.8, 0.3])[:, None]
    series[:, :, 0] = noise[:, :, 0]
    for t in range(1, 20_000):
        series[:, :, t] = rho * series[:, :, t - 1] + noise[:, :, t]
    # The sum over all t of Γ_ij is that of white noise over (1 − ρ_i)(1 − ρ_j).
    expected = np.array([[1.0, 0.6], [0.6, 1.0]]) / np.outer(1 - rho, 1 - rho) / 80_000
    np.testing.assert_allclose(covariance(series, 30), expected, rtol=0.15)
