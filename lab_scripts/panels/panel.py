"""A run file drawn: what every figure of `xbar` has in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import matplotlib as mpl
import xarray as xr
from matplotlib.figure import Figure

from calibration.characterise.experiment import Number
from lab_scripts.console import Report
from lab_scripts.exits import FileError, OutsideBound
from lab_scripts.outputs import check_output
from lab_scripts.panels.style import STYLE, Origin, save
from lab_scripts.runs import INCOMPLETE

Fill = Callable[[Figure, xr.Dataset], None]
MADE_BY = "characterisation"
"""Root attribute of a run file: the name of what made it, if a panel shows it."""


@dataclass(frozen=True)
class Panel:
    """A figure of runs of one kind. name: what such a run calls itself. label: as the paper numbers it, or empty.

    command: what makes such a run. size: in inches. numbers: what is held against bars.
    """

    name: str
    label: str
    command: str
    size: tuple[float, float]
    fill: Fill
    numbers: Callable[[xr.Dataset], list[Number]]


def finish(panel: Panel, source: Path, out: Path, report: Report, *, force: bool) -> None:
    """Draw the run at `source` into `out` and a PNG beside it, and hold its numbers against the bars.

    Raises `FileError` for a run of another kind, `OutsideBound` for a missed bar, once all is written.
    """
    run, run_id = _load(panel.name, source)
    title = f"{panel.command}, run {run_id}"
    with mpl.rc_context(STYLE):
        picture = Figure(figsize=panel.size, layout="constrained")
        panel.fill(picture, run)
        for path in (out, out.with_suffix(".png")):
            save(picture, path, Origin(title, str(run.attrs.get("command", "")), run_id), force=force)
    numbers = panel.numbers(run)
    where = f" on {run.attrs['identity']}" if "identity" in run.attrs else ""
    heading = f"{panel.name}{f' (Fig. {panel.label})' if panel.label else ''}{where}, run {run_id}"
    if INCOMPLETE in run.attrs:
        heading += f"; INCOMPLETE: {run.attrs[INCOMPLETE]}"
    report.table(heading, ("", "value", "bar", "met"), [_row(number) for number in numbers])
    for path in (source, out, out.with_suffix(".png")):
        report.say(str(path))
    report.finish(
        {
            "run": str(source), "figure": str(out), "run_id": run_id,
            "numbers": [{f.name: getattr(n, f.name) for f in fields(Number)} for n in numbers],
        }
    )  # fmt: skip
    if missed := [n for n in numbers if n.met is False]:
        raise OutsideBound("; ".join(f"{n.name}: {n.value:.4g} {n.unit}, bar {n.bar}" for n in missed))


def check_pictures(out: Path, *, force: bool) -> None:
    """Raises `FileError` if the pictures cannot be written."""
    if out.suffix not in (".pdf", ".svg"):
        raise FileError(f"--out {out}: the name must end in .pdf or .svg")
    for path in (out, out.with_suffix(".png")):
        check_output(path, path.suffix, force=force)


def _load(name: str, source: Path) -> tuple[xr.Dataset, str]:
    """A run and its id. Raises `FileError` if it is another one's run."""
    try:
        identity = run_id(source)
        run = xr.load_dataset(source, engine="h5netcdf")
    except OSError as error:
        raise FileError(f"{source}: not a run file: {error.strerror or error}") from error
    if (made := made_by(run)) != name:
        raise FileError(f"{source}: is a run of {made or 'something else'}, not of {name}")
    return run, identity


def run_id(path: Path) -> str:
    """What a run is called: the beginning of the SHA-256 of its file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def made_by(run: xr.Dataset) -> str | None:
    """Name of the panel that shows a run, None if there is none."""
    if MADE_BY in run.attrs:
        return str(run.attrs[MADE_BY])
    # `xbar program` and `xbar mvm` leave what two of the panels show.
    command = json.loads(run.attrs.get("configuration", "{}")).get("command")
    return {"program": "pattern", "mvm": "mvm"}.get(command)


def _row(number: Number) -> tuple[str, str, str, str]:
    met = {None: "", True: "yes", False: "NO"}[number.met]
    return number.name, f"{number.value:.4g} {number.unit}".rstrip(), number.bar, met
