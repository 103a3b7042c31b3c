"""The command `xbar`: its parts, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import functools
import logging
import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from firmware_bridge.errors import asking
from lab_scripts import (
    bench,
    calibrate,
    campaign,
    characterise,
    check_physics,
    compare_write_verify,
    config,
    demo,
    doctor,
    everywhere,
    figure,
    fit_device,
    hmc,
    ledger,
    live,
    mvm,
    performance,
    place,
    program,
    resume,
    sample,
    serve,
    stored_runs,
    train,
)
from lab_scripts.board_choice import expanded
from lab_scripts.dashboard.command import dashboard
from lab_scripts.examples import example
from lab_scripts.exits import MEANING, Exit, exit_code
from lab_scripts.report.command import report
from lab_scripts.runs import COMMAND, JOURNAL, keep_unfinished, resuming
from lab_scripts.settings import default_map, load

_log = logging.getLogger(__name__)
_EPILOG = "Exit codes: " + " · ".join(f"{code.value} {text}" for code, text in MEANING.items()) + "."


_OUTCOMES = {Exit.INTERRUPTED: "interrupted", Exit.OUTSIDE_BOUND: "done"}
"""What a live run is told to have come to; all other codes are failures."""


class _Commands(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        everywhere.add(self, example)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[COMMAND] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            with asking(" ".join(["xbar", *ctx.meta[COMMAND][:1]])):
                # A run that goes on is what it was begun as, whatever is set by now.
                ctx.default_map = {} if resuming(ctx) else default_map(self, load(os.environ, Path()))
                return super().invoke(ctx)
        except (Exception, KeyboardInterrupt) as error:
            # The parser's own exceptions (usage, --help, exit) carry their code; it is click, or typer's copy of it.
            if type(error).__module__.startswith(("click.", "typer.")):
                raise
            code = exit_code(error)
            if isinstance(error, BrokenPipeError):
                # Whoever read stdout has gone (`xbar … | head`): the rest of its buffer must not raise again at exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(code.value) from error
            if code is Exit.DEFECT:
                traceback.print_exc()
            text = MEANING[code] if code is Exit.INTERRUPTED else str(error) or type(error).__name__
            live.end(_OUTCOMES.get(code, "failed"), text)
            print(f"xbar: {text}", file=sys.stderr)
            _log.error("ended", extra={"exit_code": code.value, "fault": type(error).__name__, "reason": text})
            unfinished = ctx.find_root().meta.get(JOURNAL)
            if unfinished and keep_unfinished(unfinished):
                print(f"xbar: go on with: xbar resume {shlex.quote(str(unfinished))}", file=sys.stderr)
            raise typer.Exit(code.value) from error
        finally:
            live.end("done", "")
            everywhere.end(ctx)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Program resistive-memory crossbar arrays, and sample lattice field theories on them.",
    epilog=_EPILOG,
)
app.command(rich_help_panel="Begin here")(doctor.doctor)
app.command(rich_help_panel="Begin here")(expanded(demo.demo))
app.command(rich_help_panel="Begin here")(config.config)
app.command(rich_help_panel="Begin here")(dashboard)
app.command(rich_help_panel="On an array")(expanded(program.program))
app.command(rich_help_panel="On an array")(expanded(compare_write_verify.compare_write_verify))
app.command(rich_help_panel="On an array")(expanded(mvm.mvm))
app.add_typer(characterise.characterise, name="characterise", rich_help_panel="On an array")
app.add_typer(calibrate.calibrate, name="calibrate", rich_help_panel="The board")
app.command(rich_help_panel="The board")(ledger.ledger)
app.add_typer(bench.bench, name="bench", rich_help_panel="The board")
app.command(rich_help_panel="The board")(serve.serve)
app.command(rich_help_panel="Flows and sampling")(expanded(train.train))
app.command(rich_help_panel="Flows and sampling")(expanded(train.finetune))
app.command(rich_help_panel="Flows and sampling")(place.place)
app.command(rich_help_panel="Flows and sampling")(performance.performance)
app.command(rich_help_panel="Flows and sampling")(expanded(hmc.hmc))
app.command(rich_help_panel="Flows and sampling")(expanded(sample.sample))
app.command(rich_help_panel="Flows and sampling")(check_physics.check_physics)
app.command(rich_help_panel="Runs and figures")(expanded(figure.figure))
app.command(rich_help_panel="Runs and figures")(resume.resume)
app.add_typer(stored_runs.runs, name="runs", rich_help_panel="Runs and figures")
app.command(rich_help_panel="Runs and figures")(campaign.campaign)
app.command(rich_help_panel="Runs and figures")(report)
app.command(rich_help_panel="On an array")(fit_device.fit_device)


@functools.cache
def whole_command() -> Any:
    """All of ``xbar`` as what parses and runs it. Typer takes a tenth of a second to build it."""
    return typer.main.get_command(app)


def main() -> None:
    """Entry point. A request to terminate is an interrupt: a board is made safe on both."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    app(prog_name="xbar")
