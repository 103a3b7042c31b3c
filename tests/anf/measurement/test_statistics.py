"""Γ-method errors, effective sample sizes and free energies against processes whose answers are known."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import lfilter

from anf.measurement import statistics


def ar1(rho: float, n_chains: int, n: int, seed: int) -> np.ndarray:
    """Stationary AR(1) with unit variance; τ_int = ½ (1 + ρ)/(1 − ρ)."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n_chains, n)) * np.sqrt(1 - rho**2)
    noise[:, 0] = rng.standard_normal(n_chains)
    return lfilter([1.0], [1.0, -rho], noise, axis=1)


def test_the_error_analysis_is_loaded_when_it_is_needed_and_not_before() -> None:
    modules = "anf.measurement.observables, anf.measurement.convergence"
    code = f"import sys, {modules}; sys.exit(bool({{'pyerrors', 'arviz_stats'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("rho", "tau"), [(0.0, 0.5), (0.5, 1.5), (0.9, 9.5)])
def test_tau_int_of_an_autoregressive_process(rho: float, tau: float) -> None:
    result = statistics.gamma_method(ar1(rho, 4, 50_000, seed=1))
    assert abs(result.tau_int - tau) < 3 * result.tau_int_error + 0.01 * tau
    assert result.n_effective == pytest.approx(200_000 / (2 * result.tau_int))
    assert result.error == pytest.approx(np.sqrt(2 * tau / 200_000), rel=0.1)


def test_rho_is_the_normalised_autocorrelation_function() -> None:
    rho = statistics.gamma_method(ar1(0.8, 8, 20_000, seed=2)).rho
    np.testing.assert_allclose(rho[:6], 0.8 ** np.arange(6), atol=0.02)


def test_the_error_covers_the_truth_as_often_as_a_normal_error_does() -> None:
    pulls = np.array([(r := statistics.gamma_method(ar1(0.7, 2, 2000, seed))).value / r.error for seed in range(200)])
    # the variance of 200 unit normals is 1 ± √(2/200)
    assert abs(np.mean(pulls**2) - 1) < 3.5 * np.sqrt(2 / 200)


def test_many_short_chains_are_judged_about_their_common_mean() -> None:
    chains = ar1(0.9, 2000, 40, seed=3)
    true_error = np.sqrt(chains.mean(1).var() / 2000)
    assert statistics.gamma_method(chains).error == pytest.approx(true_error, rel=0.15)


def test_a_chain_that_never_moves_has_no_error_rather_than_a_zero_one() -> None:
    result = statistics.gamma_method(np.full(100, 0.37))
    assert result.value == pytest.approx(0.37)
    assert np.isnan(result.error)
    assert np.isinf(result.tau_int)
    assert result.n_effective == 0


def test_chains_of_different_lengths_are_replica_with_one_mean() -> None:
    whole = ar1(0.7, 1, 12_000, seed=4)[0]
    parts = np.split(whole, [1000, 1005, 7000])
    apart, together = statistics.gamma_method(parts), statistics.gamma_method(whole)
    assert apart.value == pytest.approx(together.value)
    assert apart.error == pytest.approx(together.error, rel=0.05)
    assert apart.n_effective == pytest.approx(12_000 / (2 * apart.tau_int))


@pytest.mark.parametrize("series", [np.zeros(5), np.zeros((3, 2, 20)), np.array([1.0] * 20 + [np.nan])])
def test_series_that_cannot_be_analysed_are_refused(series: np.ndarray) -> None:
    with pytest.raises(ValueError, match="series"):
        statistics.gamma_method(series)


# p = N(0, 1), q = N(0, s²): E_q[w²]/E_q[w]² = s² / √(2s² − 1).
S = 1.2
ESS_GAUSSIAN = np.sqrt(2 * S**2 - 1) / S**2


def log_weight(x: np.ndarray, offset: float = 0.0) -> np.ndarray:
    return -0.5 * x**2 + 0.5 * (x / S) ** 2 + np.log(S * np.sqrt(2 * np.pi)) + offset


def test_ess_of_two_gaussians_from_either_side_is_the_closed_form() -> None:
    rng = np.random.default_rng(4)
    from_q, from_p = S * rng.standard_normal(200_000), rng.standard_normal(200_000)
    assert statistics.ess(log_weight(from_q)) == pytest.approx(ESS_GAUSSIAN, abs=0.003)
    assert statistics.ess_forward(log_weight(from_p)) == pytest.approx(ESS_GAUSSIAN, abs=0.003)


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_ess_is_blind_to_the_normalisation_and_does_not_overflow(offset: float) -> None:
    x = np.random.default_rng(5).standard_normal(1000)
    assert statistics.ess(log_weight(x, offset)) == pytest.approx(statistics.ess(log_weight(x)), rel=1e-9)
    assert statistics.ess_forward(log_weight(x, offset)) == pytest.approx(
        statistics.ess_forward(log_weight(x)), rel=1e-9
    )


def test_ess_of_equal_weights_is_one_and_of_a_single_weight_one_over_n() -> None:
    assert statistics.ess(np.full(64, -3.0)) == 1.0
    assert statistics.ess(np.r_[0.0, np.full(63, -np.inf)]) == pytest.approx(1 / 64)


def test_forward_ess_sees_a_mode_that_the_proposals_never_visit() -> None:
    rng = np.random.default_rng(6)
    log_q = lambda x: -0.5 * ((x - 6) ** 2)  # noqa: E731
    log_p = lambda x: np.logaddexp(-0.5 * (x - 6) ** 2, -0.5 * (x + 6) ** 2)  # noqa: E731
    from_q = 6 + rng.standard_normal(10_000)
    from_p = 6 * rng.choice([-1, 1], 10_000) + rng.standard_normal(10_000)
    assert statistics.ess(log_p(from_q) - log_q(from_q)) > 0.99
    assert statistics.ess_forward(log_p(from_p) - log_q(from_p)) < 1e-10


def test_free_energy_of_a_gaussian_integral_within_its_error() -> None:
    # w is unnormalised by √2π, so Z = √2π
    rng = np.random.default_rng(7)
    pulls = []
    for _ in range(200):
        free_energy, error = statistics.free_energy(log_weight(S * rng.standard_normal(500)))
        pulls.append((free_energy + 0.5 * np.log(2 * np.pi)) / error)
    assert abs(np.mean(pulls)) < 3.5 / np.sqrt(200)
    assert abs(np.mean(np.square(pulls)) - 1) < 3.5 * np.sqrt(2 / 200)


@pytest.mark.parametrize("bad", [[], [[0.0]], [0.0, np.nan], [0.0, np.inf], [-np.inf, -np.inf]])
def test_weights_without_meaning_are_refused(bad: list) -> None:
    for function in (statistics.ess, statistics.ess_forward, statistics.free_energy, statistics.normalised_weights):
        with pytest.raises(ValueError, match="log_weights"):
            function(np.array(bad))
