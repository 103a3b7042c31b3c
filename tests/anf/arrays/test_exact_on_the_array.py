"""A bad array costs acceptance, never correctness: Metropolis–Hastings on arrays that are noisy and full of dead
cells."""

import numpy as np
import pytest

from anf.arrays.analog import deploy
from anf.arrays.simulated import ArrayNoise
from anf.arrays.tuning import Tuning, tune
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice import exact
from anf.lattice.actions import Phi4
from anf.samplers.sampling import Samples, sample
from drivers.connect import open_crossbar
from firmware_bridge.mock.board import MockParams

ACTION = Phi4(m2=-4.0, lam=5.5, shape=(4, 4))
N = 24_000


def sample_on(mock: MockParams, noise: ArrayNoise, seed: int) -> Samples:
    flow, _ = load_flow(shipped(ACTION, "mixer"), ACTION)
    with open_crossbar("mock", seed=seed, mock=mock) as crossbar:
        arrays = deploy(flow, [crossbar])
        tune(flow, ACTION, arrays.simulated, Tuning(steps=100), noise=noise, seed=seed)
        with deployed(flow, {}, arrays.crossbar()):
            return sample(flow, ACTION, N, seed=seed)


def spoilt() -> MockParams:
    """Read noise tripled, 5 % of the cells stuck."""
    array = MockParams().array
    assert array.read_noise is not None
    assert array.faults is not None
    return MockParams(
        array=array.model_copy(
            update={
                "read_noise": array.read_noise.model_copy(update={"relative": 3 * array.read_noise.relative}),
                "faults": array.faults.model_copy(update={"stuck_high_fraction": 0.025, "stuck_low_fraction": 0.025}),
            }
        )
    )


@pytest.fixture(scope="module")
def healthy() -> Samples:
    return sample_on(MockParams(), ArrayNoise(), seed=0)


@pytest.fixture(scope="module")
def bad() -> Samples:
    return sample_on(spoilt(), ArrayNoise(read=3 * ArrayNoise().read), seed=0)


def test_acceptance_pays_for_a_bad_array(healthy: Samples, bad: Samples) -> None:
    assert bad.acceptance < healthy.acceptance - 0.05
    assert bad.proposals.ess < healthy.proposals.ess - 0.05


@pytest.fixture(scope="module")
def truth() -> dict[str, float]:
    return exact.phi4(4, ACTION.m2, ACTION.lam).by_name()


@pytest.mark.parametrize("name", ["chi2", "E", "phi2", "phi4"])
def test_observables_of_a_bad_array_are_the_exact_ones(bad: Samples, truth: dict[str, float], name: str) -> None:
    estimate, expected = bad.estimates[name], truth[name]
    # Four values at 3.5 σ: one false alarm in 500 seeds, and this seed is fixed.
    assert abs(estimate.value - expected) < 3.5 * estimate.error
    assert estimate.error < 0.05 * abs(expected)


def test_identities_hold_on_a_bad_array(bad: Samples) -> None:
    for name in ("virial", "zero_mode"):
        pull = bad.estimates[name].pull
        assert pull is not None
        assert abs(pull) < 3.5


def test_the_chain_moves_through_proposals_that_the_array_made(bad: Samples) -> None:
    assert len(np.unique(bad.state)) > N / 10
