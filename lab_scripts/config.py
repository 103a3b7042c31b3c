"""`xbar config`: what commands take when nothing is typed, and where each value came from."""

from __future__ import annotations

import os
from pathlib import Path

from drivers.board import PAPER_BOARD
from lab_scripts.console import Report
from lab_scripts.options import Json
from lab_scripts.settings import FILE, NAMES, Setting, load, settings_file, variable

DEFAULTS: dict[str, str | int | None] = {
    "backend": "mock", "board": str(PAPER_BOARD), "mock": None, "calibration": None, "seed": 0, "threads": 1,
}  # fmt: skip


def config(json_output: Json = False) -> None:
    """Show what commands take when an option is not typed, and where each value came from.

    First comes what is typed; then the environment (XBAR_BACKEND, XBAR_SEED, …); then xbar.toml of the working folder,
    or the file that XBAR_CONFIG names; then the default. Consent (--force, --yes, --real-board, --accept-…) and files
    to write are always typed. A run file records what was set as if it had been typed.
    """
    report = Report(as_json=json_output)
    here = Path()
    found = load(os.environ, here)
    path = settings_file(os.environ, here)
    rows = {
        name: found.get(name, Setting(value if (value := DEFAULTS[name]) is not None else "", "default"))
        for name in NAMES
    }
    report.table(
        f"Settings file: {path or f'none ({FILE} here, or XBAR_CONFIG)'}",
        ("option", "value", "from", "variable"),
        [(f"--{name}", str(it.value), it.source, variable(name)) for name, it in rows.items()],
    )
    report.finish(
        {
            "file": None if path is None else str(path),
            "settings": {name: {"value": it.value, "source": it.source} for name, it in rows.items()},
        }
    )
