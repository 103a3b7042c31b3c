"""Observables by their definitions, and estimates that agree between Markov chains, Metropolis and reweighting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anf.lattice import exact
from anf.lattice.actions import Graphene, Phi4
from anf.measurement import observables
from anf.samplers import metropolis

ACTION = Phi4(-4.0, 5.0, (4, 4))


def field(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_two_point_function_is_its_defining_sum() -> None:
    phi = field((3, 4, 6))
    correlator = observables.two_point(phi)
    for x, y in [(0, 0), (1, 0), (0, 1), (3, 5), (2, 4)]:
        shifted = np.roll(phi, (-x, -y), (-2, -1))
        np.testing.assert_allclose(correlator[:, x, y], (phi * shifted).mean((-2, -1)), rtol=1e-10, atol=1e-12)


def test_energy_and_susceptibility_are_sums_of_the_two_point_function() -> None:
    phi = field((5, 4, 4))
    correlator, values = observables.two_point(phi), observables.measure(ACTION, phi)
    np.testing.assert_allclose(values["E"], (correlator[:, 1, 0] + correlator[:, 0, 1]) / 2, rtol=1e-10)
    np.testing.assert_allclose(values["chi2"], correlator.sum((-2, -1)), rtol=1e-10)
    np.testing.assert_allclose(values["phi2"], correlator[:, 0, 0], rtol=1e-10)
    np.testing.assert_allclose(values["abs_M"], np.abs(phi.mean((-2, -1))))


def test_time_slice_correlator_is_the_two_point_function_at_zero_momentum() -> None:
    phi = field((3, 4, 6))
    np.testing.assert_allclose(
        observables.time_slice_correlator(phi), observables.two_point(phi).sum(-1) / 6, rtol=1e-10
    )
    square = field((3, 4, 4))
    both = (observables.two_point(square).sum(-1) + observables.two_point(square).sum(-2)) / 8
    np.testing.assert_allclose(observables.time_slice_correlator(square), both, rtol=1e-10)


@pytest.mark.parametrize("L", [2, 3, 4, 12])
def test_correlation_length_of_a_pure_cosh_is_the_length_put_in(L: int) -> None:
    t = np.arange(L)
    correlator = np.cosh((t - L / 2) / 3.7)
    # the ends of the sum meet the image: C(L) = C(0), so the cosh holds at every t
    assert observables.inverse_correlation_length(correlator) == pytest.approx(1 / 3.7, rel=1e-9)


def test_correlation_length_is_nan_when_noise_makes_the_correlator_concave() -> None:
    assert np.isnan(observables.inverse_correlation_length(np.array([1.0, 0.9, 1.1, 0.9])))


def test_condensate_of_the_wire_is_its_cosine_with_either_lattice_factor() -> None:
    action = Graphene(0.5, 0.2, (4, 6))
    phi = field((5, 4, 6))
    values = observables.measure(action, phi)
    np.testing.assert_allclose(values["cos"], np.cos(2 * np.sqrt(np.pi) * phi).mean((-2, -1)), rtol=1e-12)
    for name, g_times_o in (("condensate", np.sqrt(32 * np.pi)), ("condensate_10", 10.0)):
        expected = -np.exp(0.5772156649015329) / (2 * np.pi**1.5) * g_times_o * values["cos"]
        np.testing.assert_allclose(values[name], expected, rtol=1e-12)


def test_condensate_of_the_free_wire_tends_to_the_massless_schwinger_model() -> None:
    # ⟨ψ̄ψ⟩ = −(e^γ / 2π^{3/2}) g at u = 0, T = 0, in the continuum
    g = 0.05
    cosine = exact.FreeField(Graphene(g, 0.0, (1024, 1024))).values.cosine
    of_zero_field = Graphene(g, 0.0, (2, 2)).observables(np.zeros((1, 2, 2)))["condensate"][0]
    assert cosine is not None
    assert of_zero_field * cosine / g == pytest.approx(-0.1599, rel=2e-3)


def test_measure_takes_torch_and_any_leading_axes_and_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    phi = field((3, 5, 4, 4))
    whole = observables.measure(ACTION, phi)
    monkeypatch.setattr(observables, "_BLOCK_SITES", 64)
    parts = observables.measure(ACTION, torch.tensor(phi))
    assert whole.keys() == parts.keys()
    for name, series in whole.items():
        assert series.shape == (3, 5)
        np.testing.assert_allclose(parts[name], series, rtol=1e-12)


# A Gaussian in the place of a flow: proposals from the free field of m² = 0.7, target the free field of m² = 1.
FREE, PROPOSAL = Phi4(1.0, 0.0, (3, 3)), Phi4(0.7, 0.0, (3, 3))


def proposals(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """φ ~ free field of `PROPOSAL` and its log q (not normalised)."""
    white = np.fft.fft2(field((n, 3, 3), seed))
    phi = np.fft.ifft2(white / np.sqrt(PROPOSAL.free_spectrum())).real
    return phi, -PROPOSAL(phi)


def test_metropolis_and_reweighting_agree_with_the_exact_free_field() -> None:
    phi, log_q = proposals(60_000, seed=1)
    log_p = -FREE(phi)
    known = exact.FreeField(FREE).by_name()
    state = metropolis.accept(log_p, log_q, seed=2).state
    for estimates in (
        observables.summarise(FREE, phi, state=state),
        observables.summarise(FREE, phi, log_weights=log_p - log_q),
    ):
        for name, value in known.items():
            assert abs(estimates[name].value - value) < 3 * estimates[name].error, name
        assert abs(estimates["virial"].pull) < 3
        assert abs(estimates["zero_mode"].pull) < 3


def test_errors_of_reweighted_ratios_cover_the_truth() -> None:
    known = exact.FreeField(FREE).values
    pulls: dict[str, list[float]] = {"chi2": [], "E": [], "binder": []}
    for seed in range(100):
        phi, log_q = proposals(2000, seed)
        estimates = observables.summarise(FREE, phi, log_weights=-FREE(phi) - log_q)
        for name, value in (
            ("chi2", known.chi2),
            ("E", known.energy),
            ("binder", 0.0),
        ):  # a Gaussian M has no Binder cumulant
            pulls[name].append((estimates[name].value - value) / estimates[name].error)
    for name, series in pulls.items():
        assert 0.55 < np.mean(np.square(series)) < 1.6, name  # 1 ± 3.5 √(2/100), and a little for the weights' tail
        assert abs(np.mean(series)) < 0.35, name


def test_a_diverged_proposal_that_was_refused_does_not_spread() -> None:
    phi, log_q = proposals(2000, seed=4)
    log_p = -FREE(phi)
    clean = observables.summarise(FREE, phi[1:], log_weights=(log_p - log_q)[1:])
    phi[0], log_p[0] = np.nan, -np.inf
    by_weight = observables.summarise(FREE, phi, log_weights=log_p - log_q)
    by_chain = observables.summarise(FREE, phi, state=metropolis.accept(log_p, log_q, seed=5).state)
    assert by_weight["E"].value == pytest.approx(clean["E"].value, rel=1e-9)
    assert all(np.isfinite(row.value) for rows in (by_weight, by_chain) for row in rows.values())


def test_an_ensemble_of_equal_weights_is_the_plain_mean_and_tau_is_one_half() -> None:
    phi = field((500, 4, 4))
    rows = observables.summarise(ACTION, phi, log_weights=np.full(500, -12.0))
    series = observables.measure(ACTION, phi)["phi2"]
    assert rows["phi2"].value == pytest.approx(series.mean(), rel=1e-12)
    assert rows["phi2"].error == pytest.approx(series.std(ddof=1) / np.sqrt(500), rel=1e-9)
    assert rows["phi2"].tau_int == 0.5
    assert rows["phi2"].n_effective == pytest.approx(500)


def test_a_metropolis_state_is_the_same_as_the_chain_written_out() -> None:
    phi = field((300, 4, 4))
    state = np.sort(np.random.default_rng(3).integers(0, 300, 1000))
    by_index, written_out = observables.summarise(ACTION, phi, state=state), observables.summarise(ACTION, phi[state])
    for name, row in by_index.items():
        assert row.value == pytest.approx(written_out[name].value, rel=1e-10, nan_ok=True)
        assert row.error == pytest.approx(written_out[name].error, rel=1e-10, nan_ok=True)


def test_functions_of_means_get_the_error_of_their_linearisation() -> None:
    phi = field((4000, 4, 4))
    rows = observables.summarise(ACTION, phi[None])
    blocks = [observables.summarise(ACTION, part[None])["binder"].value for part in np.array_split(phi, 40)]
    assert rows["binder"].error == pytest.approx(np.std(blocks, ddof=1) / np.sqrt(40), rel=0.35)


def test_second_moment_length_of_the_free_field_is_the_inverse_mass() -> None:
    # χ(k) ∝ 1/(p̂² + m²), so that χ(0)/χ(k) − 1 = 4 sin²(k/2)/m² and ξ = 1/m
    white = np.fft.fft2(field((20_000, 4, 4), 8))
    action = Phi4(0.7, 0.0, (4, 4))
    phi = np.fft.ifft2(white / np.sqrt(action.free_spectrum())).real
    row = observables.summarise(action, phi)["xi_2nd"]
    assert abs(row.value - 0.7**-0.5) < 3 * row.error


@pytest.mark.parametrize(
    ("phi", "arguments", "message"),
    [
        (np.zeros((20, 6, 6)), {}, "lattice of"),
        (np.zeros((4, 4)), {}, "leading axes"),
        (np.zeros((0, 4, 4)), {}, "leading axes"),
        (np.zeros((2, 20, 4, 4)), {"log_weights": np.zeros(20)}, "1 leading axes"),
        (np.zeros((20, 4, 4)), {"log_weights": np.zeros(19)}, "20 proposals"),
        (np.zeros((20, 4, 4)), {"state": np.full(30, 20)}, "0 … 19"),
        (np.zeros((20, 4, 4)), {"state": np.full(30, -1)}, "0 … 19"),
        (np.zeros((20, 4, 4)), {"state": np.zeros(30)}, "indices"),
        (np.zeros((20, 4, 4)), {"state": np.zeros(30, int), "log_weights": np.zeros(20)}, "not both"),
        (np.full((20, 4, 4), np.nan), {}, "not finite"),
    ],
)
def test_samples_that_do_not_fit_are_refused(phi: np.ndarray, arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        observables.summarise(ACTION, phi, **arguments)
