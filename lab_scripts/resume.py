"""`xbar resume`: go on with a run that was interrupted or killed."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from firmware_bridge.journal import read, steps
from lab_scripts.console import Report
from lab_scripts.exits import FileError
from lab_scripts.options import Json
from lab_scripts.runs import COMMAND_FILE, RESUMING, git_revision, journal_folder, versions


def resume(
    run: Annotated[Path, typer.Argument(help="File that the interrupted command was to write.")],
    json_output: Json = False,
) -> None:
    """Go on with what was interrupted or killed: a run on boards, a calibration, a training.

    What a run's journals confirm is not sent to a board again: a verified cell is not pulsed twice. Pulses that were
    under way are taken as given, and the next read shows what they did. On the mock the result is that of a run which
    was never interrupted, bit for bit. Of a calibration by hand no probe is moved again; a training goes on from its
    checkpoint. With --json stdout is what that command prints with --json.
    """
    report = Report(as_json=json_output)
    folder = journal_folder(run)
    command = _command(run, folder)
    words = command["words"]
    if json_output and "--json" not in words:
        words = [*words, "--json"]
    report.say(shlex.join(["xbar", *words]))
    for journal in sorted(folder.glob("board*.journal")):
        report.say(f"{journal.name}: {_state(journal)}")
    os.chdir(command["folder"])
    from lab_scripts.cli import whole_command

    code = whole_command().main(words, prog_name="xbar", standalone_mode=False, obj={RESUMING: True})
    raise typer.Exit(code or 0)


def _command(run: Path, folder: Path) -> dict[str, Any]:
    """The interrupted command. Raises `FileError` if it cannot be gone on with as it was begun."""
    if not folder.is_dir():
        raise FileError(f"{run}: nothing to resume; there is no {folder}" + (", the run is complete" * run.exists()))
    try:
        command = json.loads((folder / COMMAND_FILE).read_text())
    except (OSError, ValueError) as error:
        raise FileError(f"{folder / COMMAND_FILE}: {error}; begin the run anew with --force") from error
    for name, digest in command["inputs"].items():
        path = Path(command["folder"], name)
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise FileError(f"{path}: is not the file that the run began with (SHA-256 {digest}); put that back")
    for what, was, now in (
        ("revision", command["git_revision"], git_revision()),
        ("versions", command["versions"], versions()),
    ):
        if was != now:
            raise FileError(
                f"{run}: was begun with {what} {was}, this is {now}: another version may go another way; install "
                "what it was begun with, or begin anew with --force"
            )
    return command


def _state(journal: Path) -> str:
    records, lost = read(journal)
    programs = steps(records)
    done = sum(step.result is not None for step in programs)
    text = f"{done} programs done"
    if done < len(programs):
        text += ", one under way"
    if lost:
        text += f", and the beginning of a record ({lost} bytes), which says that nothing more was sent"
    return text
