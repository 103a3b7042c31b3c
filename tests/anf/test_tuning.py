from __future__ import annotations

import pytest
import torch

from anf.actions import Phi4
from anf.analog import ArrayNoise
from anf.checkpoint import load_flow, shipped
from anf.mapping import AffineMapping
from anf.sampling import propose
from anf.training import deployed
from anf.tuning import Tuning, model_arrays, tune
from drivers.board import load_board

ACTION = Phi4(-4.0, 5.5, (4, 4))


@pytest.fixture
def flow():
    return load_flow(shipped(ACTION), ACTION)[0]


def test_arrays_of_the_model_hold_the_weights_with_the_programming_error_asked_for(flow):
    engines = model_arrays(flow, load_board(), programming_s=2e-6, seed=3)(ArrayNoise.off(), torch.Generator())
    errors = []
    for name, layer in flow.base_layers().items():
        held = engines[name](torch.eye(layer.weight.shape[1])).T
        errors.append(((held - layer.weight) * AffineMapping().scale_s(layer.weight.detach().numpy())).ravel())
    error = torch.cat(errors)
    assert error.std().item() == pytest.approx(2e-6, rel=4 / (2 * error.numel()) ** 0.5)
    assert error.mean().item() == pytest.approx(0.0, abs=4 * 2e-6 / error.numel() ** 0.5)


def test_equal_seeds_give_equal_arrays_and_other_seeds_others(flow):
    x = torch.eye(8)
    products = [
        model_arrays(flow, load_board(), seed=seed)(ArrayNoise.off(), torch.Generator())["embed"](x)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(products[0], products[1])
    assert not torch.equal(products[0], products[2])


def test_tuning_wins_back_what_programming_errors_cost_and_leaves_the_base_weights_alone(flow):
    before = {name: layer.weight.detach().clone() for name, layer in flow.base_layers().items()}
    arrays = model_arrays(flow, load_board(), programming_s=2e-6, seed=0)
    engines = arrays(ArrayNoise(), torch.Generator().manual_seed(0))

    def ess() -> float:
        with deployed(flow, {}, engines):
            return propose(flow, ACTION, 2000, seed=1).ess

    untuned = ess()
    tune(flow, ACTION, arrays, Tuning(steps=60, batch=256), seed=0)
    assert untuned < 0.7
    assert ess() > untuned + 0.1
    assert all(torch.equal(layer.weight, before[name]) for name, layer in flow.base_layers().items())
    assert all(layer.engine is None for layer in flow.base_layers().values())
    assert any(layer.lora is not None for layer in flow.base_layers().values())
