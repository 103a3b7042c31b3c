"""The picture of a plan: which weight sits in which cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from anf.arrays.mapped import MappedFlow, base_weights
from anf.arrays.placement import Tile
from anf.flows.flow import Flow
from lab_scripts.panels.style import STYLE, Origin, save

ARRAYS_SHOWN = 36
_SIDE_IN = 3.6


def draw_placement(
    path: Path, mapped: MappedFlow, flow: Flow, faults: Sequence[NDArray[np.float64]], origin: Origin, *, force: bool
) -> None:
    """Every array: cells in the colour of their layer, darker for larger conductance, tiles by name, faults crossed."""
    plan = mapped.placement
    targets = mapped.targets_s(base_weights(flow))
    shown = min(plan.n_arrays, ARRAYS_SHOWN)
    columns = math.ceil(math.sqrt(shown))
    rows = math.ceil(shown / columns)
    colours = dict(zip(mapped.layers, _colours(len(mapped.layers)), strict=True))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(columns * _SIDE_IN, rows * _SIDE_IN + 0.3), layout="constrained")
        for k in range(shown):
            axes = figure.add_subplot(rows, columns, k + 1)
            _array(axes, k, [t for t in plan.tiles if t.array == k], targets[k], colours)
            if k < len(faults):
                sl, bl = np.nonzero(np.isfinite(faults[k]))
                axes.plot(bl, sl, "x", ms=4, mew=0.8, color="black")
        more = f", the first {shown} of {plan.n_arrays} arrays" if plan.n_arrays > shown else ""
        figure.suptitle(f"{origin.title}{more}", fontsize=9)
        save(figure, path, origin, force=force)


def _colours(n: int) -> list[NDArray[np.float64]]:
    """n light colours, far apart."""
    return [np.array(mpl.colormaps["hsv"]((0.08 + i * 0.618034) % 1.0)[:3]) for i in range(n)]


def _array(
    axes: Axes, k: int, tiles: Sequence[Tile], target_s: NDArray[np.float64], colours: dict[str, NDArray[np.float64]]
) -> None:
    image = np.full((*target_s.shape, 3), 0.95)
    for t in tiles:
        shade = ((target_s[t.cells] - 20e-6) / 60e-6)[..., None]
        image[t.cells] = 1 - (0.25 + 0.6 * shade) * (1 - colours[t.layer])
    axes.imshow(image, interpolation="nearest")
    for t in tiles:
        # Lines may be in any order where faults are avoided: the name goes into the middle of its cells.
        y, x = float(np.median(t.sl)), float(np.median(t.bl))
        part = f"[{t.row}:{t.outputs.stop}, {t.column}:{t.inputs.stop}]"
        tall = len(t.sl) > 1.6 * len(t.bl)
        small = min(len(t.sl), len(t.bl)) < 4
        axes.text(
            x, y, f"{t.layer} {part}" if tall or small else f"{t.layer}\n{part}", ha="center", va="center", fontsize=6,
            rotation=90 if tall else 0, bbox={"fc": "white", "ec": "none", "alpha": 0.6, "pad": 1.0},
        )  # fmt: skip
        if _contiguous(t.sl) and _contiguous(t.bl):
            axes.add_patch(
                Rectangle((min(t.bl) - 0.5, min(t.sl) - 0.5), len(t.bl), len(t.sl), fill=False, lw=0.8, ec="black")
            )
    axes.set(
        title=f"array {k}",
        xlabel="bit line",
        ylabel="source line",
        xticks=[0, target_s.shape[1] - 1],
        yticks=[0, target_s.shape[0] - 1],
    )


def _contiguous(lines: Sequence[int]) -> bool:
    return max(lines) - min(lines) + 1 == len(lines)
