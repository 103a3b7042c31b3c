"""What a command shows: progress on stderr when somebody watches, tables or one JSON object on stdout."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from lab_scripts import live

Step = Callable[..., None]
"""step(done, total, note=""): where a task stands."""

_REDRAW_S = 0.1
_PLAIN_WIDTH = 120


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would end the process with 1, which here says that a result is outside its bound.
        raise BrokenPipeError


class _Shown:
    """What this process shows, whatever command it runs: one place, since every command has --quiet."""

    quiet = False


def be_quiet(quiet: bool) -> None:
    """Show neither tables nor bars from now on; or show them again."""
    _Shown.quiet = quiet


class Report:
    """One command's output. With `as_json` only `finish` writes to stdout: one JSON object."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        # A pipe has no width: tables in files and logs keep theirs.
        self._out = _Console(width=None if Console().is_terminal else _PLAIN_WIDTH, highlight=False, soft_wrap=False)
        self._err = Console(stderr=True, highlight=False)

    @contextmanager
    def task(self, description: str) -> Iterator[Step]:
        """A bar with the time left, on stderr, if that is a terminal; and for who looks on (`lab_scripts.live`)."""
        tell = live.task(description)
        if _Shown.quiet or not self._err.is_terminal:
            yield tell
            return
        columns = (
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=self._err, refresh_per_second=4) as progress:
            bar = progress.add_task(description, total=None, note="")
            drawn = -math.inf

            def step(done: float, total: float, note: str = "") -> None:
                nonlocal drawn
                tell(done, total, note)
                now = time.monotonic()
                # Callers report as often as they like; the bar moves ten times a second.
                if done >= total or now - drawn > _REDRAW_S:
                    drawn = now
                    progress.update(bar, completed=done, total=total, note=note)

            yield step

    def say(self, text: str) -> None:
        """A line for people."""
        if not (self._as_json or _Shown.quiet):
            self._out.print(text, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table for people: the first column to the left, numbers to the right."""
        if self._as_json or _Shown.quiet:
            return
        table = Table(
            title=title, title_justify="left", title_style="bold", header_style="bold", show_header=any(columns)
        )
        for i, name in enumerate(columns):
            table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        self._out.print(table)

    def finish(self, result: Mapping[str, Any]) -> None:
        """The result for programs. Values that are not finite become null."""
        if self._as_json:
            self._out.file.write(json.dumps(_plain(result), ensure_ascii=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def with_error(value: float, error: float) -> str:
    """A value with its error in the last two digits, as the field writes it: ``1.7594(38)``.

    >>> with_error(1.75945, 0.0038)
    '1.7594(38)'
    >>> with_error(12.3, float("nan"))
    '12.3'
    """
    if not (math.isfinite(error) and error > 0 and math.isfinite(value)):
        return f"{value:.6g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    scaled = round(error * 10**digits)
    if digits and scaled == 100:  # 0.0996 rounds up to three digits
        digits, scaled = digits - 1, 10
    return f"{value:.{digits}f}({scaled})" if digits else f"{value:.0f}({error:.0f})"
