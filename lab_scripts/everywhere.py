"""Options that every command has: how much it shows, and where it writes down what boards do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lab_scripts import logs
from lab_scripts.console import be_quiet

PANEL = "Of every command"
STOP = "lab_scripts.everywhere.stop"
"""Key in the root context's `meta` of what ends the log."""


def _options(
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", help="Show no tables and no bars; errors and --json stay.", rich_help_panel=PANEL
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", help="Log programs, refusals and faults of boards on stderr.", rich_help_panel=PANEL),
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option("--log-file", help="Append the same, and errors, as JSON lines.", rich_help_panel=PANEL),
    ] = None,
) -> None:
    """The options, as any command states its own."""


def add(group: Any, examples: Callable[[str], str], path: str = "xbar") -> None:
    """Give every command of a group these options, and its example below its help."""
    for name, command in group.commands.items():
        words = f"{path} {name}"
        if hasattr(command, "commands"):
            add(command, examples, words)
            continue
        command.params = [*command.params, *_parameters()]
        command.epilog = f"Example: {examples(words)}"


def _parameters() -> list[Any]:
    alone = typer.Typer(add_completion=False)
    alone.command()(_options)
    parameters = [p for p in typer.main.get_command(alone).params if p.name in _options.__annotations__]
    for parameter in parameters:
        parameter.expose_value = False
        parameter.callback = _heed
    return parameters


def _heed(context: Any, parameter: Any, value: Any) -> Any:
    """Options come one by one, those that were not typed as well: the last one begins the log."""
    heard = context.meta.setdefault(__name__, {})
    heard[parameter.name] = value
    if heard.keys() == {"quiet", "verbose", "log_file"} and not context.resilient_parsing:
        be_quiet(heard["quiet"])
        end(context)
        context.meta[STOP] = logs.start(people=logging.DEBUG if heard["verbose"] else None, file=heard["log_file"])
    return value


def end(context: Any) -> None:
    """End the log, if there is one."""
    if (stop := context.meta.pop(STOP, None)) is not None:
        stop()
