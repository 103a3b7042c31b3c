"""Statistical errors: the Γ method for Markov chains, effective sample sizes and the free energy for weighted
proposals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyerrors

MIN_DRAWS = 10
"""Of a chain that an error can be found of."""
WINDOW = 2.0
"""S of the Γ method: the assumed ratio of the decay time of ρ to τ_int."""


@dataclass(frozen=True)
class GammaResult:
    """Mean of a Markov series with its error.

    value, error; tau_int, tau_int_error: integrated autocorrelation time ½ + Σ ρ(t) (eq 30), in draws; window: where
    the sum was cut.
    n_effective: draws / (2 τ_int).  rho: ρ(t) for t = 0, 1, … up to half a chain (eq 29, normalised).
    A series that never changes carries no information about its error: error is nan, τ_int infinite, n_effective 0.
    """

    value: float
    error: float
    tau_int: float
    tau_int_error: float
    window: int
    n_effective: float
    rho: np.ndarray


def gamma_method(series: np.ndarray | Sequence[np.ndarray]) -> GammaResult:
    """Γ method with automatic windowing (Wolff, hep-lat/0306017, S = 2), as `pyerrors` implements it.

    series: ``(draw,)`` or ``(chain, draw)``, at least 10 draws; or chains ``(draw,)`` of different lengths, the longest
        of at least 10. Chains are replica of one ensemble.
    Raises ValueError for too few draws and for values that are not finite.
    """
    chains = _chains(series)
    draws = np.concatenate(chains)
    value = float(draws.mean())
    if np.ptp(draws) == 0.0:
        longest = max(map(len, chains))
        return GammaResult(value, float("nan"), float("inf"), float("nan"), 0, 0.0, np.ones(longest // 2))
    obs = markov_observable(chains)
    obs.gamma_method(S=WINDOW)
    tau = float(obs.e_tauint["chain"])
    return GammaResult(
        value,
        float(obs.e_dvalue["chain"]),
        tau,
        float(obs.e_dtauint["chain"]),
        int(obs.e_windowsize["chain"]),
        draws.size / (2.0 * tau),
        obs.e_rho["chain"],
    )


def markov_observable(series: np.ndarray | Sequence[np.ndarray]) -> pyerrors.Obs:
    """The series of `gamma_method` as an observable of `pyerrors`, for what that library does with several of them."""
    # It costs a second to import, which commands that need no errors should not pay.
    import pyerrors

    chains = _chains(series)
    value = float(np.concatenate(chains).mean())
    # Fluctuations about the mean of *all* chains: about each chain's own mean, short chains would read too small an
    # error.
    deltas = [chain - value for chain in chains]
    n_digits = len(str(len(deltas)))
    names = [f"chain|{k:0{n_digits}d}" for k in range(len(deltas))]
    lengths = [range(1, len(chain) + 1) for chain in chains]
    return pyerrors.Obs(deltas, names, idl=lengths, means=[0.0] * len(deltas)) + value


def covariance(series: np.ndarray, window: int) -> np.ndarray:
    """Covariance of the means of several series of the same chains, autocorrelation included: ``(n, n)``.

    (Γ(0) + Σ_{t=1}^{window} (Γ(t) + Γ(t)ᵀ)) / N with Γ_ij(t) = ⟨δ_i(s) δ_j(s + t)⟩, for series ``(n, chain, draw)``.
    Taking the correlations of single draws instead, as is often done, is wrong where the series differ in τ_int: a χ²
    made with it does not follow its distribution.
    """
    deltas = series - series.mean((1, 2), keepdims=True)
    draws = deltas.shape[2]
    total = np.zeros((len(deltas), len(deltas)))
    for t in range(min(window, draws - 1) + 1):
        early, late = deltas[:, :, : draws - t], deltas[:, :, t:]
        gamma = np.tensordot(early, late, ((1, 2), (1, 2))) / early[0].size
        total += gamma if t == 0 else gamma + gamma.T
    return total / deltas[0].size


def _chains(series: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    rows = np.atleast_2d(series) if isinstance(series, np.ndarray) else series
    chains = [np.asarray(row, dtype=np.float64) for row in rows]
    if any(chain.ndim != 1 for chain in chains) or max(map(len, chains), default=0) < MIN_DRAWS:
        raise ValueError(
            f"series has shape {[chain.shape for chain in chains]}; needs (draw,) or (chain, draw) with at least "
            f"{MIN_DRAWS} draws"
        )
    if bad := sum(int((~np.isfinite(chain)).sum()) for chain in chains):
        raise ValueError(f"series holds {bad} values that are not finite")
    return chains


def weighted_error(weights: np.ndarray, fluctuation: np.ndarray) -> float:
    """Error of Σ w O / Σ w by the delta method: weights ``(n,)`` of mean 1, fluctuation ``(n,)`` O − ⟨O⟩."""
    influence = weights * fluctuation
    return float(np.sqrt(np.mean(influence**2) / max(influence.size - 1, 1)))


def ess(log_weights: np.ndarray) -> float:
    """Effective sample size per proposal, (mean w)² / mean w² in (0, 1] (eq 11), of proposals drawn from q with w =
    p/q.

    log_weights: ``(n,)``, log p − log q up to a constant. It is blind to modes of p that q never visits: see
    `ess_forward`.
    Raises ValueError as `normalised_weights` does.
    """
    w = normalised_weights(log_weights)
    return float(w.mean() ** 2 / np.mean(w * w))


def ess_forward(log_weights: np.ndarray) -> float:
    """The same number estimated on configurations drawn from *p* (an HMC run): 1 / (E_p[w] E_p[1/w]).

    With w = p/q unnormalised, E_q[w] = Z and E_q[w²] = Z E_p[w], and E_p[1/w] = 1/Z; hence (E_q[w])²/E_q[w²] as in eq
    11. Where q misses a mode of p, w is huge there and this falls to zero while `ess` stays high.

    log_weights: ``(n,)``, log p(φ) − log q(φ) at φ ~ p. Raises ValueError as `normalised_weights` does.
    """
    log_w = _checked(log_weights)
    up, down = np.exp(log_w - log_w.max()), np.exp(log_w.min() - log_w)
    return float(np.exp(log_w.min() - log_w.max()) / (up.mean() * down.mean()))


def free_energy(log_weights: np.ndarray) -> tuple[float, float]:
    """F = −ln Z and its error (delta method) from independent proposals with log w = −S − log q, q normalised.

    Biased by about +(1/ESS − 1)/(2n), which is below the error while n · ESS ≫ 1. Raises ValueError as
    `normalised_weights` does.
    """
    log_w = _checked(log_weights)
    w = np.exp(log_w - log_w.max())
    error = float(w.std(ddof=1) / w.mean() / np.sqrt(w.size)) if w.size > 1 else float("nan")
    return float(-log_w.max() - np.log(w.mean())), error


def normalised_weights(log_weights: np.ndarray) -> np.ndarray:
    """w / mean(w), without overflow at any offset. −inf is weight zero.

    Raises ValueError for an empty or not one-dimensional array, for nan or +inf, and when every weight is zero.
    """
    log_w = _checked(log_weights)
    w = np.exp(log_w - log_w.max())
    return w / w.mean()


def _checked(log_weights: np.ndarray) -> np.ndarray:
    log_w = np.asarray(log_weights, dtype=np.float64)
    if log_w.ndim != 1 or log_w.size == 0:
        raise ValueError(f"log_weights has shape {log_w.shape}; needs (n,) with n >= 1")
    bad = int((np.isnan(log_w) | (log_w == np.inf)).sum())
    if bad or not np.isfinite(log_w.max()):
        raise ValueError(
            f"log_weights: {bad} of {log_w.size} are nan or +inf, the largest is {log_w.max()}; "
            "the flow or the action diverged"
        )
    return log_w
