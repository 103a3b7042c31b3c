"""Arrays of the model: programming errors, stuck cells, wires, time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from anf.arrays.array_model import ArrayErrors, drifted, model_arrays
from anf.arrays.mapped import base_weights, map_flow
from anf.arrays.simulated import ArrayNoise
from anf.flows.flow import Flow
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from drivers.board import load_board
from firmware_bridge.mock.array_params import FaultParams, RelaxationParams, RetentionParams, WireParams

BOARD = load_board()


@pytest.fixture(scope="module")
def flow() -> Flow:
    return MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=16, channel_hidden=16)))


def difference_s(flow: Flow, errors: ArrayErrors, seed: int = 0) -> np.ndarray:
    """Conductance minus target of all cells that hold a weight, S."""
    targets = map_flow(flow, BOARD.shape).targets_s(base_weights(flow))
    found = model_arrays(flow, BOARD, errors=errors, seed=seed).conductance_s - targets
    return found[np.isfinite(targets)]


def test_programming_errors_have_the_spread_asked_for(flow: Flow) -> None:
    error = difference_s(flow, ArrayErrors(programming_s=2e-6))
    assert error.std() == pytest.approx(2e-6, rel=4 / (2 * error.size) ** 0.5)
    assert error.mean() == pytest.approx(0.0, abs=4 * 2e-6 / error.size**0.5)


def test_without_errors_the_engines_multiply_with_the_weights(flow: Flow) -> None:
    arrays = model_arrays(flow, BOARD, errors=ArrayErrors.off(), seed=0)
    for name, engine in arrays.simulated(ArrayNoise.off(), torch.Generator()).items():
        weight = flow.base_layers()[name].weight.detach()
        torch.testing.assert_close(engine(torch.eye(weight.shape[1])).T, weight, rtol=1e-4, atol=1e-5)


def test_equal_seeds_give_equal_arrays_and_other_seeds_others(flow: Flow) -> None:
    first, again, other = (difference_s(flow, ArrayErrors(), seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_stuck_cells_have_their_share_and_conductance(flow: Flow) -> None:
    g = model_arrays(flow, BOARD, errors=ArrayErrors(stuck_high=0.05, stuck_low=0.1), seed=0).conductance_s
    for value, share in ((300e-6, 0.05), (1e-6, 0.1)):
        n = g.size
        assert np.mean(g == value) == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5)


def test_what_stuck_cells_lack_is_added_digitally_and_nothing_else(flow: Flow) -> None:
    errors = ArrayErrors(programming_s=0.0, stuck_high=0.02, stuck_low=0.02)
    arrays = model_arrays(flow, BOARD, errors=errors, seed=0, patched=True)
    targets = map_flow(flow, BOARD.shape).targets_s(base_weights(flow))
    stuck = (arrays.conductance_s != targets) & np.isfinite(targets)
    assert 0 < arrays.patched <= stuck.sum()  # a weight of a stuck cell may by chance be what it holds
    for name, engine in arrays.simulated(ArrayNoise.off(), torch.Generator()).items():
        weight = flow.base_layers()[name].weight.detach()
        torch.testing.assert_close(engine(torch.eye(weight.shape[1])).T, weight, rtol=1e-4, atol=1e-5)


def test_all_errors_are_those_of_the_device_model(flow: Flow) -> None:
    errors, faults = ArrayErrors.all(), FaultParams()
    assert (errors.stuck_high, errors.stuck_low) == (faults.stuck_high_fraction, faults.stuck_low_fraction)
    plain = difference_s(flow, ArrayErrors()).std()
    found = difference_s(flow, errors)
    # Relaxation adds to programming errors; stuck cells are far out.
    assert np.median(np.abs(found)) > 1.1 * 0.6745 * plain


def test_lines_with_resistance_lose_most_where_they_are_longest(flow: Flow) -> None:
    wires = WireParams(bl_source_ohm=0, bl_segment_ohm=1, sl_segment_ohm=1, sl_series_ohm=0)
    exact, lossy = (
        model_arrays(flow, BOARD, errors=ArrayErrors(programming_s=0, wires=w), seed=0).conductance_s[0]
        for w in (WireParams.none(), wires)
    )
    lost = 1 - lossy / exact
    assert lost.min() > 0
    assert lost[0, 0] < lost[-1, -1]
    # The whole array in parallel loads a line of 32 Ω: percents, not fractions of them.
    assert 0.01 < lost.mean() < 0.2


def test_time_moves_cells_by_the_logarithm_of_it_and_takes_its_share() -> None:
    g, tendency = np.full(3, 50e-6), np.array([-1.0, 0.0, 2.0])
    relaxation = RelaxationParams(mean_s=-0.01e-6, sigma_s=0.02e-6, t0_s=1e-3)
    retention = RetentionParams(loss_per_decade=0.01, start_s=3600)
    after = drifted(g, tendency, 1e6, relaxation, retention)
    slope = -0.01e-6 + 0.02e-6 * tendency
    expected = (g + slope * np.log(1 + 1e9)) * (1 - 0.01 * np.log10(1 + 1e6 / 3600))
    np.testing.assert_allclose(after, expected)
    np.testing.assert_array_equal(drifted(g, tendency, 0.0), g)


def test_a_longer_wait_moves_the_same_cells_further(flow: Flow) -> None:
    early, late = (difference_s(flow, ArrayErrors(programming_s=0, elapsed_s=t)) for t in (1e3, 1e6))
    assert np.corrcoef(early, late)[0, 1] > 0.95
    assert late.std() > early.std()
