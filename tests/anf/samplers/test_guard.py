"""A run that watches itself: fresh densities on an array that changes are exact, stale ones are not and are caught."""

import numpy as np
import pytest
import torch

from anf.arrays.array_model import ArrayErrors, model_arrays
from anf.arrays.simulated import ArrayNoise
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice import exact
from anf.lattice.actions import Phi4
from anf.measurement.observables import estimate, measure, measure_series, summarise
from anf.samplers import guard
from anf.samplers.guard import ALARM, LOOKS, OutOfBand, guarded
from anf.samplers.metropolis import accept
from anf.samplers.proposals import Proposals, propose
from anf.samplers.sampling import chains_of, sample
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
    drawn = []
    for moved_s in (0.0, 2e-6):
        arrays = model_arrays(flow, load_board(), errors=ArrayErrors(programming_s=moved_s), seed=0)
        with deployed(flow, {}, arrays.simulated(ArrayNoise.off(), torch.Generator())):
            drawn.append(propose(flow, ACTION, MANY, seed=5))
    return drawn


def seen(batches):
    """Statistics as the guard sees them, in σ."""
    return guard.pulls(batches, [measure(ACTION, b.phi) for b in batches])


def pulls(proposals):
    """The same identities of a chain."""
    chain = accept(-proposals.action, proposals.log_q, seed=1, shuffle=True)
    found = estimate(ACTION, measure_series(ACTION, proposals.phi), state=chain.state)
    return {name: found[name].pull for name in ("virial", "zero_mode")}


def test_densities_of_the_reads_that_were_used_are_exact_after_a_drift(drift):
    _, after = drift
    assert max(map(abs, pulls(after).values())) < 4
    assert max(map(abs, seen([after]).values())) < 4


def test_densities_of_the_array_as_it_was_are_biased_and_the_guard_says_so(drift):
    before, after = drift
    stale = Proposals(after.phi, before.log_q, after.action)
    assert max(map(abs, pulls(stale).values())) > 4
    with pytest.raises(OutOfBand, match=r"(virial|zero_mode) is .* σ off, beyond ±4\.2 σ"):
        guard._Statistics(ACTION, looks=8).judge(stale)


def test_an_array_that_moves_between_batches_is_noticed_by_its_weights(drift):
    before, after = drift
    found = seen([before, after])
    assert abs(found.pop(guard.DRIFT)) > 5
    assert max(map(abs, found.values())) < 4


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
    assert segment.stopped.part == "conductances"
    assert (segment.kept, segment.dropped) == (2 * BATCH, BATCH)


def test_a_board_that_is_made_known_again_begins_a_chain_of_its_own(flow):
    renewed = []
    segments = guarded(
        flow, ACTION, 4 * BATCH, seed=3, batch=BATCH, look=broken({2}), renew=lambda: renewed.append(True)
    )
    assert renewed == [True]
    assert [s.kept for s in segments] == [BATCH, 2 * BATCH]
    assert [s.stopped is None for s in segments] == [False, True]
    assert not np.isin(segments[1].proposals.log_q, segments[0].proposals.log_q).any()


@pytest.mark.parametrize(("n", "batch"), [(0, 10), (10, 0)])
def test_numbers_below_one_are_refused(flow, n, batch):
    with pytest.raises(ValueError, match="both must be at least 1"):
        guarded(flow, ACTION, n, seed=0, batch=batch)


def test_a_board_that_cannot_be_made_known_again_ends_the_run_with_what_is_wrong_with_it(flow):
    def renew():
        raise SelfTestError("mux before ADC 2", "to switch", "the same codes", "10 %", "check its select lines")

    (segment,) = guarded(flow, ACTION, 4 * BATCH, seed=3, batch=BATCH, look=broken({2}), renew=renew)
    assert segment.stopped.part == "mux before ADC 2"
    assert segment.kept == BATCH


def test_a_board_that_fails_as_soon_as_it_is_known_again_ends_the_run(flow):
    renewed = []
    segments = guarded(
        flow, ACTION, 6 * BATCH, seed=3, batch=BATCH, look=broken({2, 3}), renew=lambda: renewed.append(True)
    )
    assert [s.kept for s in segments] == [BATCH, 0]
    assert segments[-1].stopped is not None
    assert renewed == [True]


def test_what_is_not_the_boards_fault_is_not_caught(flow):
    def look():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(flow, ACTION, N, seed=3, batch=BATCH, look=look, renew=lambda: None)


def test_a_long_run_is_looked_at_a_bounded_number_of_times_and_draws_the_same(flow):
    calls, told = [], []
    (segment,) = guarded(
        flow, ACTION, 1000, seed=3, batch=10, look=lambda: calls.append(None), progress=lambda *now: told.append(now)
    )
    assert len(calls) == LOOKS - 14  # every second batch
    assert told[-1] == (1000, 1000)
    np.testing.assert_array_equal(segment.proposals.phi, propose(flow, ACTION, 1000, seed=3, batch=10).phi)


