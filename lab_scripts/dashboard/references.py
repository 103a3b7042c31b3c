"""What HMC gave for an action: a run of it in the folder, that a sampler at work is held against."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from lab_scripts.exits import FileError
from lab_scripts.live_events import observable_rows
from lab_scripts.run_store import open_run, summaries


class References:
    """Observables of the runs of `xbar hmc` in `folder`, each run read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[tuple[str, int], tuple[str, list[dict[str, Any]]]] = {}
        self._reading = threading.Lock()

    def of(self, action: str) -> list[dict[str, Any]] | None:
        """Rows of the newest run with the action of that title; None if there is none."""
        found = [run for run in summaries(self._folder) if run.command.startswith("xbar hmc ")]
        with self._reading:
            for run in sorted(found, key=lambda run: run.mtime_ns, reverse=True):
                key = (run.name, run.mtime_ns)
                if key not in self._known:
                    self._known[key] = _read(self._folder / run.name)
                title, rows = self._known[key]
                if title == action:
                    return rows
        return None


def _read(path: Path) -> tuple[str, list[dict[str, Any]]]:
    from lab_scripts.observables import NAMES, action_of, of_run
    from lab_scripts.options import action_title

    try:
        with open_run(path) as run:
            return action_title(action_of(run)), observable_rows(of_run(run), NAMES)
    except FileError:  # replaced or damaged meanwhile: it serves nobody
        return "", []
