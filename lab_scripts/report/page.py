"""The page of a run: one HTML file with everything in it, and no script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from calibration.characterise.experiment import Number
from lab_scripts.console import with_error
from lab_scripts.figure import panel_of
from lab_scripts.observables import NAMES, of_run
from lab_scripts.panels.panel import run_id
from lab_scripts.report.pictures import pictures
from lab_scripts.run_store import configuration, open_run, results, stored_inputs
from lab_scripts.runs import INCOMPLETE

_LONGEST = 400
"""Longer texts among the results are cut, with what they have more."""
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
)  # fmt: skip


def report_page(path: Path) -> str:
    """The run at `path` as HTML. Raises `FileError` if it is none."""
    with open_run(path) as lazy:
        run = lazy.load()
    panel = panel_of(run)
    versions = json.loads(run.attrs.get("versions", "{}"))
    made = {name: run.attrs[name] for name in ("command", "created", "seed", "git_revision") if name in run.attrs}
    estimates = of_run(run)
    return _TEMPLATES.get_template("template.html").render(
        name=path.name, run_id=run_id(path), made=made, versions=versions, warnings=list(_warnings(run)),
        numbers=[_number(number) for number in (panel.numbers(run) if panel else [])],
        pictures=pictures(run, panel), results={k: _text(v) for k, v in results(run).items()},
        observables=[
            (NAMES[n], with_error(e.value, e.error), f"{e.tau_int:.2f}", f"{e.n_effective:.0f}",
             "" if e.expected is None else f"{e.expected:g}", "" if e.expected is None else f"{e.pull:+.1f} σ")
            for n, e in estimates.items()
        ],
        configuration={k: _text(v) for k, v in configuration(run).items()},
        inputs=[(a["name"], a["size"], a["sha256"]) for a, _ in stored_inputs(path)],
        segments=_segments(run),
        variables=[_variable(str(k), v) for k, v in run.variables.items()],
    )  # fmt: skip


def _warnings(run: xr.Dataset) -> Any:
    """What a reader must know before the numbers."""
    if INCOMPLETE in run.attrs:
        yield f"This run ended early: {run.attrs[INCOMPLETE]}"
    if problems := run.attrs.get("problems"):
        yield f"The chain is not to be trusted: {problems}"
    for name in ("failed", "failure"):
        if name in run and run[name].dtype.kind in "bi" and (count := int((run[name] != 0).sum())):
            yield f"{count} cells could not be programmed."
            break
    if str(run.attrs.get("git_revision", "")).endswith("+dirty"):
        yield "Made by a source tree that differs from its revision: it cannot be repeated from the revision alone."
    if float(run.attrs.get("proposals_not_finite", 0)) > 0:
        yield f"{run.attrs['proposals_not_finite']} proposals were not finite and refused."
    for key, variable in run.data_vars.items():
        if (
            variable.dtype.kind == "f"
            and key not in ("g_target_s",)
            and (share := float(np.isnan(variable).mean())) > 0
        ):
            yield f"{key}: {100 * share:.3g} % of its values are missing (NaN)."


def _number(number: Number) -> tuple[str, str, str, str]:
    met = {None: "", True: "yes", False: "NO"}[number.met]
    return number.name, f"{number.value:.4g} {number.unit}".rstrip(), number.bar, met


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters; `xbar runs show` has all)"


def _variable(name: str, variable: xr.Variable) -> dict[str, str]:
    told = {
        "name": name, "dims": " × ".join(f"{d} {n}" for d, n in variable.sizes.items()),
        "units": str(variable.attrs.get("units", "")), "long_name": str(variable.attrs.get("long_name", "")),
        "low": "", "mean": "", "high": "",
    }  # fmt: skip
    if variable.dtype.kind in "fiu" and variable.size and np.isfinite(values := variable.to_numpy()).any():
        finite = values[np.isfinite(values)]
        told |= {k: f"{v:.5g}" for k, v in (("low", finite.min()), ("mean", finite.mean()), ("high", finite.max()))}
    return told


def _segments(run: xr.Dataset) -> list[tuple[str, ...]]:
    """Of a sampling run that had more than one, or was stopped."""
    told = json.loads(run.attrs.get("segments", "[]"))
    if len(told) == 1 and told[0]["ended_by"] is None:
        return []
    return [(str(k), str(s["proposals"]), str(s["dropped"]), s["ended_by"] or "") for k, s in enumerate(told)]
