"""Faults that set in while a run is drawn: it is stopped, or goes on, and what it gives is right. In full:
`benchmarks/campaign/faults.py`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fault_sampling import KNOWN, Outcome, run

BATCH, N = 256, 1280


@pytest.fixture(scope="module")
def healthy() -> Outcome:
    return run(None, N, batch=BATCH)


def worst(known) -> float:
    return max(abs(it.pull) for it in known.values())


def test_without_a_fault_a_run_comes_to_its_end_and_is_itself(healthy):
    assert (healthy.ended, healthy.renewals) == (None, 0)
    np.testing.assert_array_equal(healthy.index, np.arange(N))
    assert healthy.against(healthy) is None
    assert worst(healthy.estimates) < 4


def test_a_fault_that_stays_ends_the_run_and_the_batch_that_it_met_is_not_in_it(healthy):
    outcome = run("broken BL", N, batch=BATCH)
    assert "array 0: changed by" in outcome.ended
    np.testing.assert_array_equal(outcome.index, np.arange(BATCH))
    assert outcome.against(healthy) is None


def test_a_reference_that_moved_is_taken_for_known_and_biases_nothing(healthy):
    outcome = run("reference of the DACs 0.4 % low", N, batch=BATCH)
    assert (outcome.ended, outcome.renewals) == (None, 1)
    np.testing.assert_array_equal(outcome.index, np.delete(np.arange(N), np.arange(BATCH, 2 * BATCH)))
    assert worst(outcome.estimates) < 4
    assert worst(outcome.against(healthy)) < 4


@pytest.fixture(scope="module")
def jumped() -> Outcome:
    return run("drift jump of 1 % of each cell", N, batch=BATCH)


def test_a_jump_that_no_look_sees_biases_nothing_that_the_run_could_see(healthy, jumped):
    assert (jumped.ended, jumped.renewals) == (None, 0)
    assert worst(jumped.estimates) < 4
    assert worst(jumped.against(healthy)) < 4
    assert jumped.against(healthy)["virial"].smallest < 0.05


def test_a_fault_that_has_passed_before_the_look_biases_nothing_that_the_run_could_see(healthy):
    outcome = run("broken BL", 2 * BATCH, batch=BATCH, passing=True)
    assert (outcome.ended, outcome.renewals) == (None, 0)
    assert 0 < worst(outcome.against(healthy)) < 4
    assert outcome.against(healthy)["virial"].smallest < 0.05


def test_a_bias_of_what_it_could_see_would_be_seen(healthy, jumped):
    drawn, beside = healthy.drawn, jumped.against(healthy)
    stretched = 1.0 + np.float32(beside["phi2"].smallest)
    moved = replace(drawn, proposals=replace(drawn.proposals, phi=drawn.proposals.phi * stretched))
    assert worst(replace(healthy, drawn=moved).against(healthy)) > 4
    assert set(KNOWN) == set(beside)
