"""Estimates of a plan, against what is then executed."""

from __future__ import annotations

import pytest
import torch

from anf.arrays.analog import deploy
from anf.arrays.mapped import base_weights, map_flow
from anf.arrays.rehearsal import BATCH, Rehearsal, rehearse
from anf.flows.deployed import deployed
from anf.flows.mixer import MixerConfig
from anf.flows.mixer_flow import MixerFlow, MixerFlowConfig
from drivers.board import load_board
from drivers.connect import open_crossbar

BOARD = load_board()


@pytest.fixture(scope="module")
def flow() -> MixerFlow:
    return MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=6)))


@pytest.fixture(scope="module")
def rehearsal(flow: MixerFlow) -> Rehearsal:
    return rehearse(flow, map_flow(flow, BOARD.shape), BOARD, seed=5)


def test_what_is_then_executed_takes_the_time_that_was_estimated(flow: MixerFlow, rehearsal: Rehearsal) -> None:
    with open_crossbar("mock", board=BOARD, seed=5) as crossbar:
        programmed = deploy(flow, [crossbar])
        with deployed(flow, {}, programmed.crossbar()):
            flow.sample(BATCH, torch.Generator().manual_seed(0))  # offsets are measured once
            before = programmed.board_time_s
            flow.sample(BATCH, torch.Generator().manual_seed(1))
            taken = (programmed.board_time_s - before) / BATCH
    assert rehearsal.board_s == rehearsal.elapsed_s
    # Blocks of other lengths share the words around a stream differently.
    assert rehearsal.board_s == pytest.approx(taken, rel=1e-3)
    (result,) = programmed.programming
    assert rehearsal.programming_s == pytest.approx(result.board_time_s)
    assert rehearsal.programmed == result.converged.sum()


def test_yield_and_wear_are_those_of_cells_that_hold_a_weight(flow: MixerFlow, rehearsal: Rehearsal) -> None:
    assert rehearsal.cells == sum(w.size for w in base_weights(flow).values())
    assert 0.97 * rehearsal.cells < rehearsal.programmed <= rehearsal.cells
    assert 0 < rehearsal.error_s < 1e-6
    assert rehearsal.pulses > 1


def test_the_energy_of_the_cells_lies_below_that_of_all_lines_at_full_scale(flow, rehearsal: Rehearsal) -> None:
    vectors = sum(flow.vectors_per_sample().values())
    most = vectors * rehearsal.vector_s * BOARD.levels.input_v**2 * 32 * 32 * 80e-6
    assert 0.001 * most < rehearsal.cells_j < most


def test_fewer_arrays_than_the_plan_has_cost_reprogramming_and_time(mocker) -> None:
    mocker.patch("anf.arrays.rehearsal.LARGEST", 1)
    wide = MixerFlow(MixerFlowConfig(shape=(4, 4), couplings=2, mixer=MixerConfig(channels=24, channel_hidden=48)))
    mapped = map_flow(wide, BOARD.shape)
    assert mapped.placement.n_arrays == 4
    enough, one = (rehearse(wide, mapped, BOARD, n_boards=n, seed=0) for n in (None, 1))
    assert enough.reprogramming_s == 0
    # Two couplings, four fillings each, shared by the batch.
    assert one.reprogramming_s == pytest.approx(2 * 4 * one.programming_s / BATCH)
    assert one.elapsed_s == pytest.approx(one.board_s)
    assert enough.elapsed_s < one.elapsed_s
    assert enough.board_s == pytest.approx(one.board_s)
