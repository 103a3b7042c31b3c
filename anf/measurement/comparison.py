"""One sampler held against another and against exact values: pulls in standard deviations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from anf.measurement.observables import Estimate

OBSERVABLES = ("chi2", "E", "phi2", "phi4")
IDENTITIES = ("virial", "s_identity", "zero_mode")
BOUND = 3.0
"""Pull beyond which two values disagree, σ."""


@dataclass(frozen=True)
class Row:
    """One quantity by two samplers; `exact` is None where no exact value is known."""

    name: str
    value: float
    error: float
    reference: float
    reference_error: float
    exact: float | None

    @property
    def pull_reference(self) -> float:
        """(value − reference) / √(error² + reference_error²)."""
        return (self.value - self.reference) / math.hypot(self.error, self.reference_error)

    @property
    def pull_exact(self) -> float | None:
        """(value − exact) / error."""
        return None if self.exact is None else (self.value - self.exact) / self.error

    @property
    def agrees(self) -> bool:
        """Within `BOUND` of the reference and of the exact value. A value without an error agrees with nothing."""
        pulls = [self.pull_reference, *([] if self.pull_exact is None else [self.pull_exact])]
        return all(abs(pull) <= BOUND for pull in pulls)


def compare(
    estimates: Mapping[str, Estimate], reference: Mapping[str, Estimate], exact: Mapping[str, float]
) -> list[Row]:
    """χ₂, E, ⟨φ²⟩, ⟨φ⁴⟩ against `reference` and `exact`, and the action's identities against their exact value."""
    rows = []
    for name in (n for n in (*OBSERVABLES, *IDENTITIES) if n in estimates):
        ours, theirs = estimates[name], reference[name]
        rows.append(Row(name, ours.value, ours.error, theirs.value, theirs.error, exact.get(name, ours.expected)))
    return rows
