"""Everything that is known exactly about the two theories, held against a sampler: one row for each statement.

A row holds when the value lies within `BOUND` standard deviations of what it should be *and* its error is small enough
for that to mean something. Statements: closed forms of the free field, exact values of small tori, identities that hold
at any coupling, free energies against thermodynamic integration, and one sampler against another.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import norm

from anf.lattice import exact
from anf.lattice.actions import Action, Phi4, action_from_name
from anf.measurement import free_energy
from anf.measurement.comparison import BOUND
from anf.measurement.mass_gap import fit_mass_gap
from anf.measurement.observables import Estimate
from anf.measurement.statistics import WINDOW, covariance, markov_observable
from anf.samplers.ensembles import Ensemble, HmcPlan, Runs

HMC_PRECISION = 1e-3
FLOW_PRECISION = 5e-3
CASES: tuple[tuple[str, int], ...] = (
    ("phi4", 4), ("phi4", 6), ("phi4", 12), ("phi4", 24),
    ("graphene", 6), ("graphene", 12), ("graphene", 24), ("graphene", 48),
)  # fmt: skip
"""The lattices of the paper."""
_POWERLESS = ("zero_mode", "tadpole", "abs_M")
"""What must hold within `BOUND` and bounds no error. The zero mode fluctuates by several times its mean, |M| by three
quarters, at every volume, and no average over clusters helps |M|; the tadpole is zero by symmetry."""
_EXACT_SIDE = {"phi4": 4, "graphene": 3}
LAMBDAS = (5.0, 5.5, 6.0)
INTERACTING_DRAWS = {4: 1.6e6, 6: 4e5, 12: 3e5, 24: 1.5e5, 48: 4e4}
FREE_DRAWS = {
    ("phi4", 4): 3.6e6, ("phi4", 6): 9e6, ("phi4", 12): 2.6e6, ("phi4", 24): 1.1e6,
    ("graphene", 6): 5e6, ("graphene", 12): 2.6e6, ("graphene", 24): 1.1e6, ("graphene", 48): 1.5e6,
}  # fmt: skip
NODE_DRAWS = {4: 3e5, 6: 1e5, 12: 5e4, 24: 3e4, 48: 1e4}
"""Configurations by side, enough for the precision asked for; χ₂ of the free field needs the most."""
PROPOSALS = {4: 131_072, 6: 131_072, 12: 65_536, 24: 65_536, 48: 32_768}
_CHAIN_SITES = 300_000


@dataclass(frozen=True)
class Check:
    """One statement about one sampler at one set of couplings.

    expected, expected_error: what the value should be; an error of 0 for what is exact.
    precision: largest relative error, None where there is no scale to be relative to.
    problems: what is wrong with the chains that the value comes from; nothing holds for chains that are not converged.
    """

    sampler: str
    couplings: Mapping[str, float]
    name: str
    value: float
    error: float
    expected: float
    expected_error: float = 0.0
    precision: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def pull(self) -> float:
        """(value − expected) in standard deviations of the difference."""
        return (self.value - self.expected) / math.hypot(self.error, self.expected_error)

    @property
    def relative_error(self) -> float:
        """error / |expected|; nan where nothing is expected but zero."""
        return self.error / abs(self.expected) if self.expected else math.nan

    @property
    def holds(self) -> bool:
        """Within `BOUND`, and precise enough. A value without an error holds nothing."""
        precise = self.precision is None or self.relative_error <= self.precision
        return abs(self.pull) <= BOUND and precise and not self.problems


def interacting(name: str, L: int) -> Action:
    """The couplings at which a lattice is checked: in the middle of the paper's range."""
    return action_from_name(name, L, **{"phi4": {"m2": -4.0, "lam": 5.5}, "graphene": {"g": 1.0, "u": 0.5}}[name])


def free(name: str, L: int) -> Action:
    """The free field of a lattice: φ⁴ at m² = ¼, the wire at u = 0."""
    return action_from_name(name, L, **{"phi4": {"m2": 0.25, "lam": 0.0}, "graphene": {"g": 1.0, "u": 0.0}}[name])


