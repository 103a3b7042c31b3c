"""How pictures of runs look, what they have in common, and how they get to disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lab_scripts.outputs import published

# Okabe and Ito: distinct for colour-blind eyes, on paper and on a projector.
CROSSBAR, REFERENCE, ACCENT, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"
STYLE: Any = {
    "font.size": 8, "axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False, "axes.linewidth": 0.7,
    "lines.linewidth": 1.4, "figure.dpi": 110, "svg.fonttype": "none", "pdf.fonttype": 42,
}  # fmt: skip


PANEL_IN, WIDE_IN = (3.6, 2.7), (6.6, 2.7)
"""Sizes of a picture with one panel and with two, inches."""
MICRO = 1e6


def colours(count: int) -> list[Any]:
    """A colour for each of `count` levels, from low to high the same scale in all panels."""
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.92, count)))


def conductance_map(axes: Axes, values: NDArray[np.float64], title: str, label: str, low: float, high: float) -> None:
    """A value of each cell (n_sl, n_bl), NaN left blank, with its scale from `low` to `high`, called `label`."""
    cmap = mpl.colormaps["viridis"].with_extremes(bad="#f2f2f2")
    image = axes.imshow(values, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    axes.set(title=title, xlabel="bit line", ylabel="source line")
    axes.figure.colorbar(image, ax=axes, label=label, shrink=0.8)


def note(axes: Axes, text: str, x: float, y: float, vertical: str) -> None:
    """A text that ends at (x, y) of the axes, `vertical` saying which of its edges is there."""
    axes.text(
        x, y, text, transform=axes.transAxes, ha="right", va=vertical, bbox={"fc": "white", "ec": "none", "pad": 1.5}
    )


@dataclass(frozen=True)
class Origin:
    """Where a picture comes from, which it carries in itself. source: id of the run, or of the file, that it shows."""

    title: str
    command: str
    source: str

    def metadata(self, suffix: str) -> dict[str, str]:
        """Under the keys of a format."""
        if suffix == ".svg":
            return {"Title": self.title, "Description": self.command, "Identifier": self.source}
        if suffix == ".pdf":
            return {"Title": self.title, "Subject": self.command, "Keywords": self.source}
        return {"Title": self.title, "Description": self.command, "Source": self.source}


def save(figure: Figure, path: Path, origin: Origin, *, force: bool) -> None:
    """Write `figure` in the format that the name of `path` ends in; the file appears whole, at the end."""
    with published(path, force=force) as partial:
        metadata = origin.metadata(path.suffix)
        figure.savefig(partial, format=path.suffix.removeprefix("."), metadata=metadata)