def test_segments_have_chains_of_their_own_and_observables_of_all(flow):
    drawn = sample(flow, ACTION, 4 * BATCH, seed=3, batch=BATCH, look=broken({2}), renew=lambda: None)
    assert drawn.stopped is None
    np.testing.assert_array_equal(drawn.segment, np.repeat([0, 1], [BATCH, 2 * BATCH]))
    first, second = chains_of(drawn.state, drawn.segment)
    assert (len(first), len(second)) == (BATCH, 2 * BATCH)
    assert first.max() < BATCH <= second.min()
    again = summarise(ACTION, drawn.proposals.phi, state=[first, second])
    assert again["chi2"].value == drawn.estimates["chi2"].value
    assert again["chi2"].error == drawn.estimates["chi2"].error
    truth = exact.phi4(4, ACTION.m2, ACTION.lam).by_name()
    for name in ("chi2", "E", "phi2"):
        assert abs(drawn.estimates[name].value - truth[name]) < 4 * drawn.estimates[name].error


def test_a_run_that_kept_nothing_raises_what_stopped_it_and_one_that_kept_some_when_it_must_be_complete(flow):
    with pytest.raises(SelfTestError, match="conductances"):
        sample(flow, ACTION, 4 * BATCH, seed=3, batch=BATCH, look=broken({1}))
    some = sample(flow, ACTION, 4 * BATCH, seed=3, batch=BATCH, look=broken({2}))
    assert len(some.state) == BATCH
    with pytest.raises(SelfTestError, match="conductances"):
        some.complete()


def test_a_batch_whose_weights_are_nearly_all_lost_is_dropped_at_the_second_look(flow):
    first = propose(flow, ACTION, 512, seed=1)
    lost = propose(flow, ACTION, 512, seed=2)
    lost = Proposals(lost.phi, lost.log_q + np.where(np.arange(512) % 4, 20.0, 0.0), lost.action)
    statistics = guard._Statistics(ACTION, looks=8)
    statistics.judge(first)
    with pytest.raises(OutOfBand, match="mean log weight is -"):
        statistics.judge(lost)
    assert statistics.segment(None, 0).kept == 512


def of_these(proposals, chosen):
    """Proposals as a flow that gives only these would make them, its density normalised."""
    share = float(np.log(chosen.mean()))
    return Proposals(proposals.phi[chosen], proposals.log_q[chosen] - share, proposals.action[chosen])


def test_a_segment_whose_proposals_leave_a_part_of_the_theory_out_is_noticed_by_its_free_energy(flow):
    before, after = (propose(flow, ACTION, 4096, seed=seed) for seed in (1, 2))
    guard._Statistics(ACTION, looks=8, before=[before]).judge(after)
    size = measure(ACTION, after.phi)["abs_M"]
    small = of_these(after, size < np.quantile(size, 0.8))
    with pytest.raises(OutOfBand, match=r"free energy is \+"):
        guard._Statistics(ACTION, looks=8, before=[before]).judge(small)


def test_a_segment_whose_weights_are_far_worse_than_before_ends_the_run(flow):
    before, after = (propose(flow, ACTION, 4096, seed=seed) for seed in (1, 2))
    noise = np.random.default_rng(0).normal(0.0, 1.5, 4096)
    worse = Proposals(after.phi, after.log_q + noise, after.action)
    with pytest.raises(
        OutOfBand, match=r"ESS is 0\.\d+ after the arrays were made known again, and was 0\.9\d+ before"
    ):
        guard._Statistics(ACTION, looks=8, before=[before]).judge(worse)
    guard._Statistics(ACTION, looks=8).judge(worse)


@pytest.mark.parametrize(("kept", "judged"), [(guard.MIN_BATCH - 1, False), (guard.MIN_BATCH, True)])
def test_a_few_proposals_are_no_measure_for_those_that_follow(flow, mocker, kept, judged):
    first, later = propose(flow, ACTION, kept, seed=1), propose(flow, ACTION, 512, seed=2)
    spoilt = np.random.default_rng(0).normal(0.0, 1.5, 512)
    worse = Proposals(later.phi, later.log_q + spoilt, later.action)
    mocker.patch.object(guard, "propose", side_effect=[first, worse, worse])
    segments = guarded(flow, ACTION, 3 * BATCH, seed=0, batch=BATCH, look=broken({2}), renew=lambda: None)
    assert [s.kept for s in segments] == [kept, 0 if judged else 512]
    assert (segments[-1].stopped is not None) is judged
