"""`xbar characterise`: what a lab measures of an array, with run file, figure, and bars."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from calibration.characterise import EXPERIMENTS
from calibration.characterise.experiment import Experiment
from drivers.ledger import MODELS, REHEARSAL
from firmware_bridge.errors import LimitError
from lab_scripts.board_choice import BoardChoice, CorrectionChoice, expanded
from lab_scripts.console import Report
from lab_scripts.exits import InputError
from lab_scripts.live_events import telling_reads
from lab_scripts.options import (
    UNCORRECTED,
    Corrected,
    Force,
    Json,
    Out,
    Vcd,
)
from lab_scripts.panels.characterised import DRAWN
from lab_scripts.panels.panel import MADE_BY, Panel, check_pictures, finish
from lab_scripts.runs import RunFile

PANELS = {kind.panel: name for name, kind in EXPERIMENTS.items() if kind.panel}
"""Panel of Fig. 2: the characterisation that redraws it."""
UNASKED_WAIT_S = 3600.0
"""A real board waits no longer than this unless --yes was given, s."""

Yes = Annotated[bool, typer.Option("--yes", help="Let a real board wait for more than an hour.")]

characterise = typer.Typer(
    no_args_is_help=True,
    help="Measure an array as a lab does: run file, figure (.pdf and .png beside it), numbers against the paper's.",
)


def measure(
    experiment: Experiment,
    run_file: RunFile,
    report: Report,
    at: BoardChoice,
    *,
    yes: bool,
    corrected: Corrected = UNCORRECTED,
) -> Path:
    """Do it on a board and write the run file; returns its path."""
    # The board is let go of, its outputs safe, before anything is written.
    with (
        run_file.keeping(board=at.board_file) as keep,
        at.open(report, run_file, corrected) as crossbar,
    ):
        if experiment.wait_s > UNASKED_WAIT_S and crossbar.identity.kind not in (*MODELS, REHEARSAL) and not yes:
            raise InputError(
                f"{experiment.name} waits {experiment.wait_s:g} s ({experiment.wait_s / 86400:.2g} days), and "
                f"{crossbar.identity.kind} board {crossbar.identity.serial} really waits; say --yes if you mean it"
            )
        attributes = {
            MADE_BY: experiment.name,
            "identity": f"{crossbar.identity.kind} {crossbar.identity.serial}",
            "parameters": json.dumps(asdict(experiment)),
        }
        with report.task(experiment.name) as step, telling_reads(crossbar):
            for run in experiment.measure(crossbar, np.random.default_rng(at.seed), step):
                keep(run.assign_attrs(attributes | {"board_time_s": crossbar.board_time_s}))
        complete = run.assign_attrs(attributes | {"board_time_s": crossbar.board_time_s})
    run_file.write(complete, board=at.board_file)
    return run_file.path


def experiment_panel(name: str) -> Panel:
    """The figure of the characterisation `name`."""
    kind = EXPERIMENTS[name]
    size, fill = DRAWN[name]
    return Panel(name, kind.panel, f"xbar characterise {name}", size, fill, kind.numbers)


def _command(kind: type[Experiment]) -> Callable[..., None]:
    """The command of an experiment: its parameters as options, beside those that all commands share."""

    def run(
        context: typer.Context,
        out: Path,
        at: BoardChoice,
        correction: CorrectionChoice,
        **rest: Any,
    ) -> None:
        force, yes = rest.pop("force"), rest.pop("yes", False)
        try:
            experiment = kind(**{f.name: rest[f.name] for f in fields(kind)})
        except LimitError as error:
            raise InputError(str(error)) from error
        report = Report(as_json=rest.pop("json_output"))
        run_file = RunFile.open(context, out, force=force)
        picture = out.with_suffix(".pdf")
        check_pictures(picture, force=force)
        source = measure(experiment, run_file, report, at, yes=yes, corrected=correction.load())
        finish(experiment_panel(kind.name), source, picture, report, force=force)

    hints: dict[str, Any] = {"context": typer.Context, "out": Out}
    defaults: dict[str, Any] = {}
    for f in fields(kind):
        # typer's own minimum and maximum would be refused without their unit.
        low, high, unit = (f.metadata[key] for key in ("low", "high", "unit"))
        text = f"{f.metadata['text'].rstrip('.')}: {low:g} to {high:g}{f' {unit}' if unit else ''}."
        option = typer.Option("--" + f.name.replace("_", "-"), help=text)
        hints[f.name], defaults[f.name] = Annotated[type(f.default), option], f.default
    hints |= {"at": BoardChoice, "vcd": Vcd, "correction": CorrectionChoice}
    defaults |= {"vcd": None}
    if kind.wait_s is not Experiment.wait_s:
        hints["yes"], defaults["yes"] = Yes, False
    hints |= {"force": Force, "json_output": Json}
    defaults |= {"force": False, "json_output": False}
    # typer reads a command's options from its signature.
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=hint,
                default=defaults.get(name, inspect.Parameter.empty),
            )
            for name, hint in hints.items()
        ]
    )
    run.__annotations__ = hints
    run.__doc__ = kind.__doc__
    return expanded(run)


for _kind in EXPERIMENTS.values():
    characterise.command(_kind.name)(_command(_kind))
