"""A run that watches itself: fresh densities on an array that changes are exact, stale ones are not and are caught."""

import numpy as np
import pytest
import torch

from anf.arrays.array_model import ArrayErrors, model_arrays
from anf.arrays.simulated import ArrayNoise
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice.actions import Phi4
from anf.measurement.observables import estimate, measure_series
from anf.samplers import guard
from anf.samplers.guard import ALARM, guarded, out_of_band
from anf.samplers.metropolis import accept
from anf.samplers.proposals import Proposals, propose
from drivers.board import load_board
from drivers.self_test import SelfTestError

ACTION = Phi4(m2=-4.0, lam=5.5, shape=(4, 4))
N, BATCH, MANY = 8192, 1024, 32_768


def broken(at):
    """A look that fails at its calls number `at`."""
    calls = []

    def look():
        calls.append(None)
        if len(calls) in at:
            raise SelfTestError("conductances", "no change", "2 µS", "1 µS", "read them again")

    return look


@pytest.fixture(scope="module")
def flow():
    return load_flow(shipped(ACTION, "mixer"), ACTION)[0]


@pytest.fixture(scope="module")
def drift(flow):
    """The same latents on an array before and after its cells have moved by 2 µS."""
    seen = []
    for moved_s in (0.0, 2e-6):
        arrays = model_arrays(flow, load_board(), errors=ArrayErrors(programming_s=moved_s), seed=0)
        with deployed(flow, {}, arrays.simulated(ArrayNoise.off(), torch.Generator())):
            seen.append(propose(flow, ACTION, MANY, seed=5))
    return seen


def pulls(proposals):
    chain = accept(-proposals.action, proposals.log_q, seed=1, shuffle=True)
    found = estimate(ACTION, measure_series(ACTION, proposals.phi), state=chain.state)
    return {name: found[name].pull for name in guard.IDENTITIES}


def test_densities_of_the_reads_that_were_used_are_exact_after_a_drift(drift):
    _, after = drift
    assert max(map(abs, pulls(after).values())) < 4
    assert out_of_band(ACTION, [after], looks=8) is None


def test_densities_of_the_array_as_it_was_are_biased_and_the_guard_says_so(drift):
    before, after = drift
    stale = Proposals(after.phi, before.log_q, after.action)
    assert max(map(abs, pulls(stale).values())) > 4
    said = out_of_band(ACTION, [stale], looks=8)
    assert said is not None
    assert said.startswith(guard.IDENTITIES)


def test_an_array_that_moves_between_batches_is_noticed_by_its_weights(drift):
    before, after = drift
    assert out_of_band(ACTION, [before, after], looks=8).startswith(guard.DRIFT)


def test_a_healthy_run_is_one_segment_of_all_its_proposals(flow):
    (segment,) = guarded(flow, ACTION, N, seed=3, batch=BATCH)
    assert segment.stopped is None
    assert segment.dropped == 0
    assert len(segment.proposals.log_q) == N


def test_healthy_runs_are_stopped_as_rarely_as_stated(flow):
    runs = [guarded(flow, ACTION, 4096, seed=seed, batch=BATCH) for seed in range(12)]
    # One in 12 at ALARM = 0.001 would happen in 1 % of all choices of seeds.
    assert ALARM == 1e-3
    assert all(len(run) == 1 and run[0].stopped is None for run in runs)


def test_a_board_that_fails_a_look_ends_the_run_and_its_batch_is_dropped(flow):
    (segment,) = guarded(flow, ACTION, 4 * BATCH, seed=3, batch=BATCH, look=broken({3}))
    assert "conductances: 2 µS" in segment.stopped
    assert (len(segment.proposals.log_q), segment.dropped) == (2 * BATCH, BATCH)


def test_a_board_that_is_made_known_again_begins_a_chain_of_its_own(flow):
    renewed = []
    segments = guarded(
        flow, ACTION, 4 * BATCH, seed=3, batch=BATCH, look=broken({2}), renew=lambda: renewed.append(True)
    )
    assert renewed == [True]
    assert [len(s.proposals.log_q) for s in segments] == [BATCH, 2 * BATCH]
    assert [s.stopped is None for s in segments] == [False, True]
    assert not np.isin(segments[1].proposals.log_q, segments[0].proposals.log_q).any()


@pytest.mark.parametrize(("n", "batch"), [(0, 10), (10, 0)])
def test_numbers_below_one_are_refused(flow, n, batch):
    with pytest.raises(ValueError, match="both must be at least 1"):
        guarded(flow, ACTION, n, seed=0, batch=batch)
