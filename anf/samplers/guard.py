"""A sampling run that watches itself: identities, weights, and the board behind it.

What is looked at often will look bad now and then. The bands hold the false-alarm rate of a whole run: with m
statistics at K looks each is refused beyond the two-sided normal quantile of ALARM / (m K). By the union bound a run
without any fault is stopped with probability ALARM at most, however the looks depend on each other, as far as each
statistic is normal: they are means over `MIN_EFFECTIVE` effective proposals or more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np
import torch
from scipy.stats import norm

from anf.flows.flow import Flow
from anf.lattice.actions import Action
from anf.measurement.observables import measure
from anf.measurement.statistics import MIN_DRAWS, free_energy, normalised_weights, weighted_error
from anf.samplers.proposals import BATCH, Progress, Proposals, propose
from drivers.self_test import SelfTestError
from firmware_bridge.errors import BoardError, LimitError

ALARM = 1e-3
"""False alarms per run."""
MIN_EFFECTIVE = 500
"""Effective proposals before anything is judged."""
MIN_BATCH = 100
"""Proposals on either side before weights are compared. Their mean log needs no reweighting, and sees what weights do
not: proposals that are nearly all far from where the field is, and a few that give a wrong mean a small error."""
LOOKS = 64
"""Looks at a run, at most: what is thrown away at a fault is a small part of it, and so is the time to look."""
EXPECTED = {"virial": 1.0, "zero_mode": 1.0, "M": 0.0}
"""Identities; and M, zero by the symmetry φ → −φ."""
DRIFT = "mean log weight"
"""Of the last batch against those before: what a change of the array moves."""
FREE_ENERGY = "free energy"
"""Of a segment against those before: −ln E[w] is that of the theory whatever the array has become, unless proposals
have left a part of the theory out."""
WORST_SHARE = 0.25
"""Of the best ESS of the segments before, what one that was begun anew must have. Of eight chips whose cells moved by
1 µS all keep 0.46 or more if nothing is tuned, by the 2 µS that are allowed seven of them; tuning brings it back."""


class OutOfBand(Exception):
    """A statistic of a run has left its band. statistic: which."""

    def __init__(self, statistic: str, text: str) -> None:
        self.statistic = statistic
        super().__init__(text)


Stop = BoardError | OutOfBand


@dataclass(frozen=True)
class Segment:
    """Proposals between two changes of the array, all looks passed but perhaps the last.

    proposals: None if none are left. stopped: what ended it; None at the end of a run. dropped: proposals since the
    last look that passed, which are not among these.
    """

    proposals: Proposals | None
    stopped: Stop | None
    dropped: int

    @property
    def kept(self) -> int:
        """Number of its proposals."""
        return 0 if self.proposals is None else len(self.proposals.log_q)


class OnLooker(Protocol):
    """Who is told how a run goes; it changes nothing."""

    def passed(self, drawn: Proposals) -> None:
        """Proposals of the present segment that a look has passed."""

    def ended(self, segment: Segment) -> None:
        """A segment has ended early."""


def guarded(
    flow: Flow,
    action: Action,
    n: int,
    *,
    seed: int,
    batch: int = BATCH,
    look: Callable[[], None] = lambda: None,
    renew: Callable[[], None] | None = None,
    progress: Progress | None = None,
    on_looker: OnLooker | None = None,
) -> tuple[Segment, ...]:
    """n proposals in batches, with a look after each of them, or with more than `LOOKS` after every few: at the board
    (`look` raises `SelfTestError`), and at the statistics of the segment.

    When the board is no longer what it was, or the weights are not, `renew` makes it known again (reads it, tunes the
    digital part) and a new segment begins: its chain starts afresh, in proposals of its own, with weights of its own.
    What a look found fault with is dropped. The run ends there without `renew`, when `renew` fails, when nothing of a
    segment that was begun anew is left, and when an identity leaves its band or the weights of such a segment are much
    worse than before, which no drift that was made known can cause.

    Raises ValueError for n < 1 or a batch < 1, and what `propose` and `renew` raise, but for faults of the board.
    """
    if n < 1 or batch < 1:
        raise ValueError(f"n = {n} proposals in batches of {batch}: both must be at least 1")
    stride = batch * -(-n // (batch * LOOKS))
    looks = -(-n // stride)
    generator = torch.Generator().manual_seed(seed)
    segments: list[Segment] = []
    now = _Statistics(action, looks)
    for start in range(0, n, stride):
        size = min(stride, n - start)
        try:
            drawn = propose(
                flow, action, size, seed=generator, batch=batch,
                progress=None if progress is None else partial(_further, progress, start, n),
            )  # fmt: skip
            look()
            now.judge(drawn)
            if on_looker is not None:
                on_looker.passed(drawn)
        except (SelfTestError, LimitError, OutOfBand) as error:
            segments.append(now.segment(error, size))
            if on_looker is not None:
                on_looker.ended(segments[-1])
            if renew is None or (isinstance(error, OutOfBand) and error.statistic != DRIFT):
                return tuple(segments)
            if len(segments) > 1 and not segments[-1].kept:
                return tuple(segments)
            try:
                renew()
            except (SelfTestError, LimitError) as worse:
                segments[-1] = replace(segments[-1], stopped=worse)
                return tuple(segments)
            known = [s.proposals for s in segments if s.proposals is not None and s.kept >= MIN_BATCH]
            now = _Statistics(action, looks, known)
    return (*segments, now.segment(None, 0))


def _further(progress: Progress, start: int, n: int, done: int, _: int) -> None:
    progress(start + done, n)


class _Statistics:
    """Of one segment. before: the proposals of those before it."""

    def __init__(self, action: Action, looks: int, before: Sequence[Proposals] = ()) -> None:
        self._action, self._before = action, before
        self._batches: list[Proposals] = []
        self._values: list[dict[str, np.ndarray]] = []
        self._bound = float(norm.isf(ALARM / (2 * (len(EXPECTED) + 2) * looks)))

    def judge(self, drawn: Proposals) -> None:
        """Take these as well. Raises `OutOfBand`, and has not taken them then."""
        measured = measure(self._action, drawn.phi)
        batches = [*self._batches, drawn]
        values = [*self._values, {name: measured[name] for name in EXPECTED}]
        self._judge_share(Proposals.joined(batches))
        for name, pull in pulls(batches, values, self._before).items():
            if abs(pull) > self._bound:
                raise OutOfBand(
                    name,
                    f"{name} is {pull:+.1f} σ off, beyond ±{self._bound:.1f} σ (false alarms of a run: {ALARM:g})",
                )
        self._batches, self._values = batches, values

    def _judge_share(self, drawn: Proposals) -> None:
        best = max((p.ess for p in self._before), default=0.0)
        if len(drawn.log_q) >= MIN_BATCH and drawn.ess < WORST_SHARE * best:
            raise OutOfBand(
                "ESS",
                f"ESS is {drawn.ess:.3f} after the arrays were made known again, and was {best:.3f} before: below "
                f"{WORST_SHARE:g} of it; what struck comes again, or the array must be programmed anew",
            )

    def segment(self, stopped: Stop | None, dropped: int) -> Segment:
        """What there is. Too few for a chain are none."""
        kept = Proposals.joined(self._batches) if self._batches else None
        if kept is not None and len(kept.log_q) < MIN_DRAWS:
            return Segment(None, stopped, dropped + len(kept.log_q))
        return Segment(kept, stopped, dropped)


def pulls(
    batches: Sequence[Proposals], values: Sequence[Mapping[str, np.ndarray]], before: Sequence[Proposals] = ()
) -> dict[str, float]:
    """How far the statistics of a segment are off, in σ: the mean log weight from the second batch on, the free energy
    where there are segments before, the others from `MIN_EFFECTIVE` effective proposals on.

    values: of `EXPECTED`, by batch. before: proposals of the segments before, one each."""
    log_w, found = np.concatenate([b.log_weights for b in batches]), {}
    last, earlier = (part[np.isfinite(part)] for part in np.split(log_w, [len(log_w) - len(batches[-1].log_q)])[::-1])
    if min(len(last), len(earlier)) >= MIN_BATCH:
        spread = np.sqrt(last.var() / len(last) + earlier.var() / len(earlier))
        found[DRIFT] = float((last.mean() - earlier.mean()) / spread)
    if len(before) and len(log_w) >= MIN_BATCH:
        (now, error), (then, its_error) = map(free_energy, (log_w, np.concatenate([p.log_weights for p in before])))
        found[FREE_ENERGY] = (now - then) / float(np.hypot(error, its_error))
    weights = normalised_weights(log_w)
    if weights.sum() ** 2 < MIN_EFFECTIVE * (weights**2).sum():
        return found
    for name, expected in EXPECTED.items():
        # A diverged proposal has weight zero, but 0 · nan would spread.
        series = np.where(weights > 0, np.concatenate([v[name] for v in values]), 0.0)
        mean = float((weights * series).mean())
        found[name] = (mean - expected) / weighted_error(weights, series - mean)
    return found
