"""Verdicts on chains whose state is known."""

from __future__ import annotations

import numpy as np

from anf.measurement.convergence import diagnose

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
