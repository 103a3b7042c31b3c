"""Independence Metropolis–Hastings over a stream of proposals (eq 12)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MetropolisResult:
    """The chain as indices into the stream of proposals.

    state: ``(n,)``, the proposal that the chain is in after each step; −1 while it is still where the stream before had
    left it.
    accepted: ``(n,)`` bool.  acceptance: accepted / offered (the first proposal of a fresh chain is where it starts,
    not an offer).
    log_weight: log p − log q of the last state, as `start` for the stream that follows.
    n_nonfinite: proposals refused because their weight was not a finite number.
    """

    state: np.ndarray
    accepted: np.ndarray
    acceptance: float
    log_weight: float
    n_nonfinite: int


def accept(
    log_p: np.ndarray,
    log_q: np.ndarray,
    *,
    seed: int | None = None,
    generator: np.random.Generator | None = None,
    start: float | None = None,
    shuffle: bool = False,
) -> MetropolisResult:
    """Accept proposal i over the present state j with probability min(1, w_i / w_j), log w = log p − log q.

    The weight of the present state is *kept* as it was when it was proposed. With a noisy q (an analog layer read once
    per proposal) that is what makes the chain exact; reading the present state again from its latent would not be
    (docs/theory.md).

    Parameters
    ----------
    log_p: ``(n,)``, −S(φ) up to a constant; log_q: ``(n,)``, density of the proposal as it was drawn.
    seed, generator: of the accept step; at most one of them.
    start: log weight of the state that the chain is in before the first proposal. Without it the chain starts in the
        first proposal of finite weight (and any steps before that are counted as refused and carry its index).
    shuffle: offer the proposals in random order. Needed when q drifts along the stream (telegraph noise, relaxation, a
        change of temperature): in the order of time, weights kept from one q would meet proposals from another, which
        is a bias; in random order all come from one mixture. `state` still indexes the stream as it was given.

    A proposal whose log p or log q is nan or infinite is refused and counted. Raises ValueError for shapes that differ
    or are empty, a `start` that is not finite, and when no proposal has a finite weight.
    """
    log_p, log_q = np.asarray(log_p, dtype=np.float64), np.asarray(log_q, dtype=np.float64)
    if log_p.ndim != 1 or log_p.shape != log_q.shape or log_p.size == 0:
        raise ValueError(f"log_p and log_q have shapes {log_p.shape} and {log_q.shape}; both must be (n,) with n >= 1")
    if seed is not None and generator is not None:
        raise ValueError("give seed or generator, not both")
    if start is not None and not np.isfinite(start):
        raise ValueError(f"start = {start} must be a finite log weight")
    finite = np.isfinite(log_p) & np.isfinite(log_q)
    if not finite.any():
        raise ValueError(f"none of the {log_p.size} proposals has a finite weight; the flow or the action has diverged")
    log_w = np.where(finite, log_p, -np.inf) - np.where(finite, log_q, 0.0)
    rng = np.random.default_rng(seed) if generator is None else generator
    order = rng.permutation(log_w.size) if shuffle else np.arange(log_w.size)

    # log u < log w_i − log w_j, as log w_i − log u > log w_j. The recursion is sequential: plain floats are fastest.
    offers = (log_w[order] + rng.standard_exponential(log_w.size)).tolist()
    weights, proposals = log_w[order].tolist(), order.tolist()
    first = 0 if start is not None else int(np.argmax(finite[order]))
    index, present = (-1, float(start)) if start is not None else (proposals[first], weights[first])
    state = [index] * len(weights)
    for i in range(first, len(weights)):
        if offers[i] > present:
            index, present = proposals[i], weights[i]
        state[i] = index
    states = np.array(state)
    accepted = states == order
    offered = states.size - (start is None)
    taken = int(accepted.sum()) - (start is None)
    return MetropolisResult(states, accepted, taken / offered if offered else 1.0, present, int((~finite).sum()))
