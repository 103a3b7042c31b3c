"""`xbar ledger`: what each array has been given over its life, beside its limits."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from drivers.board import load_board
from drivers.ledger import FOLDER_VARIABLE, History, state_folder
from drivers.limits import Limits
from lab_scripts.console import Report
from lab_scripts.exits import FileError
from lab_scripts.options import PAPER, BoardFile, Json


def ledger(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Folder of the ledgers.", show_default=f"{FOLDER_VARIABLE}, or that of the user's state"),
    ] = None,
    board_file: BoardFile = PAPER,
    json_output: Json = False,
) -> None:
    """Show what each array has been given over its life, beside its limits: pulses, forming pulses, dose, exposure.

    Of each the worst cell, or bit line. Real boards always keep a ledger; models do when XBAR_LEDGER names its folder.
    """
    report = Report(as_json=json_output)
    limits = load_board(board_file).limits
    folder = folder or Path(os.environ.get(FOLDER_VARIABLE) or state_folder() / "ledger")
    if not folder.is_dir():
        raise FileError(f"{folder}: there is no such folder; no board has kept a ledger there")
    boards = {}
    for path in sorted(folder.glob("*.ledger")):
        history = History.read(path)
        boards[history.name] = found = _worst(history, limits)
        report.table(
            f"{history.name}, since {found['since'] or 'never'}, {found['sessions']} sessions",
            ("", "worst", "at", "limit"),
            [
                (what, f"{it['worst']:.6g}", it["at"], f"{it['limit']:g} {it['unit']}")
                for what, it in found["given"].items()
            ],
        )
        if history.lost_bytes:
            report.say(
                f"{path}: a last record of {history.lost_bytes} bytes was cut short; it was never sent to the board"
            )
    if not boards:
        report.say(f"{folder}: no ledgers")
    report.finish({"folder": str(folder), "boards": boards})


def _worst(history: History, limits: Limits) -> dict[str, Any]:
    total = history.total()
    rows = (
        ("pulses", total.pulses, limits.pulses_per_cell, ""),
        ("forming pulses", total.forming, limits.forming_per_cell, ""),
        ("dose", total.dose_v2s, limits.dose_per_cell_v2s, "V²·s"),
        ("read exposure", total.exposure_s, limits.read_exposure_s, "s"),
    )
    given = {}
    for what, values, limit, unit in rows:
        at = [int(i) for i in np.unravel_index(values.argmax(), values.shape)]
        where = f"SL {at[0]}, BL {at[1]}" if len(at) == 2 else f"BL {at[0]}"
        worst = values.max().item()
        given[what] = {"worst": worst, "at": where if worst else "–", "limit": limit, "unit": unit}
    since = history.since_s
    return {
        "since": None if since is None else datetime.datetime.fromtimestamp(since).isoformat(" ", "minutes"),
        "sessions": history.sessions,
        "given": given,
    }
