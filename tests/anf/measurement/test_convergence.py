"""Verdicts on chains whose state is known."""

from __future__ import annotations

import numpy as np
import pytest

from anf.measurement.convergence import diagnose, heavy_tail, tail_index

RNG = np.random.default_rng(0)


def autoregressive(rho: float, chains: int, draws: int) -> np.ndarray:
    noise = RNG.standard_normal((chains, draws))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0]
    for t in range(1, draws):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    return x


def test_independent_draws_are_converged() -> None:
    verdict = diagnose({"x": RNG.standard_normal((8, 500))})
    assert verdict.converged
    assert verdict.r_hat["x"] < 1.01
    # τ_int = ½ for white noise.
    assert 800 < verdict.taus["x"] < 1200


def test_chains_in_different_places_are_named() -> None:
    verdict = diagnose({"x": RNG.standard_normal((8, 500)), "y": RNG.standard_normal((8, 500)) + np.arange(8)[:, None]})
    assert not verdict.converged
    assert verdict.r_hat["y"] > 1.5
    assert all(problem.startswith("y:") for problem in verdict.problems)


def test_chains_shorter_than_fifty_autocorrelation_times_are_named() -> None:
    # τ_int = ½ (1 + ρ)/(1 − ρ) = 9.5 for ρ = 0.9; 200 draws are 21 of them.
    verdict = diagnose({"x": autoregressive(0.9, 64, 200)})
    assert [problem for problem in verdict.problems if "autocorrelation times long, below 50" in problem]
    assert diagnose({"x": autoregressive(0.9, 64, 2000)}).converged


def test_one_chain_cannot_vouch_for_itself() -> None:
    verdict = diagnose({"x": RNG.standard_normal(500)})
    assert np.isnan(verdict.r_hat["x"])
    assert "one chain alone" in verdict.problems[0]


def test_a_series_that_stands_still_is_a_problem() -> None:
    assert not diagnose({"x": np.ones((4, 100))}).converged


@pytest.mark.parametrize("k", [0.3, 0.6, 1.0])
def test_the_tail_of_pareto_weights_has_their_index(k: float) -> None:
    rng = np.random.default_rng(3)
    found = [tail_index(np.log(1.0 + rng.pareto(1.0 / k, 20_000))) for _ in range(8)]
    # By maximum likelihood the error of one is (1 + k) / √m for m = 3√n points of the tail.
    error = (1.0 + k) / np.sqrt(3.0 * np.sqrt(20_000) * len(found))
    assert abs(np.mean(found) - k) < 4.0 * error


def test_a_shift_of_log_weights_and_weights_of_zero_leave_their_index_alone() -> None:
    log_w = np.log(1.0 + np.random.default_rng(4).pareto(2.0, 5000))
    assert tail_index(log_w - 800.0) == pytest.approx(tail_index(log_w), rel=1e-6)
    some = np.where(np.arange(5000) % 2, log_w, -np.inf)
    assert tail_index(some) == pytest.approx(tail_index(log_w), abs=0.5)


def test_weights_that_are_too_few_or_equal_have_no_tail() -> None:
    assert np.isnan(tail_index(np.zeros(24)))
    assert np.isnan(tail_index(np.zeros(1000)))
    assert heavy_tail(np.zeros(1000)) == ()


def test_weights_that_a_few_proposals_hold_are_named() -> None:
    rng = np.random.default_rng(5)
    assert heavy_tail(rng.normal(0.0, 0.5, 2000)) == ()
    (said,) = heavy_tail(rng.normal(0.0, 4.0, 2000))
    assert "is above 0.70: a few proposals hold the result" in said
    # Fewer tell less: 1 − 1 / log₁₀ 316 = 0.6.
    (said,) = heavy_tail(rng.normal(0.0, 4.0, 316))
    assert "is above 0.60" in said
