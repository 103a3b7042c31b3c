"""HMC: the integrator's properties, the target against exact values and identities, resuming, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from anf.lattice import exact, kernels
from anf.lattice.actions import Action, Graphene, Phi4
from anf.measurement import observables
from anf.measurement.convergence import diagnose
from anf.samplers import hmc


def start(action: Action, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return 0.5 * rng.standard_normal((*action.shape, n)), rng.standard_normal((*action.shape, n))


def moved(
    action: Action, phi: np.ndarray, momentum: np.ndarray, step: float, n: int, fourier_mass2: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    phi, momentum = phi.copy(), momentum.copy()
    if fourier_mass2 is None:
        kernels.leapfrog(phi, momentum, step, n, kernels.site_constants(action), action.hopping)
    else:
        hmc.Fourier(action, fourier_mass2).leapfrog(phi, momentum, step, n)
    return phi, momentum


def energy(action: Action, phi: np.ndarray, momentum: np.ndarray) -> np.ndarray:
    return action(np.moveaxis(phi, -1, 0)) + 0.5 * (momentum**2).sum((0, 1))


CASES = [
    (Phi4(-4.0, 5.0, (4, 6)), None),
    (Phi4(-4.0, 5.0, (4, 5)), 0.7),
    (Graphene(0.8, 0.5, (4, 6)), None),
    (Graphene(0.8, 0.5, (6, 4)), 0.3),
]


@pytest.mark.parametrize(("action", "fourier_mass2"), CASES)
def test_the_energy_error_of_a_trajectory_falls_as_the_square_of_the_step(
    action: Action, fourier_mass2: float | None
) -> None:
    phi, momentum = start(action, 64, seed=1)
    before = energy(action, phi, momentum)
    errors = [
        np.abs(energy(action, *moved(action, phi, momentum, 1.0 / n, n, fourier_mass2)) - before).mean()
        for n in (32, 64, 128)
    ]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize(("action", "fourier_mass2"), CASES)
def test_a_trajectory_with_its_momenta_turned_round_comes_back(action: Action, fourier_mass2: float | None) -> None:
    phi, momentum = start(action, 8, seed=2)
    there = moved(action, phi, momentum, 0.1, 20, fourier_mass2)
    back = moved(action, there[0], -there[1], 0.1, 20, fourier_mass2)
    np.testing.assert_allclose(back[0], phi, rtol=0, atol=1e-9)
    np.testing.assert_allclose(back[1], -momentum, rtol=0, atol=1e-9)
    assert np.abs(there[0] - phi).max() > 0.1


@pytest.mark.parametrize("action", [Phi4(-4.0, 5.0, (2, 3)), Graphene(0.8, 0.5, (2, 3))])
def test_a_trajectory_conserves_volume_in_phase_space(action: Action) -> None:
    phi, momentum = start(action, 1, seed=3)

    def flow(z: np.ndarray) -> np.ndarray:
        there = moved(action, z[:6].reshape(2, 3, 1), z[6:].reshape(2, 3, 1), 0.2, 5)
        return np.concatenate([part.reshape(-1) for part in there])

    z, h = np.concatenate([phi.reshape(-1), momentum.reshape(-1)]), 1e-5
    columns = [(flow(z + h * unit) - flow(z - h * unit)) / (2 * h) for unit in np.eye(12)]
    assert np.linalg.det(np.stack(columns)) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("action", [Phi4(-4.0, 5.0, (4, 5)), Graphene(0.8, 0.5, (4, 5)), Phi4(1.0, 0.3, (2, 2))])
def test_the_compiled_force_and_value_are_those_of_the_action(action: Action) -> None:
    phi = 3.0 * start(action, 7, seed=4)[0]
    site = kernels.site_constants(action)
    value = np.empty(7)
    kernels.action_values(phi, site, action.hopping, value)
    np.testing.assert_allclose(value, action(np.moveaxis(phi, -1, 0)), rtol=1e-12)
    momentum = np.zeros_like(phi)
    # No drift of a field that stands still: one step of two half kicks.
    kernels.leapfrog(phi, momentum, 1e-9, 1, site, action.hopping)
    force = action.gradient(np.moveaxis(phi, -1, 0))
    # The sine of the force is good to 6·10⁻⁸ of its amplitude 2√π u.
    np.testing.assert_allclose(np.moveaxis(momentum, -1, 0), -1e-9 * force, rtol=1e-7, atol=3e-16)


Sampled = tuple[Phi4, hmc.HmcResult, dict[str, observables.Estimate]]


MOVES = {
    "plain": hmc.Moves(symmetry=False),
    "symmetry": hmc.Moves(),
    "fourier": hmc.Moves(fourier_mass2=1.0),
    "cluster": hmc.Moves(symmetry=False, clusters=2),
}
EVEN_HALF = hmc.Moves(even_half=True)


@pytest.fixture(scope="module", params=[(2, 5.0, "symmetry"), *((3, 6.0, name) for name in MOVES)], ids=str)
def sampled(request: pytest.FixtureRequest) -> Sampled:
    L, lam, moves = request.param
    action = Phi4(-4.0, lam, (L, L))
    result = hmc.run(action, 512, 500, seed=11, thermalisation=150, moves=MOVES[moves])
    return action, result, observables.summarise(action, result.phi)


def test_observables_agree_with_the_exact_values(sampled: Sampled) -> None:
    action, _, estimates = sampled
    for name, value in exact.phi4(action.shape[0], action.m2, action.lam).by_name().items():
        assert abs(estimates[name].value - value) < 3 * estimates[name].error, name
        assert estimates[name].error < 5e-3 * value, name  # or the statement above says little


def test_identities_hold(sampled: Sampled) -> None:
    _, _, estimates = sampled
    pulls = {name: e.pull for name, e in estimates.items() if e.pull is not None}
    assert set(pulls) == {"virial", "zero_mode", "s_identity"}
    assert max(map(abs, pulls.values())) < 3, pulls


def test_the_mean_of_exp_minus_dh_is_one_when_no_trajectory_runs_away() -> None:
    result = hmc.run(Phi4(-4.0, 5.0, (4, 4)), 1024, 100, seed=12, thermalisation=100, target_acceptance=0.97)
    # ⟨ΔH⟩ is about 0.003 at this acceptance and the variance of exp(−ΔH) twice that; 4σ, with a factor of five to spare
    assert result.exp_minus_dh == pytest.approx(1.0, abs=4 * np.sqrt(0.03 / (1024 * 100)))


def test_acceptance_is_on_target_and_the_actions_belong_to_the_fields(sampled: Sampled) -> None:
    action, result, _ = sampled
    assert 0.75 < result.acceptance < 0.85
    np.testing.assert_allclose(result.action, action(result.phi), rtol=1e-9, atol=1e-9)


def test_the_free_field_is_sampled_in_every_mode() -> None:
    action = Phi4(0.5, 0.0, (4, 6))
    result = hmc.run(action, 512, 200, seed=5, thermalisation=150)
    power = np.abs(np.fft.fft2(result.phi)) ** 2 / action.volume
    mean, error = power.mean((0, 1)), power.mean(1).std(0) / np.sqrt(512)
    pulls = (mean - 1 / action.free_spectrum()) / error
    assert np.abs(pulls).max() < 4  # 24 modes
    assert (error * action.free_spectrum()).max() < 0.02


def test_sign_flips_remove_the_autocorrelation_of_the_signed_magnetisation() -> None:
    action = Phi4(-4.0, 5.0, (6, 6))
    with_flips, without = (
        observables.summarise(
            action, hmc.run(action, 64, 300, seed=6, moves=hmc.Moves(symmetry=flip), thermalisation=100).phi
        )
        for flip in (True, False)
    )
    assert with_flips["M"].tau_int < 0.6
    assert without["M"].tau_int > 2.0
    assert abs(with_flips["M2"].value - without["M2"].value) < 3 * np.hypot(with_flips["M2"].error, without["M2"].error)


@pytest.mark.parametrize("moves", [*MOVES.values(), EVEN_HALF, hmc.Moves(clusters=1, fourier_mass2=0.5)])
@pytest.mark.parametrize("action", [Phi4(-4.0, 5.0, (4, 4)), Graphene(0.5, 0.3, (4, 4))])
def test_a_run_goes_on_from_its_state_with_the_same_bits(action: Action, moves: hmc.Moves) -> None:
    whole = hmc.run(action, 5, 8, thin=2, seed=7, thermalisation=20, moves=moves)
    first = hmc.run(action, 5, 3, thin=2, seed=7, thermalisation=20, moves=moves)
    second = hmc.run(action, 5, 5, thin=2, state=first.state, moves=moves)
    np.testing.assert_array_equal(np.concatenate([first.phi, second.phi], 1), whole.phi)
    np.testing.assert_array_equal(second.state.phi, whole.state.phi)
    assert second.step_size == first.step_size == whole.step_size


def test_graphene_without_a_cosine_is_the_free_field_in_every_mode() -> None:
    action = Graphene(1.0, 0.0, (4, 6))
    result = hmc.run(action, 512, 200, seed=5, thermalisation=150)
    power = np.abs(np.fft.fft2(result.phi)) ** 2 / action.volume
    mean, error = power.mean((0, 1)), power.mean(1).std(0) / np.sqrt(512)
    assert np.abs((mean - 1 / action.free_spectrum()) / error).max() < 4  # 24 modes
    assert (error * action.free_spectrum()).max() < 0.03


def test_chains_frozen_in_their_wells_are_flagged_and_the_shift_sets_them_free() -> None:
    action = Graphene(0.2, 0.5, (6, 6))
    verdicts, chi2 = {}, {}
    for moves in ("plain", "fourier", "symmetry", "cluster"):
        chosen = hmc.Moves(symmetry=False, fourier_mass2=1.0) if moves == "fourier" else MOVES[moves]
        result = hmc.run(action, 64, 800, seed=3, thermalisation=200, moves=chosen)
        chi2[moves] = observables.summarise(action, result.phi)["chi2"]
        verdicts[moves] = diagnose({"M": result.phi.mean((-2, -1)), "S": result.action})
    assert verdicts["symmetry"].converged, verdicts["symmetry"].problems
    for frozen in ("plain", "fourier", "cluster"):
        assert any("M: R-hat" in problem for problem in verdicts[frozen].problems), frozen
    # The zero mode sits at multiples k of √π, with weights exp(−(g²/2π) V π k²); within a well it hardly moves.
    k = np.arange(-20, 21)
    weight = np.exp(-0.5 * action.mass2 * action.volume * np.pi * k**2)
    between = action.volume * np.pi * (weight * k**2).sum() / weight.sum()
    assert chi2["symmetry"].value == pytest.approx(between, rel=0.05)


def test_chains_in_several_groups_fill_the_result_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmc, "_GROUP_SITES", 40)
    action = Phi4(-4.0, 5.0, (4, 4))
    result = hmc.run(action, 7, 3, seed=8, thermalisation=5)
    np.testing.assert_allclose(result.action, action(result.phi), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(result.state.phi, result.phi[:, -1])
    assert len(np.unique(result.phi[:, -1, 0, 0])) == 7


def test_progress_counts_every_trajectory() -> None:
    seen: list[tuple[int, int]] = []
    hmc.run(
        Phi4(-4.0, 5.0, (2, 2)),
        2,
        3,
        thin=2,
        seed=1,
        thermalisation=4,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(k, 10) for k in range(1, 11)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_chains": 0}, "n_chains = 0"),
        ({"n_draws": 0}, "n_draws = 0"),
        ({"n_draws": 1.5}, "n_draws = 1.5"),
        ({"thin": 0}, "thin = 0"),
        ({"thermalisation": -1}, "thermalisation = -1"),
        ({"trajectory_length": float("nan")}, "trajectory_length = nan"),
        ({"target_acceptance": 1.0}, "target_acceptance = 1.0"),
    ],
)
def test_runs_that_make_no_sense_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hmc.run(Phi4(-4.0, 5.0, (2, 2)), **{"n_chains": 1, "n_draws": 1, **arguments})


def test_a_step_that_is_never_accepted_is_an_error_and_not_a_constant_chain() -> None:
    with pytest.raises(ValueError, match=r"step_size = 0.2: no trajectory was accepted; thermalise longer"):
        hmc.run(Phi4(-4.0, 1e6, (4, 4)), 4, 10, seed=1, thermalisation=0)


def test_a_state_of_another_run_is_refused() -> None:
    state = hmc.run(Phi4(-4.0, 5.0, (2, 2)), 2, 1, seed=1, thermalisation=5).state
    with pytest.raises(ValueError, match=r"state.phi has shape \(2, 2, 2\)"):
        hmc.run(Phi4(-4.0, 5.0, (4, 4)), 2, 1, state=state)
    with pytest.raises(ValueError, match="seed and state"):
        hmc.run(Phi4(-4.0, 5.0, (2, 2)), 2, 1, state=state, seed=3)


def test_parameters_of_the_moves_are_checked() -> None:
    for moves, message in (
        (hmc.Moves(clusters=-1), "clusters = -1"),
        (hmc.Moves(fourier_mass2=0.0), "fourier_mass2 = 0.0 must be positive"),
    ):
        with pytest.raises(ValueError, match=message):
            hmc.run(Phi4(-4.0, 5.0, (2, 2)), 1, 1, moves=moves)
