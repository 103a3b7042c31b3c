"""A sampling run that watches itself: identities, weights, and the board behind it, after every batch.

What is looked at often will look bad now and then. The bands hold the false-alarm rate of a whole run: with m
statistics at K looks each is refused beyond the two-sided normal quantile of ALARM / (m K). By the union bound a run
without any fault is stopped with probability ALARM at most, however the looks depend on each other, as far as each
statistic is normal: they are means over `MIN_EFFECTIVE` effective proposals or more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.measurement.observables import estimate, measure_series
from anf.samplers.proposals import Proposals, propose
from drivers.self_test import SelfTestError

ALARM = 1e-3
"""False alarms per run."""
MIN_EFFECTIVE = 500
"""Effective proposals before anything is judged."""
IDENTITIES = ("virial", "zero_mode")
EXPECTED_ZERO = ("M",)
"""Zero by the symmetry φ → −φ."""
DRIFT = "mean log weight of the last batch"
"""What a change of the array moves."""
_STATISTICS = len(IDENTITIES) + len(EXPECTED_ZERO) + 1


@dataclass(frozen=True)
class Segment:
    """Proposals between two changes of the array, all looks passed but perhaps the last.

    stopped: what the last look said; None for a run that came to its end. dropped: proposals since the last look that
    passed, which are not among these.
    """

    proposals: Proposals | None
    stopped: str | None
    dropped: int


def guarded(
    flow: Flow,
    action: Action,
    n: int,
    *,
    seed: int,
    batch: int,
    look: Callable[[], None] = lambda: None,
    renew: Callable[[], None] | None = None,
) -> tuple[Segment, ...]:
    """n proposals in batches, with a look after each: at the board (`look`, as `drivers.self_test.Watch.look`, raises
    `SelfTestError`), and at the statistics of the segment.

    When the board is no longer what it was, or the weights are not, `renew` makes it known again (reads it, tunes the
    digital part, takes a new watch) and a new segment begins: its chain starts afresh, in proposals of its own, with
    weights of its own. Without `renew`, or when an identity leaves its band, which no drift can cause, the run ends
    there. The batch that a look found fault with is dropped.

    Raises ValueError for n < 1 or a batch < 1, and what `propose` and `renew` raise.
    """
    if n < 1 or batch < 1:
        raise ValueError(f"n = {n} proposals in batches of {batch}: both must be at least 1")
    looks = -(-n // batch)
    segments: list[Segment] = []
    kept: list[Proposals] = []
    for k, child in enumerate(np.random.SeedSequence(seed).spawn(looks)):
        size = min(batch, n - k * batch)
        try:
            drawn = propose(flow, action, size, seed=int(child.generate_state(1)[0]), batch=batch)
            look()
        except SelfTestError as error:
            segments.append(Segment(_joined(kept), str(error), size))
            kept = []
            if renew is None:
                return tuple(segments)
            renew()
            continue
        found = out_of_band(action, [*kept, drawn], looks)
        if found is None:
            kept.append(drawn)
            continue
        segments.append(Segment(_joined(kept), found, size))
        if renew is None or not found.startswith(DRIFT):
            return tuple(segments)
        kept = []
        renew()
    return (*segments, Segment(_joined(kept), None, 0))


def out_of_band(action: Action, batches: list[Proposals], looks: int) -> str | None:
    """What is wrong with the proposals of a segment, at one of `looks` looks; None for nothing."""
    bound = float(norm.isf(ALARM / (2 * _STATISTICS * looks)))
    together = _joined(batches)
    assert together is not None
    log_w = together.log_weights
    if len(log_w) * together.ess < MIN_EFFECTIVE:
        return None
    found = estimate(action, measure_series(action, together.phi), log_weights=log_w)
    pulls = {name: found[name].pull for name in IDENTITIES}
    pulls |= {name: found[name].value / found[name].error for name in EXPECTED_ZERO}
    if len(batches) > 1:
        now, before = batches[-1].log_weights, np.concatenate([b.log_weights for b in batches[:-1]])
        now, before = now[np.isfinite(now)], before[np.isfinite(before)]
        spread = np.sqrt(now.var() / len(now) + before.var() / len(before))
        pulls[DRIFT] = float((now.mean() - before.mean()) / spread)
    for name, pull in pulls.items():
        if pull is not None and abs(pull) > bound:
            return f"{name} is {pull:+.1f} σ off, beyond ±{bound:.1f} σ (false alarms of a run: {ALARM:g})"
    return None


def _joined(batches: list[Proposals]) -> Proposals | None:
    if not batches:
        return None
    return Proposals(*(np.concatenate([getattr(b, name) for b in batches]) for name in ("phi", "log_q", "action")))
