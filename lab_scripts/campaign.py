"""`xbar campaign`: many runs over many boards, through Dask.

What a task leaves behind is its run file, whole or not at all, under a name that follows from what was asked: a task
that is there is not made again, and one that was begun goes on from its journals.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from lab_scripts.campaign_boards import cluster_client, run_campaign
from lab_scripts.campaign_plan import load_campaign, tasks
from lab_scripts.console import Report
from lab_scripts.exits import Exit, FileError, OutsideBound
from lab_scripts.options import Json


def campaign(
    file: Annotated[Path, typer.Argument(help="Campaign in TOML, see docs/campaigns.md.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of its run files; what is there is not made again.")],
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler, tcp://HOST:PORT; without one, workers of this machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes on this machine for mock boards. Default: its cores."),
    ] = None,
    json_output: Json = False,
) -> None:
    """Many runs over many boards: a command for each board, or for each of many values.

    A worker that dies costs no more than time: its run is gone on with elsewhere. A board that fails is left out, and
    its tasks move to another. The same command again makes what is missing.
    """
    report = Report(as_json=json_output)
    plan = load_campaign(file)
    todo = tasks(plan)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"--out {out}: {error.strerror}") from error
    began = time.monotonic()
    with cluster_client(plan, scheduler, workers) as client, report.task(f"{len(todo)} runs") as step:
        outcomes = run_campaign(client, plan.boards, todo, out.resolve(), step)
    seconds = time.monotonic() - began
    bad = [o for o in outcomes if o.code]
    rows = [
        ("runs", f"{len(outcomes)}"), ("made now", f"{sum(not o.there for o in outcomes)}"),
        ("not made", f"{sum(o.code not in (Exit.OK, Exit.OUTSIDE_BOUND) for o in outcomes)}"),
        ("outside their bounds", f"{sum(o.code == Exit.OUTSIDE_BOUND for o in outcomes)}"),
        ("CPU of the runs", f"{sum(o.cpu_s for o in outcomes):.1f} s"), ("wall clock", f"{seconds:.1f} s"),
    ]  # fmt: skip
    report.table(str(file), ("", ""), rows)
    for outcome in bad:
        report.say(f"{outcome.name} on {outcome.board or 'no board'}: exit code {outcome.code}: {outcome.said}")
    report.finish({"seconds": seconds, "runs": [asdict(o) for o in outcomes]})
    if bad:
        raise OutsideBound(
            f"{len(bad)} of {len(outcomes)} runs are missing or outside their bounds; mend what they say, then give "
            "the same command again"
        )
