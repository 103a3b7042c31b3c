"""How pictures of runs look, and how they get to disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lab_scripts.runs import publish

# Okabe and Ito: distinct for colour-blind eyes, on paper and on a projector.
CROSSBAR, REFERENCE, ACCENT, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
STYLE: Any = {
    "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "axes.linewidth": 0.7,
    "lines.linewidth": 1.4, "figure.dpi": 110, "svg.fonttype": "none", "pdf.fonttype": 42,
}  # fmt: skip


def save(figure: Figure, path: Path, *, force: bool, metadata: Mapping[str, str] | None = None) -> None:
    """Write `figure` in the format that the name of `path` ends in; the file appears whole, at the end.

    metadata: keys of that format, as matplotlib names them.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        figure.savefig(partial, format=path.suffix.removeprefix("."), metadata=metadata)
        publish(partial, path, force=force)
    finally:
        partial.unlink(missing_ok=True)
