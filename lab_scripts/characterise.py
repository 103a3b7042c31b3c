"""`xbar characterise` and `xbar figure`: what a lab measures of an array, with run file, figure, and bars."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import typer
import xarray as xr

from calibration.characterise import EXPERIMENTS
from calibration.characterise.experiment import Experiment, Number
from drivers.board import load_board
from drivers.connect import open_crossbar
from lab_scripts.console import Report
from lab_scripts.exits import FileError, InputError, OutsideBound
from lab_scripts.figure_panels import draw
from lab_scripts.figure_style import STYLE, save
from lab_scripts.options import PAPER, Backend, BoardFile, Force, Json, Out, Seed
from lab_scripts.runs import RunFile, check_output

PANELS = {kind.panel: name for name, kind in EXPERIMENTS.items() if kind.panel}
"""Panel of Fig. 2: the characterisation that redraws it."""
UNASKED_WAIT_S = 3600.0
"""A real board waits no longer than this unless --yes was given, s."""

Yes = Annotated[bool, typer.Option("--yes", help="Let a real board wait for more than an hour.")]

characterise = typer.Typer(
    no_args_is_help=True,
    help="Measure an array as a lab does: run file, figure (.pdf and .png beside it), numbers against the paper's.",
)


def figure(
    context: typer.Context,
    panel: Annotated[str, typer.Argument(help=f"Panel of Fig. 2, or a characterisation: {', '.join(PANELS)}, NAME.")],
    out: Annotated[Path, typer.Option("--out", help="Picture to write: NAME.pdf or NAME.svg; NAME.png beside it.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Draw this run file; without it, measure anew, into NAME.nc beside --out."),
    ] = None,
    backend: Backend = "mock",
    board_file: BoardFile = PAPER,
    seed: Seed = 0,
    yes: Yes = False,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Redraw a panel of Fig. 2 from one command: measure at the paper's size, or take an existing run, and draw."""
    report = Report(as_json=json_output)
    name = PANELS.get(panel, panel)
    if name not in EXPERIMENTS:
        raise InputError(f"panel {panel} is unknown; there are: {', '.join(PANELS)}, {', '.join(EXPERIMENTS)}")
    if out.suffix not in (".pdf", ".svg"):
        raise FileError(f"--out {out}: the name must end in .pdf or .svg")
    if source is None:
        run_file = RunFile.open(context, out.with_suffix(".nc"), force=force)
        _check_pictures(out, force=force)
        source = _measure(EXPERIMENTS[name](), run_file, report, backend, board_file, seed, yes=yes)
    else:
        _check_pictures(out, force=force)
    _finish(name, source, out, report, force=force)


def _measure(
    experiment: Experiment, run_file: RunFile, report: Report, backend: str, board_file: Path, seed: int, *, yes: bool
) -> Path:
    """Do it on a board and write the run file; returns its path."""
    board = load_board(board_file)
    with open_crossbar(backend, board=board, seed=seed) as crossbar:
        if experiment.wait_s > UNASKED_WAIT_S and crossbar.identity.kind != "mock" and not yes:
            raise InputError(
                f"{experiment.name} waits {experiment.wait_s:g} s ({experiment.wait_s / 86400:.2g} days), and "
                f"{crossbar.identity.kind} board {crossbar.identity.serial} really waits; say --yes if you mean it"
            )
        with report.task(experiment.name) as step:
            run = experiment.measure(crossbar, np.random.default_rng(seed), step)
        run.attrs |= {
            "characterisation": experiment.name,
            "identity": f"{crossbar.identity.kind} {crossbar.identity.serial}",
            "board_time_s": crossbar.board_time_s,
        }
    run_file.write(run, board=board_file)
    return run_file.path


def _finish(name: str, source: Path, out: Path, report: Report, *, force: bool) -> None:
    """Draw the run at `source`, and hold its numbers against the bars."""
    run, run_id = _load(name, source)
    command = str(run.attrs.get("command", ""))
    title = f"xbar characterise {name}, run {run_id}"
    kind = EXPERIMENTS[name]
    with mpl.rc_context(STYLE):
        picture = draw(name, run)
        for path in (out, out.with_suffix(".png")):
            save(picture, path, force=force, metadata=_metadata(path.suffix, title, command, run_id))
    numbers = kind.numbers(run)
    heading = f"{name}{f' (Fig. {kind.panel})' if kind.panel else ''} on {run.attrs.get('identity', '?')}, run {run_id}"
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


def _load(name: str, source: Path) -> tuple[xr.Dataset, str]:
    """A run and its id, the beginning of the SHA-256 of its file. Raises `FileError` if it is another one's run."""
    try:
        run_id = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        run = xr.load_dataset(source, engine="h5netcdf")
    except OSError as error:
        raise FileError(f"{source}: not a run file: {error.strerror or error}") from error
    made_by = run.attrs.get("characterisation")
    if made_by is None:
        # `xbar program` and `xbar mvm` leave what two of the panels show.
        made_by = {"program": "pattern", "mvm": "mvm"}.get(
            json.loads(run.attrs.get("configuration", "{}")).get("command")
        )
    if made_by != name:
        raise FileError(f"{source}: is a run of {made_by or 'something else'}, not of {name}")
    return run, run_id


def _check_pictures(out: Path, *, force: bool) -> None:
    for path in (out, out.with_suffix(".png")):
        check_output(path, path.suffix, force=force)


def _metadata(suffix: str, title: str, command: str, run_id: str) -> dict[str, str]:
    """Run and command under the keys of each format."""
    if suffix == ".svg":
        return {"Title": title, "Description": command, "Identifier": run_id}
    if suffix == ".pdf":
        return {"Title": title, "Subject": command, "Keywords": run_id}
    return {"Title": title, "Description": command, "Source": run_id}


def _row(number: Number) -> tuple[str, str, str, str]:
    met = {None: "", True: "yes", False: "NO"}[number.met]
    return number.name, f"{number.value:.4g} {number.unit}".rstrip(), number.bar, met


def _command(kind: type[Experiment]) -> Callable[..., None]:
    """The command of an experiment: its parameters as options, beside those that all commands share."""

    def run(context: typer.Context, out: Path, backend: str, board_file: Path, seed: int, **rest: Any) -> None:
        force, yes = rest.pop("force"), rest.pop("yes", False)
        report = Report(as_json=rest.pop("json_output"))
        run_file = RunFile.open(context, out, force=force)
        picture = out.with_suffix(".pdf")
        _check_pictures(picture, force=force)
        source = _measure(kind(**rest), run_file, report, backend, board_file, seed, yes=yes)
        _finish(kind.name, source, picture, report, force=force)

    hints: dict[str, Any] = {"context": typer.Context, "out": Out}
    defaults: dict[str, Any] = {}
    for f in fields(kind):
        number: Any = type(f.default)
        low, high = (number(f.metadata[end]) for end in ("low", "high"))
        option = typer.Option("--" + f.name.replace("_", "-"), min=low, max=high, help=f.metadata["text"])
        hints[f.name], defaults[f.name] = Annotated[number, option], f.default
    hints |= {"backend": Backend, "board_file": BoardFile, "seed": Seed}
    defaults |= {"backend": "mock", "board_file": PAPER, "seed": 0}
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
    return run


for _kind in EXPERIMENTS.values():
    characterise.command(_kind.name)(_command(_kind))
