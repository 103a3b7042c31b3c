"""What a running command tells of itself, for whoever looks on: a file beside the run file that is to be.

``RUN.nc.live`` is there as long as the command is, one JSON object a line, each with its ``kind`` and ``t``, seconds
since the command began. Nobody answers, so nothing can hold a board up; who comes late reads from the beginning. The
lock on the file says that the command still lives, and keeps any other from writing the same run. docs/dashboard.md has
the kinds.
"""

from __future__ import annotations

import base64
import json
import math
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from firmware_bridge.exclusive import Exclusive

SUFFIX = ".live"

Tell = Callable[..., None]
"""tell(done, total, note=""): where a task stands."""


def live_file(out: Path) -> Path:
    """Where the command that will write `out` tells of itself."""
    return out.with_name(out.name + SUFFIX)


class Live:
    """The file of one command, held by it until `end`."""

    def __init__(self, out: Path, command: str) -> None:
        """Raises `BoardInUse` if another command is writing the same run."""
        self.path = live_file(out)
        self._began = time.monotonic()
        self._lock = Exclusive.take(
            self.path, f"the run {out}", mode=0o644,
            kind="begin", t=0.0, id=f"{os.getpid()}-{time.time_ns()}", run=out.name, command=command,
            host=socket.gethostname(), began=time.time(),
        )  # fmt: skip
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def tell(self, kind: str, **values: Any) -> None:
        """One line. A disk that takes no more ends the telling, with a word on stderr, and nothing else: the run is
        still held."""
        if self._file < 0:
            return
        line = json.dumps({"kind": kind, "t": round(time.monotonic() - self._began, 4), **values}, allow_nan=False)
        data = line.encode() + b"\n"
        try:
            if os.write(self._file, data) != len(data):
                raise OSError("the disk is full")
        except OSError as error:
            print(
                f"xbar: {self.path}: {error.strerror or error}; the dashboard hears no more of this run",
                file=sys.stderr,
            )
            self._fall_silent()

    def end(self, outcome: str, message: str) -> None:
        """The last line; the file goes, those who have it open read on to its end."""
        self.tell("end", outcome=outcome, message=message)
        self._fall_silent()
        self._lock.close(remove=True)

    def _fall_silent(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


_current: Live | None = None


def begin(out: Path, command: str) -> None:
    """From now on this process tells of the command that will write `out`. Raises `BoardInUse` as `Live`."""
    global _current
    end("done", "")
    _current = Live(out, command)


def tell(kind: str, **values: Any) -> None:
    """A line of the command that this process runs; nothing if it tells of none."""
    if _current is not None:
        _current.tell(kind, **values)


def listening() -> bool:
    """Whether this process tells of a command, so that what costs time to say need not be prepared otherwise."""
    return _current is not None


def end(outcome: str, message: str) -> None:
    """The command has ended. outcome: done, interrupted or failed. message: its error."""
    global _current
    if _current is not None:
        _current.end(outcome, message)
        _current = None


class Seldom:
    """When something that happens often is told again: rarely enough that a run of days makes no long file."""

    def __init__(self, share: float, least_s: float, largest_s: float) -> None:
        """share: an interval is this share of the time since the beginning, within `least_s` and `largest_s`."""
        self._share, self._least_s, self._largest_s = share, least_s, largest_s
        self._began, self._told = time.monotonic(), -math.inf

    def due(self) -> bool:
        """Whether it is told now."""
        now = time.monotonic()
        interval_s = min(max(self._share * (now - self._began), self._least_s), self._largest_s)
        if now - self._told < interval_s:
            return False
        self._told = now
        return True


def task(description: str) -> Tell:
    """What a task calls as often as it likes; few enough of it become lines."""
    seldom = Seldom(1e-3, 0.05, 1.0)

    def step(done: float, total: float, note: str = "") -> None:
        if _current is not None and (done >= total or seldom.due()):
            _current.tell("task", name=description, done=float(done), total=float(total), note=note)

    tell("task", name=description, done=0.0, total=0.0, note="")
    return step


def packed(values: ArrayLike, dtype: str = "<f4") -> str:
    """An array as text: its little-endian bytes in base 64, row by row."""
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain numbers for JSON, None for those that are not finite."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in plain.items()}
