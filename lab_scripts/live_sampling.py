"""What a sampler tells while it draws (`lab_scripts.live`), in a small share of its time."""

from __future__ import annotations

import time
from collections.abc import Mapping

from anf.lattice.actions import Action
from anf.samplers.course import Course
from anf.samplers.guard import Segment
from anf.samplers.proposals import Proposals
from lab_scripts import live
from lab_scripts.live_events import tell_observables, tell_sampling
from lab_scripts.observables import NAMES, shown
from lab_scripts.options import action_title

SHARE = 0.03
"""Of the CPU time of a sampler, at most, for telling of it; what it has no time for it leaves out."""
_FIRST_S = 0.01
"""What telling takes the first time, but for loading libraries, which the end of a run needs as well."""


class SamplerTold:
    """Looks on at `anf.samplers.guard.guarded`: tells ESS, acceptance, observables of the segment so far, and why a
    segment ended."""

    def __init__(self, action: Action, sampler: str) -> None:
        """sampler: as `tell_observables` has it."""
        self._action, self._sampler = action, sampler
        self._course = Course(action)
        self._began_s, self._spent_s = time.process_time(), 0.0
        self._expected_s = _FIRST_S
        self._first = True
        self._passed = self._segments = 0

    def passed(self, drawn: Proposals) -> None:
        """Proposals that a look has passed: taken, and told, if there is time."""
        self._passed += len(drawn.log_q)
        began_s = time.process_time()
        if not live.listening() or self._spent_s + self._expected_s > SHARE * (began_s - self._began_s):
            return
        self._course.take(drawn)
        if (now := self._course.so_far()) is not None:
            tell_sampling(
                proposals=now.proposals, passed=self._passed, segment=self._segments, ess=now.ess,
                acceptance=now.acceptance, tau_int=now.estimates["abs_M"].tau_int,
            )  # fmt: skip
            tell_observables(self._sampler, action_title(self._action), shown(self._action, now.estimates), NAMES)
        if not self._first:
            self._expected_s = time.process_time() - began_s
        self._first = False
        self._spent_s += self._expected_s

    def ended(self, segment: Segment) -> None:
        """A segment is over."""
        live.tell("segment", **told_segment(self._segments, segment))
        self._segments += 1
        self._course, self._passed = Course(self._action), 0


def told_segment(number: int, segment: Segment) -> Mapping[str, int | str | None]:
    """A segment in numbers, and why it ended, None at the end of a run."""
    return {
        "number": number, "proposals": segment.kept, "dropped": segment.dropped,
        "ended_by": None if segment.stopped is None else str(segment.stopped),
    }  # fmt: skip
