"""Proposals in batches and the chain over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anf.flows.checkpoint import load_flow, shipped
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice import exact
from anf.lattice.actions import Phi4
from anf.samplers.proposals import Proposals, measure_ess_forward, propose
from anf.samplers.sampling import sample
from anf.training.loop import TrainingConfig, train

ACTION = Phi4(-4.0, 5.0, (2, 2))


@pytest.fixture(scope="module")
def flow() -> MixerFlow:
    made = MixerFlow(
        MixerFlowConfig(shape=(2, 2), couplings=4, mixer=MixerConfig(channels=4, token_hidden=4, channel_hidden=4))
    )
    train(made, ACTION, TrainingConfig(steps=150, batch=128))
    return made


def test_log_q_and_action_belong_to_the_stored_configuration(flow):
    drawn = propose(flow, ACTION, 50, seed=1)
    phi = torch.from_numpy(drawn.phi)
    assert drawn.phi.dtype == np.float32
    np.testing.assert_allclose(drawn.log_q, flow.log_prob(phi), atol=1e-4)
    np.testing.assert_array_equal(drawn.action, ACTION(phi.double()))


def test_the_last_batch_may_be_smaller_and_progress_counts_to_the_end(flow):
    seen = []
    drawn = propose(flow, ACTION, 25, seed=1, batch=10, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 25), (20, 25), (25, 25)]
    assert np.isfinite(drawn.phi).all()
    assert len({tuple(phi.ravel()) for phi in drawn.phi}) == 25


def test_the_chain_samples_the_action_not_the_flow(flow):
    drawn = sample(flow, ACTION, 20_000, seed=3)
    values = exact.phi4(2, -4.0, 5.0).by_name()
    for name, value in values.items():
        ours = drawn.estimates[name]
        assert abs(ours.value - value) < 4 * ours.error
    # The flow alone is visibly off, else this would test nothing.
    raw = 4 * drawn.proposals.phi.mean((-2, -1)).astype(float) ** 2
    assert abs(raw.mean() - values["chi2"]) > 5 * raw.std() / np.sqrt(raw.size)


def test_the_chain_indexes_the_proposals_that_it_holds(flow):
    drawn = sample(flow, ACTION, 500, seed=2)
    assert drawn.state.shape == (500,)
    assert drawn.estimates["S"].value == pytest.approx(drawn.proposals.action[drawn.state].mean(), rel=1e-6)


def test_equal_seeds_give_equal_chains(flow):
    first, again, other = (sample(flow, ACTION, 200, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.proposals.phi, again.proposals.phi)
    np.testing.assert_array_equal(first.state, again.state)
    assert (first.proposals.phi != other.proposals.phi).any()


def test_a_proposal_that_is_not_finite_weighs_nothing():
    log_q = np.array([0.0, np.nan, 0.0, np.inf])
    drawn = Proposals(np.zeros((4, 2, 2), np.float32), log_q, np.array([0.0, 0.0, np.inf, 0.0]))
    np.testing.assert_array_equal(drawn.log_weights, [0.0, -np.inf, -np.inf, -np.inf])
    assert drawn.ess == pytest.approx(0.25)


def test_forward_ess_agrees_with_reverse_ess_where_the_flow_covers_the_action(flow):
    reverse = propose(flow, ACTION, 20_000, seed=1).ess
    assert measure_ess_forward(flow, ACTION, seed=1) == pytest.approx(reverse, rel=0.5)


def test_an_action_on_another_lattice_is_refused(flow):
    with pytest.raises(ValueError, match=r"action has shape \(4, 4\), the flow \(2, 2\)"):
        propose(flow, Phi4(-4.0, 5.0, (4, 4)), 10, seed=0)
    with pytest.raises(ValueError, match="n = 0 proposals: needs at least 1"):
        propose(flow, ACTION, 0, seed=0)


def test_weights_give_the_observables_of_the_chain_and_short_chains_are_flagged() -> None:
    action = Phi4(-4.0, 5.5, (4, 4))
    flow, _ = load_flow(shipped(action), action)
    drawn = sample(flow, action, 8192, seed=3)
    assert drawn.problems == ()
    for name in ("chi2", "E", "S"):
        along, weighted = drawn.estimates[name], drawn.reweighted[name]
        # The same proposals: differences are below the errors.
        assert abs(along.value - weighted.value) < 2 * along.error, name
        assert 0.5 < weighted.error / along.error < 1.5, name
    assert "too few to judge" in sample(flow, action, 20, seed=3).problems[0]
    assert any("draw more" in problem for problem in sample(flow, action, 100, seed=3).problems)
