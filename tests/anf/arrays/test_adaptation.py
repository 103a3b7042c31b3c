"""Adapting a flow: LoRA where it was asked for, everything else as it was, and an honest count of what was trained."""

from __future__ import annotations

import torch

from anf.arrays.adaptation import adapt, weights
from anf.arrays.array_model import ArrayErrors, model_arrays
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from anf.lattice.actions import Phi4
from anf.training.loop import TrainingConfig, train
from drivers.board import PAPER_BOARD, load_board

FREE, OTHER = Phi4(1.0, 0.0, (4, 4)), Phi4(3.0, 0.0, (4, 4))
CONFIG = MixerFlowConfig(
    shape=(4, 4), couplings=2, completed=True, fitted_base=True,
    mixer=MixerConfig(window=2, channels=4, token_hidden=None, channel_hidden=4, features=2),
)  # fmt: skip
SHORT = TrainingConfig(steps=60, batch=64, learning_rate=2e-2, report_every=10, checkpoint_every=10)


def test_a_base_is_adapted_to_another_action_and_its_matrices_stay():
    flow = MixerFlow(CONFIG, 0, FREE)
    train(flow, FREE, SHORT)
    before = {name: layer.weight.detach().clone() for name, layer in flow.base_layers().items()}
    adapted = adapt(flow, OTHER, SHORT, rank=1, proposals=4096)
    assert adapted.ess_before < 0.8
    assert adapted.ess_after > adapted.ess_before + 0.1
    assert all(torch.equal(layer.weight, before[name]) for name, layer in flow.base_layers().items())


def test_the_share_counts_every_cell_of_an_array_and_every_digital_number():
    flow = MixerFlow(CONFIG, 0, FREE)
    # embed 4 x 4, two circulant matrices between 4 tokens, w3 and w4, output 2 x 4, pixel (1 + 2) x 2.
    cells = 16 + 2 * 16 + 2 * 16 + 8 + 6
    digital = sum(p.numel() for name, p in flow.named_parameters() if flow.group_of(name) != "weights")
    assert weights(flow) == cells + digital
    adapted = adapt(flow, FREE, SHORT.model_copy(update={"steps": 10}), rank=1, groups=("lora",), proposals=256)
    assert adapted.trained == 4 * 8
    assert adapted.share == 32 / (cells + digital + 32)


def test_what_arrays_hold_instead_is_made_up_for_by_lora_before_training_begins():
    # A white base: the network has to make the field, so that its errors show.
    flow = MixerFlow(CONFIG.model_copy(update={"fitted_base": False}), 0, FREE)
    train(flow, FREE, SHORT.model_copy(update={"steps": 200}))
    arrays = model_arrays(flow, load_board(PAPER_BOARD), errors=ArrayErrors(programming_s=15e-6), seed=1)
    still = SHORT.model_copy(update={"steps": 10, "learning_rate": 1e-9})
    adapted = adapt(flow, FREE, still, groups=("lora",), arrays=arrays, share=0.7, proposals=4096)
    assert adapted.ess_after > adapted.ess_before + 0.05
