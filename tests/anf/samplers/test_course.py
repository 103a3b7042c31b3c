"""What is told of a run while it goes on is what its proposals say."""

import numpy as np
import pytest

from anf.flows.checkpoint import load_flow, shipped
from anf.lattice.actions import Phi4
from anf.measurement.observables import estimate, measure_series
from anf.samplers.course import Course
from anf.samplers.guard import guarded
from anf.samplers.proposals import Proposals, propose
from drivers.self_test import SelfTestError

ACTION = Phi4(m2=-4.0, lam=5.5, shape=(4, 4))


@pytest.fixture(scope="module")
def flow():
    return load_flow(shipped(ACTION, "mixer"), ACTION)[0]


def test_proposals_taken_in_parts_give_what_they_give_at_once(flow):
    drawn = propose(flow, ACTION, 2048, seed=1)
    whole, parts = Course(ACTION), Course(ACTION)
    whole.take(drawn)
    for part in (slice(0, 700), slice(700, 2048)):
        parts.take(Proposals(drawn.phi[part], drawn.log_q[part], drawn.action[part]))
    assert parts.so_far() == whole.so_far()
    now = whole.so_far()
    assert (now.proposals, now.ess) == (2048, drawn.ess)
    weighted = estimate(ACTION, measure_series(ACTION, drawn.phi), log_weights=drawn.log_weights)
    for name in ("abs_M", "phi2", "virial"):
        chain, weights = now.estimates[name], weighted[name]
        assert abs(chain.value - weights.value) < 3 * np.hypot(chain.error, weights.error)
    assert 0.5 < now.acceptance < 1


def test_too_few_proposals_and_none_of_finite_weight_say_nothing(flow):
    drawn = propose(flow, ACTION, 64, seed=1)
    course = Course(ACTION)
    assert course.so_far() is None
    course.take(Proposals(drawn.phi[:5], drawn.log_q[:5], drawn.action[:5]))
    assert course.so_far() is None
    diverged = Course(ACTION)
    diverged.take(Proposals(drawn.phi, np.full(64, np.nan), drawn.action))
    assert diverged.so_far() is None


class Listening:
    def __init__(self):
        self.heard = []

    def passed(self, drawn):
        self.heard.append(drawn.log_q)

    def ended(self, segment):
        self.heard.append(segment)


def test_who_looks_on_hears_of_what_is_kept_and_of_each_segment_that_ended(flow):
    looks = iter([None, SelfTestError("conductances", "no change", "2 µS", "1 µS", "read them again"), None, None])

    def look():
        if (fault := next(looks)) is not None:
            raise fault

    told = Listening()
    first, second = guarded(flow, ACTION, 1024, seed=3, batch=256, look=look, renew=lambda: None, on_looker=told)
    np.testing.assert_array_equal(told.heard[0], first.proposals.log_q)
    assert told.heard[1] is first
    np.testing.assert_array_equal(np.concatenate(told.heard[2:]), second.proposals.log_q)
    alone = guarded(flow, ACTION, 512, seed=3, batch=256)
    np.testing.assert_array_equal(alone[0].proposals.log_q[:256], first.proposals.log_q)
