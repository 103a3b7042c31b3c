"""LoRA and the base-weight layer it runs beside."""

from __future__ import annotations

import pytest
import torch

from anf.flows.layers import BaseLinear
from anf.flows.lora import LoRA
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig

CONFIG = MixerFlowConfig(shape=(4, 4), couplings=3, mixer=MixerConfig(channels=4, token_hidden=5, channel_hidden=6))


def tuned_layer() -> BaseLinear:
    generator = torch.Generator().manual_seed(0)
    layer = BaseLinear(5, 3, "w", generator)
    layer.lora = LoRA(5, 3, 2, scale=0.5, generator=generator)
    torch.nn.init.normal_(layer.lora.b, generator=generator)
    return layer.double()


def test_lora_adds_scale_b_a_x():
    layer = tuned_layer()
    x = torch.randn(7, 5, dtype=torch.float64)
    expected = x @ layer.weight.T + 0.5 * x @ layer.lora.a.T @ layer.lora.b.T
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.lora(x), x @ layer.lora.delta().T)


def test_an_engine_takes_the_base_product_only_and_lora_stays_digital():
    layer = tuned_layer()
    x = torch.randn(2, 4, 5, dtype=torch.float64)
    layer.engine = lambda vectors: torch.zeros(len(vectors), 3, dtype=vectors.dtype)
    torch.testing.assert_close(layer(x), layer.lora(x))


@pytest.mark.parametrize("with_engine", [False, True])
def test_columns_and_rows_are_the_same_product(with_engine):
    layer = tuned_layer()
    if with_engine:
        layer.engine = lambda vectors: vectors @ layer.weight.T
    x = torch.randn(6, 5, 9, dtype=torch.float64)
    torch.testing.assert_close(layer.columns(x), layer(x.transpose(1, 2)).transpose(1, 2))


def test_fresh_lora_changes_nothing_and_sits_in_the_mixer_blocks():
    flow = MixerFlow(CONFIG)
    x = flow.white(8, torch.Generator().manual_seed(0))
    before = flow.push(x)[0]
    flow.add_lora(2)
    after = flow.push(x)[0]
    assert torch.equal(before, after)
    assert [n for n, layer in flow.base_layers().items() if layer.lora is not None] == [
        "blocks.0.w1.0",
        "blocks.0.w2.0",
        "blocks.0.w3",
        "blocks.0.w4",
    ]


@pytest.mark.parametrize("rank", [0, 4])
def test_a_rank_that_the_matrix_does_not_have_is_refused(rank):
    with pytest.raises(ValueError, match=rf"rank = {rank} .*1\.\.3"):
        LoRA(5, 3, rank)


def test_the_nearest_lora_of_a_stuck_cell_is_that_cell():
    error = torch.zeros(6, 4)
    error[2, 3] = 7.5
    torch.testing.assert_close(LoRA.nearest(error, 1).delta(), error)


def test_the_nearest_lora_leaves_the_smallest_error_that_its_rank_can():
    matrix = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    left = torch.linalg.svdvals(matrix)[2:].square().sum().sqrt()
    torch.testing.assert_close((matrix - LoRA.nearest(matrix, 2).delta()).norm(), left)


def test_the_nearest_lora_of_full_rank_is_the_matrix():
    matrix = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(LoRA.nearest(matrix, 9).delta(), matrix)
