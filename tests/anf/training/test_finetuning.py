"""Fine-tuning touches the digital part only, and makes up for what arrays hold."""

from __future__ import annotations

import pytest
import torch

from anf.flows.deployed import deployed
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4
from anf.training.evaluation import evaluate
from anf.training.finetuning import finetune
from anf.training.loop import DIGITAL, TrainingConfig, parameter_groups, train
from anf.training.noise import TrainingNoise, noisy_engine

CONFIG = MixerFlowConfig(
    shape=(4, 4), couplings=2, site_map="tanh", mixer=MixerConfig(patch=4, channels=6, channel_hidden=6)
)
FREE = Phi4(3.0, 0.0, (4, 4))
SHORT = TrainingConfig(steps=8, batch=32, report_every=2, checkpoint_every=4)
LONG = TrainingConfig(steps=120, batch=64, learning_rate=2e-2)
NOISE = TrainingNoise(programming=0.02, read=0.004)


@pytest.mark.parametrize("group", [g for g in DIGITAL if g != "base"])  # the mixer has no base of its own
def test_finetuning_moves_the_chosen_group_and_nothing_else(group):
    flow = MixerFlow(CONFIG)
    flow.add_lora(2)
    before = {name: p.detach().clone() for name, p in flow.named_parameters()}
    finetune(flow, FREE, SHORT, groups=[group])
    moved = {name for name, p in flow.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert moved <= set(parameter_groups(flow)[group])
    assert all(p.requires_grad for p in flow.parameters())


def test_finetuning_against_programmed_weights_makes_up_for_their_errors():
    flow = MixerFlow(CONFIG)
    train(flow, FREE, LONG)
    generator = torch.Generator().manual_seed(1)
    target = {name: layer.weight.detach().clone() for name, layer in flow.base_layers().items()}
    weights = {name: w + 0.4 * w.abs().max() * torch.randn(w.shape, generator=generator) for name, w in target.items()}
    with deployed(flow, weights):
        before = evaluate(flow, FREE, n=4096).ess
    flow.add_lora(2)
    finetune(flow, FREE, TrainingConfig(steps=80, batch=64, learning_rate=2e-2), effective_weights=weights)
    with deployed(flow, weights):
        after = evaluate(flow, FREE, n=4096).ess
    assert after > before + 0.15
    assert all(torch.equal(layer.weight, target[name]) for name, layer in flow.base_layers().items())


def test_finetuning_through_noisy_engines_uses_them_and_leaves_none_behind():
    flow, generator, calls = MixerFlow(CONFIG), torch.Generator().manual_seed(0), []

    def counted(layer):
        product = noisy_engine(layer.weight.detach(), NOISE, generator)
        return lambda x: (calls.append(layer.name), product(x))[1]

    engines = {name: counted(layer) for name, layer in flow.base_layers().items()}
    finetune(flow, FREE, SHORT, groups=["bias"], engines=engines)
    # One evaluation per coupling and step: the score reuses its draw.
    assert len(calls) == SHORT.steps * CONFIG.couplings * len(engines)
    assert all(layer.engine is None for layer in flow.base_layers().values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": ["weights"]}, "use train"),
        ({"effective_weights": {"nope": torch.zeros(1)}}, "nope.*unknown"),
        ({"effective_weights": {"embed": torch.zeros(2, 2)}}, r"\(2, 2\).*\(6, 8\)"),
        ({"effective_weights": {"embed": torch.full((6, 8), torch.nan)}}, "needs finite values"),
    ],
)
def test_requests_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        finetune(MixerFlow(CONFIG), FREE, SHORT, **options)
