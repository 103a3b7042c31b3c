"""Independence Metropolis–Hastings: the target, exactness under a noisy proposal density, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from anf.measurement import statistics
from anf.samplers import metropolis


def test_two_states_are_visited_in_the_ratio_of_their_probabilities() -> None:
    rng = np.random.default_rng(1)
    proposals = rng.integers(0, 2, 200_000)  # q = ½, ½
    log_p = np.log(np.array([0.2, 0.8]))[proposals]
    result = metropolis.accept(log_p, np.full(200_000, np.log(0.5)), seed=2)
    visits = statistics.gamma_method(proposals[result.state].astype(float))
    assert abs(visits.value - 0.8) < 3 * visits.error
    # Σ_ij p_i q_j min(1, p_j/p_i) = 0.2 + 0.8 (0.5 + 0.5/4)
    assert result.acceptance == pytest.approx(0.2 + 0.8 * 0.625, abs=0.005)


def test_perfect_proposals_are_always_accepted() -> None:
    result = metropolis.accept(np.full(100, -3.0), np.full(100, 2.0), seed=0)
    assert result.accepted.all()
    assert result.acceptance == 1.0
    np.testing.assert_array_equal(result.state, np.arange(100))


def test_a_gaussian_target_from_a_wider_gaussian() -> None:
    rng = np.random.default_rng(3)
    x = 1.5 * rng.standard_normal(100_000)
    result = metropolis.accept(-0.5 * x**2, -0.5 * (x / 1.5) ** 2, generator=rng)
    for power, exact in ((1, 0.0), (2, 1.0), (4, 3.0)):
        moment = statistics.gamma_method(x[result.state] ** power)
        assert abs(moment.value - exact) < 3 * moment.error


def weight(latent: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """log p − log q of φ = scale · latent, for the target N(0, 1) and a latent of density N(0, 1), up to a constant."""
    return -0.5 * (scale * latent) ** 2 + 0.5 * latent**2 + np.log(scale)


def noisy_flow(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """Latents, and the scale that a noisy layer really applied to each: given the noise, q is known."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n), rng.uniform(1.0, 3.0, n), rng


def test_the_chain_stays_unbiased_when_the_proposal_density_is_noisy_but_kept() -> None:
    latent, scale, rng = noisy_flow(400_000, seed=4)
    phi = scale * latent
    log_p = -0.5 * phi**2
    result = metropolis.accept(log_p, log_p - weight(latent, scale), generator=rng)
    for power, exact in ((2, 1.0), (4, 3.0)):
        moment = statistics.gamma_method(phi[result.state] ** power)
        assert abs(moment.value - exact) < 3 * moment.error
        assert moment.error < 0.01 * exact  # or the statement above says little


def test_the_chain_is_biased_when_the_present_state_is_read_again_from_its_latent() -> None:
    """Why the stored weight is kept: the present state is weighed under a fresh noise at every step."""
    n = 200_000
    latent, scale, rng = noisy_flow(n, seed=6)
    offered = weight(latent, scale)
    fresh, log_u = rng.uniform(1.0, 3.0, n), np.log(rng.random(n))
    present, square = 0, np.empty(n)
    for i in range(n):
        if log_u[i] < offered[i] - weight(latent[present], fresh[i]):
            present = i
        square[i] = (scale[present] * latent[present]) ** 2
    moment = statistics.gamma_method(square)
    assert moment.value - 1.0 > 8 * moment.error


def test_a_proposal_density_that_remembers_time_needs_shuffling() -> None:
    n = 400_000
    scale = np.tile([1.0, 3.0], n // 2)  # an array that switches between two states
    latent = np.random.default_rng(10).standard_normal(n)
    phi = scale * latent
    log_p = -0.5 * phi**2
    log_q = log_p - weight(latent, scale)
    in_time = statistics.gamma_method(phi[metropolis.accept(log_p, log_q, seed=11).state] ** 2)
    shuffled = statistics.gamma_method(phi[metropolis.accept(log_p, log_q, seed=11, shuffle=True).state] ** 2)
    assert 1.0 - in_time.value > 8 * in_time.error
    assert abs(shuffled.value - 1.0) < 3 * shuffled.error


def test_a_shuffled_chain_visits_every_perfect_proposal_once() -> None:
    result = metropolis.accept(np.zeros(50), np.zeros(50), seed=12, shuffle=True)
    assert result.acceptance == 1.0
    assert result.accepted.all()
    np.testing.assert_array_equal(np.sort(result.state), np.arange(50))
    assert (result.state != np.arange(50)).any()


def test_a_stream_cut_in_two_goes_on_where_it_stopped() -> None:
    rng = np.random.default_rng(8)
    log_p, log_q = rng.standard_normal(1000), rng.standard_normal(1000)
    whole = metropolis.accept(log_p, log_q, generator=np.random.default_rng(9))
    generator = np.random.default_rng(9)
    first = metropolis.accept(log_p[:400], log_q[:400], generator=generator)
    second = metropolis.accept(log_p[400:], log_q[400:], generator=generator, start=first.log_weight)
    joined = np.r_[first.state, np.where(second.state < 0, first.state[-1], second.state + 400)]
    np.testing.assert_array_equal(joined, whole.state)
    assert second.log_weight == whole.log_weight == (log_p - log_q)[whole.state[-1]]


def test_proposals_without_a_finite_weight_are_refused_and_counted() -> None:
    log_p, log_q = np.zeros(8), np.zeros(8)
    log_p[[0, 2]], log_q[[3, 5]] = [np.nan, -np.inf], [-np.inf, np.nan]
    result = metropolis.accept(log_p, log_q, seed=0)
    np.testing.assert_array_equal(result.state, [1, 1, 1, 1, 4, 4, 6, 7])
    assert result.n_nonfinite == 4
    assert result.acceptance == pytest.approx(3 / 7)
    assert np.isfinite(result.log_weight)


def test_a_start_that_is_not_left_is_marked() -> None:
    result = metropolis.accept(np.full(5, -1e6), np.zeros(5), seed=0, start=0.0)
    np.testing.assert_array_equal(result.state, -1)
    assert result.acceptance == 0.0
    assert not result.accepted.any()
    assert result.log_weight == 0.0


def test_input_without_a_chain_in_it_is_refused() -> None:
    with pytest.raises(ValueError, match="none of the 3 proposals has a finite weight"):
        metropolis.accept(np.full(3, np.nan), np.zeros(3))
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\)"):
        metropolis.accept(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="n >= 1"):
        metropolis.accept(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="start = nan"):
        metropolis.accept(np.zeros(3), np.zeros(3), start=float("nan"))
    with pytest.raises(ValueError, match="not both"):
        metropolis.accept(np.zeros(3), np.zeros(3), seed=1, generator=np.random.default_rng(1))
