"""HMC on the even half, the odd half integrated out: its force, its integrator, and what it draws."""

from __future__ import annotations

import numpy as np
import pytest

from anf.lattice import even_kernels, exact, kernels
from anf.lattice.actions import Action, Graphene, Phi4
from anf.lattice.completion import completion
from anf.measurement import observables
from anf.measurement.convergence import diagnose
from anf.samplers import hmc

MOVES = hmc.Moves(even_half=True)
ACTIONS = pytest.mark.parametrize(
    "action", [Phi4(-4.0, 5.0, (4, 6)), Phi4(1.5, 0.0, (4, 4)), Graphene(0.8, 0.5, (4, 6)), Graphene(0.2, 1.0, (6, 4))]
)


def leapfrog(action: Action, even: np.ndarray, momentum: np.ndarray, step: float, n: int) -> tuple[np.ndarray, ...]:
    even, momentum, half = even.copy(), momentum.copy(), completion(action)
    even_kernels.leapfrog(
        even, momentum, step, n, half.board.odd_neighbours, half.board.even_neighbours, kernels.site_constants(action),
        even_kernels.slope_of(half.tables), np.empty_like(even),
    )  # fmt: skip
    return even, momentum


def start(action: Action, n: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (action.volume // 2, n)
    return scale * rng.standard_normal(shape), rng.standard_normal(shape)


@ACTIONS
def test_the_force_is_the_gradient_of_s_eff(action: Action) -> None:
    even, _ = start(action, 50, 0.6)
    momentum = leapfrog(action, even, np.zeros_like(even), 1e-9, 1)[1]
    _, gradient = completion(action).effective(even)
    np.testing.assert_allclose(momentum, -1e-9 * gradient, rtol=0, atol=3e-5 * 1e-9 * np.abs(gradient).max())


@ACTIONS
def test_a_trajectory_comes_back_and_its_energy_error_falls_as_the_square_of_the_step(action: Action) -> None:
    even, momentum = start(action, 64, 0.5)

    def energy(even: np.ndarray, momentum: np.ndarray) -> np.ndarray:
        return completion(action).effective(even)[0] + 0.5 * (momentum**2).sum(0)

    errors = [
        np.abs(energy(*leapfrog(action, even, momentum, 1.0 / n, n)) - energy(even, momentum)).mean() for n in (16, 32)
    ]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    there = leapfrog(action, even, momentum, 0.1, 10)
    back = leapfrog(action, there[0], -there[1], 0.1, 10)
    np.testing.assert_allclose(back[0], even, rtol=0, atol=1e-9)
    assert np.abs(there[0] - even).max() > 0.1


def test_a_potential_too_sharp_for_the_polynomial_is_refused() -> None:
    with pytest.raises(ValueError, match="too sharp for a polynomial of degree 41; run HMC on all sites"):
        hmc.run(Phi4(-6.0, 2.0, (4, 4)), 1, 1, moves=MOVES)


def test_observables_of_phi4_are_the_exact_ones() -> None:
    action = Phi4(-4.0, 5.0, (2, 2))
    found = observables.summarise(action, hmc.run(action, 512, 500, seed=11, thermalisation=150, moves=MOVES).phi)
    for name, value in exact.phi4(2, action.m2, action.lam).by_name().items():
        assert abs(found[name].value - value) < 3 * found[name].error, name
        assert found[name].error < 5e-3 * value, name


@pytest.mark.parametrize("action", [Phi4(-4.0, 5.0, (6, 6)), Graphene(0.2, 0.5, (6, 6))], ids=lambda a: a.name)
def test_it_agrees_with_hmc_on_all_sites_and_moves_farther(action: Action) -> None:
    half, whole = (hmc.run(action, 64, 800, seed=2, thermalisation=200, moves=moves) for moves in (MOVES, hmc.Moves()))
    assert diagnose({"M": half.phi.mean((-2, -1)), "S": half.action}).converged  # wells of the wire included
    np.testing.assert_allclose(half.action, action(half.phi), rtol=1e-9, atol=1e-9)
    assert 0.75 < half.acceptance < 0.85
    ours, reference = (observables.summarise(action, result.phi) for result in (half, whole))
    for name in ("abs_M", "chi2", "phi2", "E", "S"):
        error = np.hypot(ours[name].error, reference[name].error)
        assert abs(ours[name].value - reference[name].value) < 3 * error, name
    if action.name == "phi4":  # S of this wire goes with the wells
        # Half the sites are new in every draw, and the other half see a smoother potential.
        assert ours["S"].tau_int < 0.7 * reference["S"].tau_int


def test_what_does_not_go_together_is_refused() -> None:
    action = Phi4(-4.0, 5.0, (4, 4))
    for moves in (hmc.Moves(clusters=1, even_half=True), hmc.Moves(fourier_mass2=1.0, even_half=True)):
        with pytest.raises(ValueError, match="even_half with clusters"):
            hmc.run(action, 1, 1, moves=moves)
    with pytest.raises(ValueError, match="Ly = 5: must be even"):
        hmc.run(Phi4(-4.0, 5.0, (4, 5)), 1, 1, moves=MOVES)
