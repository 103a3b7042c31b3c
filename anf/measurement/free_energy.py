"""Free energies by thermodynamic integration: F = −ln Z from runs that know nothing of Z.

∂F/∂θ is an expectation value (`Action.conjugates`). Along a line of couplings that begins at a free field, where F is
in closed form, its integral gives F itself; Gauss–Legendre nodes, one Markov run for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from anf.lattice.actions import Action, Graphene, Phi4, action_from_name
from anf.lattice.exact import FreeField
from anf.measurement.statistics import gamma_method

Chains = Callable[[Action], Mapping[str, np.ndarray]]
"""Series ``(chain, draw)`` of the observables of an action, by name: what samples the nodes."""

START_M2 = 1.0
"""m² of the free field at which the line of φ⁴ begins: it reaches m² = −4, λ = 5 without meeting broken symmetry."""


def difference(start: Action, stop: Action, chains: Chains, *, nodes: int) -> tuple[float, float]:
    """F(stop) − F(start) with its error, along the straight line between their couplings.

    nodes: of the quadrature; the integrand is smooth where the line crosses no transition, and its error falls
    exponentially. Raises ValueError for actions of different kind or lattice.
    """
    if type(start) is not type(stop) or start.shape != stop.shape:
        raise ValueError(f"{start} and {stop}: a line of couplings needs the same action on the same lattice")
    slope = {name: stop.parameters[name] - value for name, value in start.parameters.items()}
    value = variance = 0.0
    for x, weight in zip(*np.polynomial.legendre.leggauss(nodes), strict=True):
        at = 0.5 * (1.0 + float(x))
        couplings = {name: start.parameters[name] + at * step for name, step in slope.items()}
        action = action_from_name(start.name, start.shape, **couplings)
        series = chains(action)
        moved = [
            step * factor * series[observable].astype(np.float64)
            for (observable, factor), step in ((action.conjugates[name], slope[name]) for name in slope)
            if step
        ]
        result = gamma_method(np.sum(moved, axis=0))
        value += 0.5 * float(weight) * result.value
        variance += (0.5 * float(weight) * result.error) ** 2
    return value, math.sqrt(variance)


def absolute(action: Action, chains: Chains, *, nodes: int) -> tuple[float, float]:
    """F(action) with its error, from the free field: φ⁴ from m² = 1, λ = 0, the wire from u = 0."""
    if isinstance(action, Phi4):
        free: Action = replace(action, m2=START_M2, lam=0.0)
    elif isinstance(action, Graphene):
        free = replace(action, u=0.0)
    else:
        raise ValueError(f"the action {action.name!r} has no free field to begin from")
    value, error = difference(free, action, chains, nodes=nodes)
    return FreeField(free).values.free_energy + value, error
