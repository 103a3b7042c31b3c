from __future__ import annotations

import pytest
import torch

from anf.arrays.array_model import ArrayErrors, model_arrays
from anf.arrays.simulated import ArrayNoise
from anf.arrays.tuning import Tuning, calibrated_drives, spread_ranks, tune
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice.actions import Phi4
from anf.samplers.proposals import propose
from drivers.board import load_board

ACTION = Phi4(-4.0, 5.5, (4, 4))


@pytest.fixture
def flow():
    return load_flow(shipped(ACTION, "mixer"), ACTION)[0]


def test_tuning_wins_back_what_programming_errors_cost_and_leaves_the_base_weights_alone(flow):
    before = {name: layer.weight.detach().clone() for name, layer in flow.base_layers().items()}
    arrays = model_arrays(flow, load_board(), errors=ArrayErrors(programming_s=2.5e-6), seed=0).simulated
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


def test_calibrated_ranges_hold_the_inputs_that_they_were_made_from_and_clip_no_more_than_asked_for(flow):
    def clipped(quantile: float) -> float:
        drives = calibrated_drives(flow, 200, torch.Generator().manual_seed(0), quantile=quantile)
        arrays = model_arrays(flow, load_board(), errors=ArrayErrors.off(), seed=0, drives=drives)
        with deployed(flow, {}, arrays.simulated(ArrayNoise.off(), torch.Generator())):
            flow.sample(200, torch.Generator().manual_seed(0))
        assert all(drive.driven for drive in drives.values())
        return max(drive.clipped_fraction for drive in drives.values())

    # The same draws again, to single precision.
    assert clipped(1.0) < 1e-3
    # Half the vectors have an input beyond the range.
    assert 0.01 < clipped(0.5) <= 0.6


@pytest.mark.parametrize("quantile", [0.0, 1.1, float("nan")])
def test_a_quantile_that_is_none_is_refused(flow, quantile):
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        calibrated_drives(flow, 10, torch.Generator(), quantile=quantile)


def test_ranks_go_where_they_take_away_most_within_their_share():
    weights = {"a": torch.ones(10, 10), "b": torch.ones(10, 10), "c": torch.ones(2, 2)}
    one, other = torch.zeros(10, 10), torch.zeros(10, 10)
    one[0, 0], one[3, 4], other[5, 5] = 3.0, 1.0, 2.0
    missing = {"a": one, "b": other, "c": torch.zeros(2, 2)}

    def ranks(n_ranks_of_twenty: float):
        n = 20 * n_ranks_of_twenty
        return spread_ranks(missing, weights, n / (204 + n) + 1e-9)

    assert ranks(1) == {"a": 1, "b": 0, "c": 0}
    assert ranks(2) == {"a": 1, "b": 1, "c": 0}
    assert ranks(3) == {"a": 2, "b": 1, "c": 0}
    assert sum(ranks(0.1).values()) == 0
    for share in (0.0, 0.05, 0.3):
        found = spread_ranks(missing, weights, share)
        spent = sum(rank * sum(weights[name].shape) for name, rank in found.items())
        assert spent <= share * (204 + spent)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        spread_ranks({}, {}, share)
