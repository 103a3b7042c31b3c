"""Thermodynamic integration against closed forms and exact values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from anf.lattice import exact
from anf.lattice.actions import Action, Graphene, Phi4
from anf.measurement import free_energy
from anf.samplers.ensembles import HmcPlan, run_hmc


def chains(action: Action) -> Mapping[str, np.ndarray]:
    plan = HmcPlan(256, 100, seed=round(1e6 * sum(action.parameters.values())) % 10**6, thermalisation=150)
    return run_hmc(action, plan).series.values


def exactly(action: Action) -> Mapping[str, np.ndarray]:
    """Constant series at the exact values, with a ripple so that there is an error to speak of."""
    values = getattr(exact, action.name)(action.shape[0], **action.parameters).by_name()
    ripple = 1e-9 * (-1.0) ** np.arange(20)
    return {name: value + ripple for name, value in values.items()}


def test_six_nodes_suffice_for_phi4_and_five_for_the_wire() -> None:
    action = Phi4(-4.0, 5.0, (3, 3))
    value, _ = free_energy.absolute(action, exactly, nodes=6)
    assert value == pytest.approx(exact.phi4(3, -4.0, 5.0).free_energy, abs=2e-4)
    wire = Graphene(1.0, 0.5, (2, 2))
    value, _ = free_energy.absolute(wire, exactly, nodes=5)
    assert value == pytest.approx(exact.graphene(2, 1.0, 0.5).free_energy, abs=1e-6)


@pytest.mark.parametrize(
    ("action", "known"),
    [
        (Phi4(-4.0, 5.0, (4, 4)), -5.67100735),
        (Graphene(1.0, 0.5, (3, 3)), -3.652949),
    ],
)
def test_hmc_alone_gives_the_free_energy(action: Action, known: float) -> None:
    value, error = free_energy.absolute(action, chains, nodes=6)
    assert abs(value - known) < 3 * error
    assert error < 2e-3 * abs(known)


def test_steps_along_lambda_add_up_to_the_difference_of_exact_values() -> None:
    low, high = Phi4(-4.0, 5.0, (4, 4)), Phi4(-4.0, 6.0, (4, 4))
    value, error = free_energy.difference(low, high, chains, nodes=3)
    assert abs(value - (-4.21772400 + 5.67100735)) < 3 * error
    assert error < 5e-3


def test_conjugates_of_the_couplings_are_the_derivatives_of_s() -> None:
    rng = np.random.default_rng(1)
    for action in (Phi4(-4.0, 5.0, (4, 6)), Graphene(0.8, 0.3, (4, 6))):
        from anf.lattice.actions import action_from_name
        from anf.measurement.observables import measure

        phi, h = rng.standard_normal((3, *action.shape)), 1e-6
        for name, (observable, factor) in action.conjugates.items():
            up, down = (
                action_from_name(action.name, action.shape, **{**action.parameters, name: action.parameters[name] + e})
                for e in (h, -h)
            )
            np.testing.assert_allclose(
                (up(phi) - down(phi)) / (2 * h), factor * measure(action, phi)[observable], rtol=1e-6, atol=1e-6
            )


def test_a_line_between_different_lattices_is_refused() -> None:
    with pytest.raises(ValueError, match="same action on the same lattice"):
        free_energy.difference(Phi4(-4.0, 5.0, (4, 4)), Phi4(-4.0, 5.0, (6, 6)), chains, nodes=3)
