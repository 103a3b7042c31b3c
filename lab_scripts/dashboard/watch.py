"""The commands that run, as their files in a folder tell of them (`lab_scripts.live`)."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any

from firmware_bridge.journal import JournalReader, Kind
from lab_scripts.live import SUFFIX
from lab_scripts.runs import journal_folder

REMEMBERED = 8
"""Runs that are shown after their end."""
JOURNAL_LINES = 12
_LIFE_S, _JOURNAL_S = 0.5, 0.2
"""How often it is asked whether a silent command still lives, and what its journals have got."""


class AbortRefused(Exception):
    """A run that cannot be aborted from here."""


class LiveRun:
    """One command. lines: what it told so far, as it was written; the first one is its `begin`."""

    def __init__(self, path: Path) -> None:
        """Raises FileNotFoundError if it has ended meanwhile."""
        self.path = path
        self.out = path.with_name(path.name.removesuffix(SUFFIX))
        self.lines: list[str] = []
        self.begin: dict[str, Any] = {}
        self.ended = False
        self.aborted = False
        self.journal: dict[str, dict[str, Any]] = {}
        self._readers: dict[str, JournalReader] = {}
        self._file = os.open(path, os.O_RDONLY)
        self._partial = b""
        self._position = 0
        self._asked = self._read_journals = 0.0

    @property
    def id(self) -> str:
        """Which command this is: a name may be written again."""
        return str(self.begin.get("id", ""))

    def poll(self) -> bool:
        """Read on; True if there is something new."""
        new = self._read()
        now = time.monotonic()
        if not self.ended and not new and now - self._asked > _LIFE_S:
            self._asked = now
            if self.begin and not self._lives():
                # It may have told its end in between.
                new = self._read()
                if not self.ended:
                    self._append(json.dumps({"kind": "end", "t": None, "outcome": "killed", "message": "was killed"}))
                    new = True
        if not self.ended and now - self._read_journals > _JOURNAL_S:
            self._read_journals = now
            new |= self._follow_journals()
        return new

    def _read(self) -> bool:
        new = False
        while not self.ended and (data := os.read(self._file, 1 << 20)):
            *whole, self._partial = (self._partial + data).split(b"\n")
            self._position += len(data)
            for line in whole:
                self._append(line.decode())
                new = True
        return new

    def _append(self, line: str) -> None:
        if not self.lines:
            self.begin = json.loads(line)
        self.lines.append(line)
        if line.startswith('{"kind": "end"'):
            self.ended = True
            self.close()

    def replaced(self) -> bool:
        """Whether another command has taken the file over, as after one that was killed."""
        return not self.ended and os.fstat(self._file).st_size < self._position

    def _lives(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return False

    def _follow_journals(self) -> bool:
        new = False
        for path in sorted(journal_folder(self.out).glob("board*.journal")):
            entries = self._readers.setdefault(path.stem, JournalReader(path)).new()
            seen = self.journal.setdefault(path.stem, {"programs": 0, "last": deque(maxlen=JOURNAL_LINES)})
            for entry in entries:
                new = True
                if entry.kind is Kind.DONE:
                    seen["programs"] += 1
                    seen["last"].append(f"done, {entry.cycles} cycles")
                elif entry.kind is Kind.BEGUN:
                    seen["last"].append("program with pulses" if entry.pulses else "program")
                else:
                    seen["last"].append(entry.kind.name.lower())
        return new

    def journal_tail(self) -> list[dict[str, Any]]:
        """Of each board: how many programs are done, and the last records."""
        return [
            {"board": board, "programs": seen["programs"], "last": list(seen["last"])}
            for board, seen in self.journal.items()
        ]

    def abort(self) -> None:
        """Interrupt the command, once: it makes its boards safe itself, which a second signal could disturb.

        Raises `AbortRefused`."""
        if self.ended:
            raise AbortRefused("the command has ended already")
        if self.aborted:
            return
        if self.begin["host"] != socket.gethostname():
            raise AbortRefused(f"it runs on {self.begin['host']}, this is {socket.gethostname()}; interrupt it there")
        if not self._lives():
            raise AbortRefused("the command has ended already")
        try:
            os.kill(self.begin["pid"], signal.SIGTERM)
        except PermissionError:
            raise AbortRefused(f"process {self.begin['pid']} belongs to another user; interrupt it there") from None
        except ProcessLookupError:
            raise AbortRefused("the command has ended already") from None
        self.aborted = True

    def close(self) -> None:
        """Let go of the file. Any number of times."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Watch:
    """All commands that write their runs into `folder`, and the last ones that did."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[LiveRun] = []
        self.folder_changes = 0
        self._folder_ns = -1

    def poll(self) -> bool:
        """Read on everywhere; True if there is something new."""
        new = self._find()
        for run in self.runs:
            new |= run.poll()
        return new

    def _find(self) -> bool:
        changed = os.stat(self.folder).st_mtime_ns
        replaced = [run for run in self.runs if run.replaced()]
        if changed == self._folder_ns and not replaced:
            return False
        self._folder_ns = changed
        self.folder_changes += 1
        for run in replaced:
            run.close()
            self.runs.remove(run)
        followed = {run.path for run in self.runs if not run.ended}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path not in followed:
                try:
                    self.runs.append(LiveRun(path))
                except FileNotFoundError:
                    continue
        ended = [run for run in self.runs if run.ended]
        for run in ended[: max(0, len(ended) - REMEMBERED)]:
            self.runs.remove(run)
        return True

    def run(self, run_id: str) -> LiveRun | None:
        """The command of that id."""
        return next((run for run in self.runs if run.id == run_id), None)
