"""`xbar report`: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab_scripts.console import Report
from lab_scripts.options import Force, Json
from lab_scripts.outputs import check_output, published


def report(
    run: Annotated[Path, typer.Argument(help="Run file, netCDF.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write: NAME.html.", show_default="RUN.html beside it")
    ] = None,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Write a run as a self-contained HTML page: command, warnings, numbers, observables, pictures, configuration."""
    said = Report(as_json=json_output)
    page = check_output(out or run.with_suffix(".html"), ".html", force=force)
    from lab_scripts.report.page import report_page

    with published(page, force=force) as partial:
        partial.write_text(report_page(run), encoding="utf-8")
    said.say(str(page))
    said.finish({"run": str(run), "out": str(page)})
