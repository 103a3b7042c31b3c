"""A task of a campaign, in the worker that has its board: the run is made, gone on with, or found.

Each attempt has a folder of its own, ``attempts/TASK/BOARD/``, until its run file is whole; then the file is moved to
its name in the campaign's folder, in place of no other. What an attempt on one board has measured, and what it says
that this board's cells were given, no attempt on another touches.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
import sys
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_scripts.campaign_plan import MOCK
from lab_scripts.exits import Exit, FileError
from lab_scripts.outputs import publish
from lab_scripts.runs import COMMAND_FILE, journal_folder

ATTEMPTS = "attempts"
"""Folder in that of a campaign: what has not come to its end."""


@dataclass(frozen=True)
class Outcome:
    """What became of a task. board: where. code: as of the command; there: the run file was there already.
    said: what the command wrote to stderr."""

    name: str
    board: str
    code: int
    seconds: float
    cpu_s: float
    there: bool = False
    said: str = ""


def make_run(words: Sequence[str], name: str, file: str, folder: str, seed: int | None, board: str) -> Outcome:
    """Make the run file of one task on a board.

    words: of the command. file: name of the run file in `folder`. seed: of a mock board. board: as --backend takes it.
    """
    out = Path(folder, file)
    began, cpu = time.monotonic(), time.process_time()
    if out.exists():
        code, said = _found(out)
        return Outcome(name, board, code, 0.0, 0.0, there=True, said=said)
    # Models are interchangeable: what one worker began on them another goes on with.
    backend = MOCK if board.startswith(MOCK) else board
    attempt = Path(folder, ATTEMPTS, name, urllib.parse.quote(backend, safe=""), file)
    attempt.parent.mkdir(parents=True, exist_ok=True)
    spoken, code = io.StringIO(), int(Exit.OK)
    # One that is whole is there if its worker died before it could be moved.
    if there := attempt.exists():
        code, said = _found(attempt)
        spoken.write(said)
    elif (journal_folder(attempt) / COMMAND_FILE).exists():
        code = _xbar(["resume", str(attempt)], spoken)
    else:
        # Without its command a folder holds nothing: journals, and what they tell of pulses, come after that.
        rest = [*([] if seed is None else ["--seed", str(seed)]), *(["--force"] * journal_folder(attempt).exists())]
        code = _xbar([*words, "--backend", backend, "--out", str(attempt), *rest], spoken)
    if attempt.exists():
        if code == Exit.OUTSIDE_BOUND:
            _outside(attempt).write_text(spoken.getvalue().strip())
        try:
            publish(attempt, out, force=False)
        except FileError:
            # Another board's attempt came to its end first, and counts; this one stays where it is.
            there, (code, said) = True, _found(out)
            spoken = io.StringIO(said)
        else:
            _outside(out).unlink(missing_ok=True)  # of an earlier run, removed since
            if code == Exit.OUTSIDE_BOUND:
                _outside(attempt).rename(_outside(out))
            shutil.rmtree(attempt.parent)
    for used in attempt.parents[:2]:
        with contextlib.suppress(OSError):  # not empty
            used.rmdir()
    if code and attempt.parent.exists():
        spoken.write(
            f"what it has begun is in {shlex.quote(str(attempt.parent))}, and the same campaign goes on with it"
        )
    seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
    return Outcome(name, board, code, seconds, cpu_s, there, spoken.getvalue().strip())


def _outside(run: Path) -> Path:
    """Beside a run outside its bounds: what its command said of it."""
    return run.with_suffix(".outside.txt")


def _found(run: Path) -> tuple[int, str]:
    """Exit code and text of the command that made a run file. One outside its bounds stays so."""
    note = _outside(run)
    return (Exit.OUTSIDE_BOUND, note.read_text()) if note.exists() else (Exit.OK, "")


def _xbar(words: list[str], said: io.StringIO) -> int:
    import dask

    from lab_scripts.cli import whole_command

    # Nor do runs ask Dask for anything: xarray, in a worker, would open a client of its own.
    with (
        dask.config.set(scheduler="synchronous"),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(said),
    ):
        try:
            return int(whole_command().main(words, prog_name="xbar", standalone_mode=False) or 0)
        except Exception as error:
            # What the parser refuses carries its own code and text.
            print(f"xbar: {getattr(error, 'message', error)}", file=sys.stderr)
            return int(getattr(error, "exit_code", Exit.DEFECT))
