"""A φ⁴ run on a mock board in which a fault sets in, drawn and watched as `xbar sample` does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from anf.arrays.analog import deploy
from anf.arrays.watched import Watched
from anf.flows.checkpoint import load_flow, shipped
from anf.flows.deployed import deployed
from anf.lattice import exact
from anf.lattice.actions import Phi4
from anf.measurement.observables import measure
from anf.measurement.statistics import normalised_weights
from anf.samplers.proposals import Proposals
from anf.samplers.sampling import Samples, sample
from drivers.connect import mock_board, open_crossbar
from drivers.self_test import SelfTestError
from firmware_bridge.errors import LimitError
from firmware_bridge.mock.faults.base import Striking
from firmware_bridge.mock.faults.catalogue import CATALOGUE

ACTION = Phi4(m2=-4.0, lam=5.5, shape=(4, 4))
KNOWN = {"virial": 1.0, "zero_mode": 1.0} | {
    name: value
    for name, value in exact.phi4(4, ACTION.m2, ACTION.lam).by_name().items()
    if name in ("chi2", "E", "phi2", "phi4")
}
"""What the run should give: identities, and exact values of the torus."""
ONSET, GONE = 0.93, 0.94
"""Of the batch that a fault sets in during: late, as the mock works frame by frame while some faults act."""


@dataclass(frozen=True)
class Outcome:
    """ended: what ended the run, None if it came to its end. renewals: changes of the array that it went on after.
    drawn: the run; None if nothing was kept."""

    ended: str | None
    renewals: int
    drawn: Samples | None

    @property
    def index(self) -> np.ndarray:
        """Which of the proposals that were begun were kept."""
        begun, kept = 0, [np.zeros(0, int)]
        for segment in () if self.drawn is None else self.drawn.segments:
            kept.append(np.arange(begun, begun + segment.kept))
            begun += segment.kept + segment.dropped
        return np.concatenate(kept)

    @property
    def estimates(self) -> dict[str, Known]:
        """What the run should give, over all that was kept, by weights."""
        if self.drawn is None:
            return {}
        found = self.drawn.reweighted
        return {name: Known(found[name].value - value, found[name].error, value) for name, value in KNOWN.items()}

    def against(self, healthy: Outcome) -> dict[str, Known] | None:
        """The same against a run without a fault, proposal by proposal of equal latents, so that most of what chance
        does drops out; None if every bit is the same."""
        assert self.drawn is not None
        assert healthy.drawn is not None
        ours, theirs = (_influences(o.drawn.proposals, i) for o, i in ((self, slice(None)), (healthy, self.index)))
        if all(np.array_equal(ours[name][1], theirs[name][1]) for name in KNOWN):
            return None
        return {
            name: Known(
                ours[name][0] - theirs[name][0],
                float(np.std(ours[name][1] - theirs[name][1]) / np.sqrt(len(self.index))),
                value,
            )
            for name, value in KNOWN.items()
        }  # fmt: skip


@dataclass(frozen=True)
class Known:
    """A quantity that is known. off: by how much it is missed. error: of that. value: what it should be."""

    off: float
    error: float
    value: float

    @property
    def pull(self) -> float:
        """off in σ."""
        return self.off / self.error

    @property
    def smallest(self) -> float:
        """Relative bias that would be four σ: the smallest that is seen."""
        return 4 * self.error / abs(self.value)


def _influences(proposals: Proposals, index: slice | np.ndarray) -> dict[str, tuple[float, np.ndarray]]:
    """Mean by weights, and what each proposal adds to it, by name."""
    weights = normalised_weights(proposals.log_weights[index])
    measured = measure(ACTION, proposals.phi[index])
    means = {name: float((weights * measured[name]).mean()) for name in KNOWN}
    return {name: (mean, weights * (measured[name] - mean)) for name, mean in means.items()}


@lru_cache(maxsize=1)
def _flow():
    return load_flow(shipped(ACTION, "mixer"), ACTION)[0]


def run(name: str | None, n: int, *, seed: int = 0, batch: int = 512, passing: bool = False) -> Outcome:
    """n proposals; the fault of the catalogue sets in during the second batch and stays, or, where it is an event,
    strikes once in each that follows. passing: it is over before the look that ends the batch, and comes again in each
    that follows, so that no look sees it. Without a name nothing happens."""
    flow = _flow()
    with open_crossbar("mock", seed=seed) as crossbar:
        watched = Watched(deploy(flow, [crossbar]))
        began_s = crossbar.board_time_s

        def look() -> None:
            nonlocal began_s
            watched.look()
            now_s = crossbar.board_time_s
            if name is not None and (watched.looks == 1 or passing or _strikes(name)):
                until = GONE if passing else np.inf
                times = (now_s + share * (now_s - began_s) for share in (ONSET, until))
                mock_board(crossbar).faults.add(CATALOGUE[name](**dict(zip(("from_s", "until_s"), times, strict=True))))
            began_s = now_s

        try:
            with deployed(flow, {}, watched.deployment.crossbar()):
                drawn = sample(flow, ACTION, n, seed=seed, batch=batch, look=look, renew=watched.renew)
        except (SelfTestError, LimitError) as error:
            return Outcome(str(error), watched.renewals, None)
    ended = None if drawn.stopped is None else str(drawn.stopped)
    return Outcome(ended, watched.renewals, drawn)


def _strikes(name: str) -> bool:
    """Whether a fault is an event, not a state."""
    return isinstance(CATALOGUE[name](), Striking)
