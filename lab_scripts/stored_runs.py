"""`xbar runs`: what a folder of run files holds, how two differ, and a run done again."""

from __future__ import annotations

import json
import shutil
import tempfile
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

from lab_scripts.console import Report
from lab_scripts.exits import FileError, InputError, OutsideBound
from lab_scripts.options import Force, Json
from lab_scripts.outputs import check_output, published
from lab_scripts.run_store import Difference, configuration, differences, open_run, replay, results, summaries

runs = typer.Typer(
    no_args_is_help=True,
    help="Look into run files: list a folder, show one, compare two, do one again, export to other programs.",
)
Run = Annotated[Path, typer.Argument(help="Run file, netCDF.")]


class Format(str, Enum):
    """What a run is exported to."""

    csv = ".csv"
    json = ".json"


@runs.command("list")
def list_runs(
    folder: Annotated[Path, typer.Argument(help="Folder of run files.")] = Path("runs"),
    json_output: Json = False,
) -> None:
    """List the runs of a folder: when, with which command, how large. A damaged one is named, with its problem."""
    report = Report(as_json=json_output)
    with report.task("Reading runs") as step:
        found = summaries(folder, step)
    report.table(
        f"{folder}: {len(found)} runs",
        ("run", "created", "size", "command"),
        [
            (
                run.name,
                run.created[:19].replace("T", " "),
                f"{run.size / 1e6:.2f} MB",
                f"cannot be read: {run.problem}" if run.problem else run.command,
            )
            for run in found
        ],
    )
    report.finish(
        {
            "folder": str(folder),
            "runs": [
                {
                    "name": r.name, "created": r.created, "size": r.size, "command": r.command, "problem": r.problem,
                    "results": r.results,
                }
                for r in found
            ],
        }
    )  # fmt: skip


@runs.command()
def show(run: Run, json_output: Json = False) -> None:
    """Show a run: how it was made, its results, its variables with units."""
    report = Report(as_json=json_output)
    with open_run(run) as it:
        made = {name: str(it.attrs[name]) for name in ("command", "created", "git_revision") if name in it.attrs}
        made |= {name: str(value) for name, value in json.loads(it.attrs.get("versions", "{}")).items()}
        variables = [
            {
                "name": str(name), "dims": " × ".join(f"{d} {it.sizes[d]}" for d in v.dims), "dtype": str(v.dtype),
                "units": v.attrs.get("units", ""), "long_name": v.attrs.get("long_name", ""),
            }
            for name, v in it.variables.items()
        ]  # fmt: skip
        report.table(f"{run}: made by", ("", ""), list(made.items()))
        report.table("Results", ("", ""), [(name, _short(value)) for name, value in results(it).items()])
        report.table("Variables", ("", "size", "type", "unit", ""), [tuple(v.values()) for v in variables])
        report.finish(
            {
                "run": str(run), "made_by": made, "configuration": configuration(it), "results": results(it),
                "variables": variables,
            }
        )  # fmt: skip


@runs.command()
def compare(a: Run, b: Run, json_output: Json = False) -> None:
    """Compare two runs: configuration, results and variables, bit by bit. Exit code 1 if they differ in any."""
    report = Report(as_json=json_output)
    with open_run(a) as one, open_run(b) as other:
        _finish(report, a, b, list(differences(one, other)))


@runs.command("replay")
def replay_run(
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", help="Keep the new run file here, netCDF; without it, it is thrown away.")
    ] = None,
    real_board: Annotated[
        bool, typer.Option("--real-board", help="Do a run on a real board again, which pulses that board.")
    ] = False,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Do a run again from its file alone, inputs and board file included, and compare. Exit code 1 if any bit differs.

    Runs on the mock and on rtl come out the same with the same versions of this program and its libraries.
    """
    report = Report(as_json=json_output)
    if out is not None:
        check_output(out, ".nc", force=force)
    with tempfile.TemporaryDirectory(prefix="xbar-replay-") as folder:
        again = replay(run, Path(folder), real_board=real_board)
        with open_run(run) as one, open_run(again) as other:
            found = [d for d in differences(one, other) if d.what not in ("configuration", "time")]
            versions = one.attrs["versions"] != other.attrs["versions"]
            revision = one.attrs["git_revision"], other.attrs["git_revision"]
        if out is not None:
            with published(out, force=force) as partial:
                shutil.copy(again, partial)
    if found and (versions or revision[0] != revision[1]):
        report.say(
            "The two were made by different versions: "
            + ("libraries differ (see `xbar runs show`), " if versions else "")
            + f"revisions {revision[0] or 'unknown'} and {revision[1] or 'unknown'}."
        )
    _finish(report, run, out or Path("the replay"), found)


@runs.command()
def export(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="File to write: NAME.csv or NAME.json.")],
    variable: Annotated[
        list[str] | None, typer.Option("--variable", help="Only this one; may be given again.", show_default="all")
    ] = None,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Export a run for programs that do not read netCDF: .csv (variables over the same dimensions) or .json (all)."""
    if out.suffix not in {f.value for f in Format}:
        raise FileError(f"--out {out}: the name must end in {' or '.join(f.value for f in Format)}")
    check_output(out, out.suffix, force=force)
    with open_run(run) as it:
        if missing := [name for name in variable or () if name not in it]:
            raise InputError(f"--variable {missing[0]}: {run} has {', '.join(map(str, it.data_vars))}")
        chosen = it[variable] if variable else it
        text = _csv(run, chosen) if out.suffix == Format.csv.value else json.dumps(chosen.to_dict(), default=str)
        names = [str(name) for name in chosen.data_vars]
    with published(out, force=force) as partial:
        partial.write_text(text)
    report = Report(as_json=json_output)
    report.say(f"{out}: {', '.join(names)}")
    report.finish({"run": str(run), "file": str(out), "variables": names, "size": out.stat().st_size})


def _csv(run: Path, chosen: xr.Dataset) -> str:
    by_dims: dict[tuple[str, ...], list[str]] = {}
    for name, variable in chosen.data_vars.items():
        by_dims.setdefault(tuple(map(str, variable.dims)), []).append(str(name))
    if len(by_dims) != 1:
        groups = "; ".join(f"{', '.join(names)} over ({', '.join(dims)})" for dims, names in by_dims.items())
        raise InputError(
            f"{run}: one table holds variables over the same dimensions, these are {groups}: choose by --variable"
        )
    columns = {n: f"{n} ({v.attrs['units']})" for n, v in chosen.data_vars.items() if v.attrs.get("units", "1") != "1"}
    frame = chosen.to_dataframe() if chosen.sizes else chosen.to_pandas().to_frame().T
    return frame.rename(columns=columns).to_csv()


def _finish(report: Report, a: Path, b: Path, found: list[Difference]) -> None:
    if found:
        rows = [(d.what, d.name, _short(d.a), _short(d.b)) for d in found]
        report.table(f"{len(found)} differences", ("", "", str(a), str(b)), rows)
    else:
        report.say(f"{a} and {b} are the same, bit for bit")
    report.finish({"a": str(a), "b": str(b), "same": not found, "differences": [vars(d) for d in found]})
    if found:
        raise OutsideBound(f"{a} and {b} differ in {', '.join(d.name for d in found)}")


def _short(value: object) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
