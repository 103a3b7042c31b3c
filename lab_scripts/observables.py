"""Estimates of observables as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lab_scripts.console import Report, with_error

if TYPE_CHECKING:
    from anf.observables import Estimate

NAMES = {
    "M": "M", "abs_M": "|M|", "S": "S", "chi2": "χ₂", "E": "Ising energy E", "phi2": "⟨φ²⟩", "phi4": "⟨φ⁴⟩",
    "binder": "Binder", "virial": "virial", "s_identity": "S identity", "zero_mode": "zero mode", "tadpole": "tadpole",
}  # fmt: skip
"""What the field calls the observables of `anf.observables.summarise`, in the order of a table."""


def observable_table(report: Report, title: str, estimates: Mapping[str, Estimate]) -> None:
    """Value with error, τ_int, and for identities the exact value and the pull."""
    rows = []
    for name in (n for n in NAMES if n in estimates):
        e = estimates[name]
        exact, pull = ("", "") if e.expected is None else (f"{e.expected:g}", f"{e.pull:+.1f} σ")
        rows.append(
            (NAMES[name], with_error(e.value, e.error), f"{e.tau_int:.2f}", f"{e.n_effective:.0f}", exact, pull)
        )
    report.table(title, ("observable", "value", "τ_int", "n_eff", "exact", "pull"), rows)


def observables_json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """The same for programs."""
    return {
        name: {
            "value": e.value,
            "error": e.error,
            "tau_int": e.tau_int,
            "n_effective": e.n_effective,
            "expected": e.expected,
        }
        for name, e in estimates.items()
    }
