"""One flow for a range of couplings: an ordinary flow at each, better over the range than the one it began from."""

from __future__ import annotations

import pytest
import torch

from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4
from anf.training.conditioned import Conditioned
from anf.training.evaluation import evaluate
from anf.training.loop import TrainingConfig, TrainingDiverged, train


def action(m2: float) -> Phi4:
    return Phi4(m2, 0.0, (4, 4))


CONFIG = MixerFlowConfig(
    shape=(4, 4), couplings=2, completed=True, fitted_base=True,
    mixer=MixerConfig(window=2, channels=4, token_hidden=None, channel_hidden=4, features=2),
)  # fmt: skip
SHORT = TrainingConfig(steps=80, batch=64, learning_rate=2e-2, report_every=10, checkpoint_every=10)


@pytest.fixture(scope="module")
def base() -> MixerFlow:
    flow = MixerFlow(CONFIG, 0, action(2.0))
    train(flow, action(2.0), SHORT)
    return flow


def test_before_training_it_is_the_flow_that_it_began_from_at_every_coupling(base: MixerFlow) -> None:
    conditioned = Conditioned(base, "m2", (1.0, 3.0))
    for m2 in (1.0, 2.5):
        base.aim(action(m2))
        phi, log_q = conditioned.at(action(m2)).sample(8, torch.Generator().manual_seed(3))
        expected, expected_log_q = base.sample(8, torch.Generator().manual_seed(3))
        assert torch.equal(phi, expected)
        assert torch.equal(log_q, expected_log_q)


def test_one_flow_serves_the_whole_range_and_its_matrices_stay(base: MixerFlow) -> None:
    conditioned = Conditioned(base, "m2", (1.0, 3.0))
    conditioned.train(action, SHORT)
    for m2 in (1.0, 1.6, 3.0):
        base.aim(action(m2))
        before, flow = evaluate(base, action(m2), 4096).ess, conditioned.at(action(m2))
        after = evaluate(flow, action(m2), 4096).ess
        assert after > 0.9 > before if m2 == 1.0 else after > 0.9
        for name, layer in flow.base_layers().items():
            assert torch.equal(layer.weight, base.base_layers()[name].weight)


def test_gradients_of_the_coefficients_are_those_of_the_polynomial(base: MixerFlow) -> None:
    # One step of plain descent at one coupling moves a number by the same amount through each power of u, times u^k.
    conditioned = Conditioned(base, "m2", (1.0, 3.0), groups=("base",), degree=2)
    before = {name: a.clone() for name, a in conditioned.coefficients.items()}
    conditioned.train(lambda _: action(1.5), SHORT.model_copy(update={"steps": 1}))  # u = −½
    for name, a in conditioned.coefficients.items():
        moved = a - before[name]
        # Adam's first step is the sign of the gradient: + − +.
        assert torch.equal(moved[0].sign(), -moved[1].sign())
        assert torch.equal(moved[0].sign(), moved[2].sign())


def test_what_makes_no_sense_is_refused(base: MixerFlow) -> None:
    with pytest.raises(ValueError, match=r"between = \(3.0, 1.0\)"):
        Conditioned(base, "m2", (3.0, 1.0))
    with pytest.raises(ValueError, match="degree = 0"):
        Conditioned(base, "m2", (1.0, 3.0), degree=0)
    with pytest.raises(ValueError, match="arrays cannot follow"):
        Conditioned(base, "m2", (1.0, 3.0), groups=("weights",))
    with pytest.raises(ValueError, match="no parameter"):
        Conditioned(base, "m2", (1.0, 3.0), groups=("lora",))
    with pytest.raises(ValueError, match=r"m2 = 3\.5: the flow was conditioned on 1 to 3"):
        Conditioned(base, "m2", (1.0, 3.0)).at(action(3.5))
    with pytest.raises(TrainingDiverged, match="lower learning_rate"):
        Conditioned(base, "m2", (1.0, 3.0)).train(action, SHORT.model_copy(update={"learning_rate": 1e6}))