def hmc_plan(action: Action, seed: int, draws: float) -> HmcPlan:
    """HMC of about `draws` configurations with cluster averages: chains of a hundred bins or more, so that they can be
    judged."""
    chains = max(16, min(512, _CHAIN_SITES // action.volume, round(draws / 400)))
    length = max(100, round(draws / chains))
    size = min(20, length // 100)
    # Runs at neighbouring couplings with equal random numbers would not be independent.
    own = int(np.random.SeedSequence([seed, zlib.crc32(str(action).encode())]).generate_state(1)[0])
    return HmcPlan(chains, size * (length // size), own, thin=2, bin=size, improve=True)


def check_hmc(name: str, L: int, runs: Runs, seed: int) -> list[Check]:
    """All statements about HMC on one lattice, at interacting couplings and for the free field."""
    rows = []
    for action, draws in ((interacting(name, L), INTERACTING_DRAWS[L]), (free(name, L), FREE_DRAWS[name, L])):
        rows += statements(action, runs.hmc(action, hmc_plan(action, seed, draws)), "HMC", HMC_PRECISION)
    for action in free_energies(name, L):
        value, error = reference_free_energy(action, runs, seed)
        if known := exact_values(action):
            rows.append(Check("HMC", action.parameters, "F", value, error, known[1], precision=HMC_PRECISION))
    return rows


def check_flow(name: str, L: int, runs: Runs, seed: int) -> list[Check]:
    """All statements about a flow with Metropolis–Hastings on one lattice: identities, exact values, HMC, and the free
    energy against the integral along the couplings. None for couplings without a flow."""
    rows = []
    action = interacting(name, L)
    drawn = runs.flow(action, PROPOSALS[L], seed)
    if drawn is not None:
        rows += statements(action, drawn, "flow", FLOW_PRECISION)
        reference = runs.hmc(action, hmc_plan(action, seed, INTERACTING_DRAWS[L])).estimates(action)
        rows += against(action, reference, drawn, "flow", FLOW_PRECISION)
    for action in free_energies(name, L):
        drawn = runs.flow(action, PROPOSALS[L], seed)
        if drawn is not None:
            value, error = reference_free_energy(action, runs, seed)
            of_flow, of_flow_error = (drawn.statistics[key] for key in ("free_energy", "free_energy_error"))
            rows.append(
                Check(
                    "flow", action.parameters, "F as HMC", of_flow, of_flow_error, value, error, FLOW_PRECISION,
                    drawn.verdict().problems,
                )
            )  # fmt: skip
    return rows


def free_energies(name: str, L: int) -> tuple[Action, ...]:
    """The couplings at which free energies are compared: φ⁴ along λ, the wire where it is checked."""
    return tuple(Phi4(-4.0, lam, (L, L)) for lam in LAMBDAS) if name == "phi4" else (interacting(name, L),)


def reference_free_energy(action: Action, runs: Runs, seed: int) -> tuple[float, float]:
    """F from HMC alone, with its error; φ⁴ beyond λ = 5 by way of λ = 5: the steps along λ are integrals too."""

    def chains(node: Action) -> Mapping[str, np.ndarray]:
        return runs.hmc(node, hmc_plan(node, seed, NODE_DRAWS[node.shape[0]])).series.values

    if not isinstance(action, Phi4) or action.lam == LAMBDAS[0]:
        return free_energy.absolute(action, chains, nodes=6)
    first = replace(action, lam=LAMBDAS[0])
    parts = [free_energy.absolute(first, chains, nodes=6), free_energy.difference(first, action, chains, nodes=4)]
    return sum(value for value, _ in parts), math.hypot(*(error for _, error in parts))


def statements(action: Action, ensemble: Ensemble, sampler: str, precision: float) -> list[Check]:
    """Identities, and exact values where there are any: closed forms, or the transfer matrix of a small torus."""
    estimates = ensemble.estimates(action)
    rows = []
    for name, e in estimates.items():
        if e.expected is not None and name != "s_identity":  # a quarter of the virial
            rows.append(
                Check(
                    sampler, action.parameters, name, e.value, e.error, e.expected,
                    precision=_bound(name, precision),
                )
            )  # fmt: skip
    if known := exact_values(action):
        rows += [
            Check(sampler, action.parameters, name, e.value, e.error, value, precision=_bound(name, precision))
            for name, value, e in ((name, value, estimates[name]) for name, value in known[0].items())
        ]
    if _is_free(action):
        rows += _free_correlations(action, ensemble, sampler, precision)
    problems = ensemble.verdict().problems
    return [replace(row, problems=problems) for row in rows]


def exact_values(action: Action) -> tuple[dict[str, float], float] | None:
    """Exact expectation values by name and F: of a free field, or of a torus small enough; else None."""
    if _is_free(action):
        field = exact.FreeField(action)
        return field.by_name(), field.values.free_energy
    L = action.shape[0]
    if action.shape != (L, L) or _EXACT_SIDE[action.name] < L:
        return None
    values = getattr(exact, action.name)(L, **action.parameters)
    return values.by_name(), values.free_energy


def against(
    action: Action, other: Mapping[str, Estimate], ensemble: Ensemble, sampler: str, precision: float
) -> list[Check]:
    """One sampler against HMC in what is asked of both theories: χ₂, ⟨|M|⟩, E, ⟨φ²⟩, and ⟨cos⟩ of the wire."""
    estimates, problems = ensemble.estimates(action), ensemble.verdict().problems
    return [
        Check(
            sampler, action.parameters, f"{name} as HMC", estimates[name].value, estimates[name].error,
            other[name].value, other[name].error, _bound(name, precision), problems,
        )
        for name in ("chi2", "abs_M", "E", "phi2", "cos") if name in estimates
    ]  # fmt: skip


def _bound(name: str, precision: float) -> float | None:
    return None if name in _POWERLESS else precision


def _is_free(action: Action) -> bool:
    return action.site.quartic == 0.0 and action.site.cosine == 0.0


def _free_correlations(action: Action, ensemble: Ensemble, sampler: str, precision: float) -> list[Check]:
    """The two-point function as a whole, by a χ² with its covariance turned into standard deviations, and the gap."""
    field = exact.FreeField(action)
    sites = action.shape[0]
    chains = np.moveaxis(ensemble.slices()[..., : sites // 2 + 1], -1, 0).astype(np.float64)
    known = (
        field.correlator if action.shape[0] != action.shape[1] else 0.5 * (field.correlator + field.two_point.mean(0))
    )
    points = [markov_observable(series) for series in chains]
    for point in points:
        point.gamma_method(S=WINDOW)
    off = np.array([point.value for point in points]) - known[: sites // 2 + 1]
    matrix = covariance(chains, max(point.e_windowsize["chain"] for point in points))
    chi2 = float(off @ np.linalg.solve(matrix, off))
    p = float(chi2_distribution.sf(chi2, len(off)))
    rows = [Check(sampler, action.parameters, "C(0, t), χ² as σ", float(norm.isf(p / 2.0)), 1.0, 0.0)]
    if sites // 2 >= 3:
        gap = fit_mass_gap(ensemble.slices())
        rows.append(Check(sampler, action.parameters, "mass gap", gap.gap, gap.error, field.gap, precision=precision))
    return rows
