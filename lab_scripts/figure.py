"""`xbar figure`: a panel of the paper from one command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

from calibration.characterise import EXPERIMENTS
from lab_scripts.archive import RUNS, Archive, Runs
from lab_scripts.board_choice import BoardChoice, CorrectionChoice
from lab_scripts.characterise import PANELS, Yes, experiment_panel, measure
from lab_scripts.console import Report, Step
from lab_scripts.exits import InputError
from lab_scripts.options import FlowChoice, Force, Json, Vcd
from lab_scripts.panels.hardware import HARDWARE
from lab_scripts.panels.panel import MADE_BY, Panel, check_pictures, finish, made_by
from lab_scripts.panels.performance import PERFORMANCE
from lab_scripts.panels.phi4 import PROGRAMMING
from lab_scripts.panels.recovery import RECOVERY
from lab_scripts.panels.recovery import calculate as recovery
from lab_scripts.panels.sampled import SAMPLED, programming
from lab_scripts.runs import RunFile


@dataclass(frozen=True)
class Calculated:
    """A panel whose run needs no board: `calculate(seed, progress)` gives its variables."""

    panel: Panel
    calculate: Callable[[int, Step], xr.Dataset]


@dataclass(frozen=True)
class Sampled:
    """A panel whose run is a study of ensembles: `study(archive, seed)` gives its variables."""

    panel: Panel
    study: Callable[[Archive, int], xr.Dataset]


CALCULATED: dict[str, Calculated | Sampled] = {
    **{panel.label or panel.name: Sampled(panel, study) for panel, study in SAMPLED},
    **{
        panel.label or panel.name: Calculated(panel, calculate)
        for panel, calculate in (*HARDWARE, *PERFORMANCE, (PROGRAMMING, programming), (RECOVERY, recovery))
    },
}
"""By the paper's number of the panel, or its name."""


def panel_of(run: xr.Dataset) -> Panel | None:
    """The panel that shows a run, None if there is none."""
    name = made_by(run)
    if name in EXPERIMENTS:
        return experiment_panel(name)
    return next((known.panel for known in CALCULATED.values() if known.panel.name == name), None)


def figure(
    context: typer.Context,
    panel: Annotated[
        str,
        typer.Argument(help=f"Panel of the paper, or a characterisation: {', '.join((*PANELS, *CALCULATED))}, NAME."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Picture to write: NAME.pdf or NAME.svg; NAME.png beside it.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Draw this run file; without it, make one anew: NAME.nc beside --out."),
    ] = None,
    *,
    at: BoardChoice,
    vcd: Vcd = None,
    correction: CorrectionChoice,
    runs: Runs = RUNS,
    flow: FlowChoice = None,
    yes: Yes = False,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Redraw a panel of the paper: measure or calculate at the paper's size, or take an existing run, and draw.

    The panels of Fig. 2 are measured on a board; those of Figs 3 and 4 need none. What is sampled for these is kept in
    --runs, so that it is sampled once; where no flow is shipped for a lattice they show HMC alone, and say so.
    """
    report = Report(as_json=json_output)
    name = PANELS.get(panel, panel)
    if name not in EXPERIMENTS and panel not in CALCULATED:
        known = ", ".join((*PANELS, *CALCULATED, *EXPERIMENTS))
        raise InputError(f"panel {panel} is unknown; there are: {known}")
    check_pictures(out, force=force)
    chosen = CALCULATED.get(panel)
    if vcd is not None and (chosen is not None or source is not None):
        raise InputError(f"--vcd {vcd}: panel {panel} is {'calculated' if chosen else 'drawn from a run'}, on no board")
    if at.dry_run and (chosen is not None or source is not None):
        raise InputError(f"--dry-run: panel {panel} is {'calculated' if chosen else 'drawn from a run'}, on no board")
    if source is None:
        run_file = RunFile.open(context, out.with_suffix(".nc"), force=force)
        if chosen is None:
            source = measure(EXPERIMENTS[name](), run_file, report, at, yes=yes, corrected=correction.load())
        else:
            source = _calculate(chosen, run_file, Archive(runs, context, report, flow), at.seed)
    finish(experiment_panel(name) if chosen is None else chosen.panel, source, out, report, force=force)


def _calculate(chosen: Calculated | Sampled, run_file: RunFile, archive: Archive, seed: int) -> Path:
    if isinstance(chosen, Sampled):
        run = chosen.study(archive, seed)
    else:
        with archive.report.task(chosen.panel.name) as step:
            run = chosen.calculate(seed, step)
    run.attrs[MADE_BY] = chosen.panel.name
    run_file.write(run)
    return run_file.path
