"""Observables of a lattice field and their estimates with errors (eqs 22–30).

Where the paper subtracts ⟨φ⟩⟨φ⟩ (eq 23) nothing is subtracted here: on a finite lattice the symmetry φ → −φ is not
broken and ⟨φ⟩ = 0 exactly, so that the subtraction would only add noise. This holds for chains that do visit both
signs: HMC with sign flips, and Metropolis–Hastings on a flow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from anf.lattice import kernels
from anf.lattice.actions import Action, Array, bond_sum
from anf.measurement.statistics import ess, gamma_method, normalised_weights, weighted_error

_BLOCK_SITES = 1 << 20

_IDENTITIES = {"virial": 1.0, "zero_mode": 1.0}

States = np.ndarray | Sequence[np.ndarray]
"""Metropolis–Hastings chains as indices into proposals: ``(draw,)``, ``(chain, draw)``, or chains ``(draw,)``."""


@dataclass(frozen=True)
class Estimate:
    """An expectation value.

    tau_int: in draws of the chain, ½ where the draws are independent.  n_effective: number of independent draws that it
    is worth.
    expected: the exact value, where an identity gives one; else None.
    """

    name: str
    value: float
    error: float
    tau_int: float
    n_effective: float
    expected: float | None = None

    @property
    def pull(self) -> float | None:
        """(value − expected) / error, for an identity."""
        return None if self.expected is None else (self.value - self.expected) / self.error


@dataclass(frozen=True)
class Series:
    """Configurations reduced to what estimates need; float64 or float32.

    values: by name, each ``(...)``: what `measure` gives.  slices: C(p = 0, t) of each configuration, ``(..., Lx)``.
    """

    values: Mapping[str, np.ndarray]
    slices: np.ndarray


def measure(action: Action, phi: Array) -> dict[str, np.ndarray]:
    """Per-configuration values, each ``(...)`` for phi ``(..., Lx, Ly)``, float64.

    M = (1/V) Σ φ (eq 28), abs_M, M2, M4; S, the whole action; phi2, phi4, the means over sites of φ² and φ⁴;
    E = (1/2V) Σ_x Σ_μ φ_x φ_{x+μ} (eq 26); chi2 = V M² (eq 25);
    virial = (1/V) Σ φ ∂S/∂φ and zero_mode = M Σ ∂S/∂φ, both of exact mean 1; observables and identities of the action
    itself.
    """
    phi = _as_numpy(phi)
    lead = phi.shape[:-2]
    flat = phi.reshape(-1, *phi.shape[-2:])
    step = max(1, _BLOCK_SITES // action.volume)
    blocks = [_measure_block(action, flat[first : first + step]) for first in range(0, len(flat), step)]
    return {name: np.concatenate([block[name] for block in blocks]).reshape(lead) for name in blocks[0]}


def improved(action: Action, phi: Array, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """chi2 and zero_mode of `measure` with the signs of clusters averaged out, each ``(...)``: the same means, and a
    variance that falls with the volume.

    Given |φ| the signs are Ising spins with couplings κ|φ_x φ_y|; divided into clusters, each cluster's sign is ± with
    equal odds, and only sites of one cluster contribute to ⟨φ_x F_y⟩, F odd (Swendsen and Wang 1987; Brower and Tamayo
    1989). The bonds are drawn from `generator`.
    """
    lead = tuple(phi.shape[:-2])
    phi = np.ascontiguousarray(_as_numpy(phi).reshape(-1, *action.shape))
    # Σ_y ∂S/∂φ_y, written as a sum of functions of one site.
    force = action.site.gradient(phi) - 4.0 * action.hopping * phi
    out = np.empty((len(phi), 2))
    kernels.cluster_products(phi, force, action.hopping, generator.integers(2**64, size=1, dtype=np.uint64), out)
    chi2, zero_mode = (column.reshape(lead) for column in out.T / action.volume)
    return {"chi2": chi2, "zero_mode": zero_mode}


def two_point(phi: Array) -> np.ndarray:
    """(1/V) Σ_y φ(y) φ(y + x) per configuration, ``(..., Lx, Ly)`` in x (eq 23, see the module on what is not
    subtracted)."""
    phi = _as_numpy(phi)
    power = np.abs(np.fft.rfft2(phi)) ** 2
    return np.fft.irfft2(power, s=phi.shape[-2:]) / (phi.shape[-2] * phi.shape[-1])


def time_slice_correlator(phi: Array) -> np.ndarray:
    """C(p = 0, t) per configuration, ``(..., Lx)``: (1/Lx) Σ_s φ̄(s) φ̄(s + t), φ̄ the mean over a slice (eq 24).

    Slices are across the first axis; on a square lattice the average with the other direction is taken.
    """
    phi = _as_numpy(phi)
    correlator = _autocorrelation(phi.mean(-1))
    return 0.5 * (correlator + _autocorrelation(phi.mean(-2))) if phi.shape[-1] == phi.shape[-2] else correlator


def inverse_correlation_length(correlator: np.ndarray) -> float:
    """1/ξ of eq 27 from the ensemble mean of C(0, t), ``(L,)``: the mean of arcosh((C(t+1) + C(t−1)) / 2C(t)) over t =
    1 … L − 1.

    nan where noise puts some ratio below 1: the estimate then needs more draws, and a part of the sum alone would be
    biased.
    """
    t = np.arange(1, len(correlator))
    ratio = (correlator[(t + 1) % len(correlator)] + correlator[t - 1]) / (2.0 * correlator[t])
    if np.any(np.real(ratio) < 1.0):
        return float("nan")
    return np.arccosh(ratio).mean()


def summarise(
    action: Action, phi: Array, *, log_weights: np.ndarray | None = None, state: States | None = None
) -> dict[str, Estimate]:
    """Estimates of all observables of configurations at hand, by name: `estimate` of their series.

    phi: ``(chain, draw, Lx, Ly)`` or ``(draw, Lx, Ly)`` of Markov chains; ``(proposal, Lx, Ly)`` with `state` or
    `log_weights`. Raises what `estimate` raises.
    """
    phi = _as_numpy(phi)
    n_axes = (3,) if log_weights is not None or state is not None else (3, 4)
    if phi.ndim not in n_axes or phi.shape[-2:] != action.shape or phi.size == 0:
        raise ValueError(
            f"phi has shape {phi.shape}; this needs {' or '.join(str(n - 2) for n in n_axes)} leading axes "
            f"and a lattice of {action.shape}"
        )
    return estimate(action, measure_series(action, phi), log_weights=log_weights, state=state)


def measure_series(action: Action, phi: Array) -> Series:
    """The series of configurations ``(..., Lx, Ly)``: values of shape ``(...)``, slices ``(..., Lx)``."""
    return Series(measure(action, phi), time_slice_correlator(phi))


def estimate(
    action: Action, series: Series, *, log_weights: np.ndarray | None = None, state: States | None = None
) -> dict[str, Estimate]:
    """Estimates of all observables, by name, from one of

    * Markov chains: series ``(chain, draw)`` or ``(draw,)``; Γ-method errors, chains as replica;
    * proposals with a Metropolis–Hastings chain: series ``(proposal,)``, state ``(draw,)`` or ``(chain, draw)`` of
      indices into them, or chains ``(draw,)`` of different lengths; chains as replica;
    * independent proposals with weights: series ``(proposal,)``, log_weights ``(proposal,)``; ratio estimates Σ w O
      / Σ w, error by the delta method, so that the fluctuation of the denominator counts.

    Beside the means of `measure` (without M4): ``binder`` = 1 − ⟨M⁴⟩ / 3⟨M²⟩², ``xi`` by eq 27 and, on a square
    lattice, ``xi_2nd``, the second-moment correlation length. Functions of several means are linearised, so that the
    same error analysis serves them.

    Raises ValueError for shapes that do not fit, an index outside the proposals, both `state` and `log_weights`, and
    values that are not finite.
    """
    analyse = _analysis(series.slices, log_weights, state)
    values, correlator = dict(series.values), series.slices
    if log_weights is not None or state is not None:
        # A diverged proposal is never in the chain and has weight zero, but 0 · nan would spread.
        finite = np.isfinite(correlator).all(-1)
        values = {name: np.where(finite, value, 0.0) for name, value in values.items()}
        correlator = np.where(finite[..., None], correlator, 0.0)
    own = {name: expected for name, (_, expected) in action.identities(np.zeros((1, *action.shape))).items()}
    m4 = values.pop("M4")
    rows = {
        name: analyse(name, (value,), lambda mean: mean[0], (_IDENTITIES | own).get(name))
        for name, value in values.items()
    }

    rows["binder"] = analyse("binder", (values["M2"], m4), lambda mean: 1.0 - mean[1] / (3.0 * mean[0] ** 2), None)
    slices = tuple(np.moveaxis(correlator, -1, 0))
    rows["xi"] = analyse("xi", slices, lambda mean: 1.0 / inverse_correlation_length(mean), None)
    if action.shape[0] == action.shape[1]:
        rows["xi_2nd"] = analyse("xi_2nd", slices, _second_moment_length, None)
    return rows


_Analysis = Callable[[str, tuple[np.ndarray, ...], Callable[[np.ndarray], float], "float | None"], Estimate]


def _analysis(slices: np.ndarray, log_weights: np.ndarray | None, state: States | None) -> _Analysis:
    """How a function of means of per-configuration series becomes an `Estimate`, for the kind of sample at hand.

    slices ``(..., Lx)``: to see how many configurations there are, and which of them diverged."""
    if log_weights is not None and state is not None:
        raise ValueError("give state (a Markov chain) or log_weights (independent proposals), not both")
    n = len(slices)
    used = np.ones(n, dtype=bool)
    weights = effective = None
    if log_weights is not None:
        weights = normalised_weights(log_weights)
        if weights.shape != (n,):
            raise ValueError(f"log_weights has shape {weights.shape}; there are {n} proposals")
        effective = weights.size * ess(log_weights)
        used = weights > 0
    visited, begins = np.zeros(0, int), np.zeros(0, int)
    if state is not None:
        chains = list(np.atleast_2d(state)) if isinstance(state, np.ndarray) else [np.asarray(c) for c in state]
        if not chains or any(
            c.dtype.kind not in "iu" or c.ndim != 1 or c.size == 0 or c.min() < 0 or c.max() >= n for c in chains
        ):
            raise ValueError(f"state must be indices 0 … {n - 1} of proposals, shape (draw,) or (chain, draw)")
        visited, begins = np.concatenate(chains), np.cumsum([len(c) for c in chains])[:-1]
        used = np.isin(np.arange(n), visited)
    bad = int((~np.isfinite(slices.sum(-1)[used])).sum())
    if bad:
        raise ValueError(f"phi: {bad} of the configurations that count are not finite; the sampler diverged")

    def analyse(
        name: str, series: tuple[np.ndarray, ...], function: Callable[[np.ndarray], float], expected: float | None
    ) -> Estimate:
        stack = np.stack(series).astype(np.float64)
        if weights is not None:
            mean = (stack * weights).mean(-1)
        else:
            stack = stack if state is None else stack[:, visited]
            mean = stack.reshape(len(stack), -1).mean(-1)
        value = float(np.real(function(mean)))
        if not np.isfinite(value):
            return Estimate(name, float("nan"), float("nan"), float("nan"), 0.0, expected)
        fluctuation = np.tensordot(_gradient(function, mean), stack - mean.reshape(-1, *[1] * (stack.ndim - 1)), 1)
        if weights is not None and effective is not None:
            return Estimate(name, value, weighted_error(weights, fluctuation), 0.5, effective, expected)
        result = gamma_method(fluctuation if state is None else np.split(fluctuation, begins))
        return Estimate(name, value, result.error, result.tau_int, result.n_effective, expected)

    return analyse


def _gradient(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """∂f/∂x by a complex step, which has no cancellation; every function here is analytic."""
    steps = at + 1j * 1e-30 * np.eye(len(at))
    return np.array([np.imag(function(row)) / 1e-30 for row in steps])


def _measure_block(action: Action, phi: np.ndarray) -> dict[str, np.ndarray]:
    square = phi * phi
    m = phi.mean((-2, -1))
    gradient = action.gradient(phi)
    values = {
        "M": m,
        "abs_M": np.abs(m),
        "M2": m**2,
        "M4": m**4,
        "chi2": action.volume * m**2,
        "S": action(phi),
        "phi2": square.mean((-2, -1)),
        "phi4": (square * square).mean((-2, -1)),
        "E": bond_sum(phi) / (2.0 * action.volume),
        "virial": (phi * gradient).mean((-2, -1)),
        "zero_mode": m * gradient.sum((-2, -1)),
    }
    return values | action.observables(phi) | {name: value for name, (value, _) in action.identities(phi).items()}


def _second_moment_length(correlator: np.ndarray) -> float:
    """√(χ(0)/χ(k) − 1) / (2 sin(k/2)) at the smallest k = 2π/L; χ(k) ∝ Σ_t cos(kt) C(0, t)."""
    k = 2.0 * np.pi / len(correlator)
    ratio = correlator.sum() / (correlator * np.cos(k * np.arange(len(correlator)))).sum()
    return np.sqrt(ratio - 1.0) / (2.0 * np.sin(k / 2.0)) if np.real(ratio) > 1.0 else float("nan")


def _autocorrelation(slices: np.ndarray) -> np.ndarray:
    n = slices.shape[-1]
    return np.fft.irfft(np.abs(np.fft.rfft(slices)) ** 2, n=n) / n


def _as_numpy(phi: Array) -> np.ndarray:
    return np.asarray(phi.detach().cpu() if hasattr(phi, "detach") else phi, dtype=np.float64)
