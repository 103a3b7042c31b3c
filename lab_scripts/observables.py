"""Estimates of observables as tables and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from lab_scripts.console import Report, with_error
from lab_scripts.live_events import tell_observables
from lab_scripts.options import action_title, build_action

if TYPE_CHECKING:
    from anf.lattice.actions import Action
    from anf.measurement.observables import Estimate

NAMES = {
    "M": "M", "abs_M": "|M|", "S": "S", "chi2": "χ₂", "E": "Ising energy E", "phi2": "⟨φ²⟩", "phi4": "⟨φ⁴⟩",
    "binder": "Binder", "xi": "ξ (eq 27)", "xi_2nd": "ξ, second moment",
    "cos": "⟨cos 2√π φ⟩", "condensate": "⟨ψ̄ψ⟩, O = √(32π)/g", "condensate_10": "⟨ψ̄ψ⟩, O = 10/g",
    "virial": "virial", "s_identity": "S identity", "zero_mode": "zero mode", "tadpole": "tadpole",
}  # fmt: skip
"""What the field calls the observables of `anf.measurement.observables.summarise`, in the order of a table."""
_COUPLINGS = ("m2", "lam", "g", "u")
_NOT_OF = {"graphene": ("E", "phi4", "binder", "xi")}
"""What nobody asks of a theory."""


def observable_table(
    report: Report,
    title: str,
    action: Action,
    estimates: Mapping[str, Estimate],
    reweighted: Mapping[str, Estimate] | None = None,
    *,
    sampler: str = "HMC",
) -> None:
    """Value with error, τ_int, and for identities the exact value and the pull: what is asked of this action.

    reweighted: the same observables from weights, in a column of their own. sampler: who drew them, for who looks on.
    """
    tell_observables(sampler, action_title(action), shown(action, estimates), NAMES)
    rows = []
    for name, e in shown(action, estimates).items():
        exact, pull = ("", "") if e.expected is None else (f"{e.expected:g}", f"{e.pull:+.1f} σ")
        again = () if reweighted is None else (with_error(reweighted[name].value, reweighted[name].error),)
        rows.append(
            (NAMES[name], with_error(e.value, e.error), f"{e.tau_int:.2f}", f"{e.n_effective:.0f}", *again, exact, pull)
        )
    column = () if reweighted is None else ("reweighted",)
    report.table(title, ("observable", "value", "τ_int", "n_eff", *column, "exact", "pull"), rows)


def shown(action: Action, estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """What is asked of this action, in the order of a table."""
    return {name: estimates[name] for name in NAMES if name in estimates and name not in _NOT_OF.get(action.name, ())}


def action_of(run: xr.Dataset) -> Action:
    """The action that a run of `xbar sample` or `xbar hmc` has sampled."""
    made_with = json.loads(run.attrs["configuration"])
    return build_action(
        made_with["action"], made_with["side"], time_sites=made_with.get("time_sites"),
        **{name: made_with[name] for name in _COUPLINGS},
    )  # fmt: skip


def of_run(run: xr.Dataset) -> dict[str, Estimate]:
    """The observables of a run of `xbar sample` or `xbar hmc`, from its configurations; none of any other run."""
    if not _of_a_field(run):
        return {}
    from anf.measurement.observables import summarise

    action = action_of(run)
    return shown(action, summarise(action, run["phi"].to_numpy(), state=_states(run)))


def chains_of_run(run: xr.Dataset) -> list[np.ndarray]:
    """The chains of such a run, each (draw, Lx, Ly); none of any other."""
    if not _of_a_field(run):
        return []
    phi, states = run["phi"].to_numpy(), _states(run)
    return list(phi) if states is None else [phi[state] for state in states]


def _of_a_field(run: xr.Dataset) -> bool:
    command = json.loads(run.attrs.get("configuration", "{}")).get("command")
    return command in ("sample", "hmc") and "phi" in run


def _states(run: xr.Dataset) -> list[np.ndarray] | None:
    """Chains over proposals; None of a run whose draws are chains themselves."""
    from anf.samplers.sampling import chains_of

    if "state" not in run:
        return None
    # Runs of earlier releases have one chain.
    segment = run["segment"].to_numpy() if "segment" in run else np.zeros(run.sizes["proposal"], int)
    return chains_of(run["state"].to_numpy(), segment)


def report_mass_gap(report: Report, phi: np.ndarray) -> dict[str, Any]:
    """Say the mass gap of chains of fields with the quality of its fit, or why there is none; the same for programs."""
    from anf.measurement.mass_gap import fit_mass_gap
    from anf.measurement.observables import time_slice_correlator

    try:
        fit = fit_mass_gap(time_slice_correlator(phi))
    except ValueError as error:
        report.say(f"no mass gap: {error}")
        return {"mass_gap": None}
    report.say(
        f"mass gap {with_error(fit.gap, fit.error)}: cosh fitted to C(0, t) at t = {fit.first} … {fit.last}, "
        f"χ²/dof {fit.chi2_per_dof:.2f}, p = {fit.p_value:.2f}"
    )
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(fit).items()}
    return {"mass_gap": plain}


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
