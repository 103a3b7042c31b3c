"""Evidence that errors can be believed: Markov chains have forgotten where they began and are long enough, and weights
are not too heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import genpareto

from anf.measurement.statistics import gamma_method

R_HAT_LIMIT = 1.05
"""Rank-normalised split R̂ above which chains disagree. Vehtari et al. (2021) ask for 1.01 with few long chains. Half
chains of n draws that do agree give √(1 + 2τ/n) by chance: 1.04 at the least length below."""
JUDGED = ("M", "abs_M", "S")
"""Observables whose chains are looked at: the slowest mode, its size, and all of the field."""
LEAST_TAUS = 50.0
"""Length of a chain in units of its integrated autocorrelation time below which the Γ method's window is guesswork."""

HEAVIEST_TAIL = 0.7
"""Tail index of weights above which their error does not show what the heaviest of them would add: Vehtari, Simpson,
Gelman, Yao & Gabry (2024), section 3, who lower it to 1 − 1 / log₁₀ n for n < 2200."""
LEAST_TAIL = 5
"""Weights that a tail can be told from."""


@dataclass(frozen=True)
class Convergence:
    """How chains did, by observable. `problems` says in words what is wrong; empty if nothing is.

    r_hat: rank-normalised split R̂.  taus: draws of a chain over τ_int.
    """

    r_hat: dict[str, float]
    taus: dict[str, float]
    problems: tuple[str, ...]

    @property
    def converged(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def diagnose(series: Mapping[str, np.ndarray]) -> Convergence:
    """Judge series ``(chain, draw)`` of the same chains by name; at least 10 draws.

    R̂ needs two chains: with one it is nan, which is a problem of its own. Raises ValueError as `gamma_method` does.
    """
    from arviz_stats.base import array_stats  # a second that only this needs

    r_hat, taus, problems = {}, {}, []
    for name, values in series.items():
        chains = np.atleast_2d(np.asarray(values, float))
        result = gamma_method(chains)
        taus[name] = chains.shape[1] / result.tau_int if np.isfinite(result.tau_int) else 0.0
        # R̂ of values that never change is 0/0.
        judged = len(chains) > 1 and np.ptp(chains) > 0
        r_hat[name] = float(array_stats.rhat(chains, chain_axis=0, draw_axis=1)) if judged else float("nan")
        if len(chains) < 2:
            problems.append(f"{name}: one chain alone cannot show that it has forgotten its start; run several")
        elif not r_hat[name] <= R_HAT_LIMIT:
            problems.append(
                f"{name}: R-hat = {r_hat[name]:.3f} is above {R_HAT_LIMIT}: the chains disagree; thermalise longer, or "
                "add moves that cross between the regions that they sit in"
            )
        if not taus[name] >= LEAST_TAUS:
            problems.append(
                f"{name}: chains are {taus[name]:.0f} autocorrelation times long, below {LEAST_TAUS:.0f}; draw more"
            )
    return Convergence(r_hat, taus, tuple(problems))


def tail_index(log_weights: np.ndarray) -> float:
    """k of the generalised Pareto distribution that the largest weights follow, fitted to the 3√n of them, a fifth at
    most, by maximum likelihood (Vehtari et al. 2024, section 2): the variance is finite for k < ½, the mean for k < 1.

    log_weights: ``(n,)``, not all −inf; −inf is weight zero. nan if that is less than `LEAST_TAIL` weights, or if they
    are equal.
    """
    n = len(log_weights)
    tail = int(np.ceil(min(0.2 * n, 3.0 * np.sqrt(n))))
    if tail < LEAST_TAIL:
        return float("nan")
    weights = np.sort(np.exp(log_weights - log_weights.max()))
    excess = weights[-tail:] - weights[-tail - 1]
    if excess[-1] == 0.0:
        return float("nan")
    return float(genpareto.fit(excess / excess.mean(), floc=0.0)[0])


def heavy_tail(log_weights: np.ndarray) -> tuple[str, ...]:
    """What is wrong with the weights ``(n,)`` of independent proposals, in words; nothing if nothing is."""
    k, limit = tail_index(log_weights), min(HEAVIEST_TAIL, 1.0 - 1.0 / np.log10(max(len(log_weights), 11)))
    if not k > limit:
        return ()
    return (
        f"weights: tail index k = {k:.2f} is above {limit:.2f}: a few proposals hold the result, and errors do not "
        "show what heavier ones would add; draw more, or tune the flow",
    )
