"""The panels of Fig. 2 and their kin, drawn from run files."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from calibration.characterise.levels import level_sigmas_s
from calibration.characterise.linearity import lines
from calibration.characterise.pattern import PAPER_TOLERANCE_S, errors_s
from calibration.characterise.products import outputs, rms, sound_rows
from calibration.characterise.set_curve import cell_means_s, switches
from lab_scripts.figure_style import CROSSBAR, GREY, REFERENCE
from lab_scripts.panels import Fill

PANEL_IN = (3.6, 2.7)
WIDE_IN = (6.6, 2.7)
MICRO = 1e6


def _set_curve(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    gate, good = run["gate_v"].to_numpy(), switches(run)
    means = cell_means_s(run)[:, good] * MICRO
    shots = run["g_s"].to_numpy()[:, :, good] * MICRO
    x = gate + 0.15 * (gate[1] - gate[0]) * np.linspace(-1, 1, shots.shape[2])[:, None]
    axes.plot(x.T, shots[0], ".", ms=2, color=CROSSBAR, alpha=0.2, mec="none", rasterized=True)
    axes.plot([], [], ".", color=CROSSBAR, alpha=0.5, label="one shot, each cell")
    slope, offset = np.polyfit(gate, means.mean(axis=1), 1)
    axes.plot(gate, slope * gate + offset, color=REFERENCE, lw=1, label=f"line, {slope:.0f} µS/V")
    axes.errorbar(
        gate, means.mean(axis=1), shots.std(axis=(0, 2)), fmt="o", ms=3, color="black", lw=0.8, label="mean ± σ"
    )
    axes.set(title="Single-shot SET", xlabel="word line over source line (V)", ylabel="conductance (µS)")
    axes.legend(loc="upper left")


def _levels(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    target, read = run["g_target_s"].to_numpy(), run["g_check_s"].to_numpy() * MICRO
    good = ~run["failed"].to_numpy()
    levels, sigma = level_sigmas_s(run)
    for level, colour in zip(levels, _colours(levels), strict=True):
        bins = (level * MICRO + np.arange(-2.5, 2.6, 0.2)).tolist()
        axes.hist(read[good & (target == level)], bins=bins, color=colour)
    axes.set(
        title="Programmed levels", xlabel="conductance (µS)", ylabel="cells",
        xlim=(levels[0] * MICRO - 4, levels[-1] * MICRO + 4),
    )  # fmt: skip
    axes.set_ylim(top=1.22 * axes.get_ylim()[1])
    _note(axes, f"σ of a level {sigma.mean() * MICRO:.2f} µS, paper 0.54", 0.98, 0.97, "top")


def _pattern(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    shown = run["g_check_s"] if "g_check_s" in run else run["g_read_s"]
    _map(left, shown.where(np.isfinite(run["g_target_s"])).to_numpy() * MICRO, "Conductance read", "µS", 15, 105)
    error = errors_s(run) * MICRO
    tolerance = PAPER_TOLERANCE_S * MICRO
    bins = np.arange(-5, 5.01, 0.2)
    right.hist(np.clip(error, bins[0], bins[-1]), bins=bins.tolist(), color=CROSSBAR)
    for edge in (-tolerance, tolerance):
        right.axvline(edge, color=GREY, ls="--", lw=0.8)
    inside = 100 * float(np.mean(np.abs(error) <= tolerance))
    right.set(
        title="Errors, failed cells included",
        xlabel="read − target (µS), outer bins open",
        ylabel="cells",
        yscale="log",
        ylim=(0.5, None),
    )
    right.set_ylim(top=4 * right.get_ylim()[1])
    _note(right, f"{inside:.1f} % within ±{tolerance:g} µS\npaper: > 95 %", 0.98, 0.97, "top")  # fmt: skip


def _retention(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    g = run["g_s"].to_numpy().T * MICRO
    for trace, colour in zip(g, _colours(run["g_target_s"].to_numpy()), strict=True):
        axes.plot(run["time_s"], trace, ".-", ms=3, lw=0.8, color=colour)
    axes.set(
        title=f"Retention of {len(g)} cells", xscale="log", xlabel="time since programming (s)",
        ylabel="conductance (µS)", ylim=(0, 1.1 * g.max()),
    )  # fmt: skip


def _linearity(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    levels = run["g_target_s"].to_numpy()
    volts, current, slope, residual = lines(run)
    for k, colour in enumerate(_colours(levels)):
        left.plot(volts, current[:, k] * MICRO, "-", lw=1, color=colour)
        right.plot(volts, 100 * residual[:, k] / (slope[k] * volts.max()), "-", lw=0.8, color=colour)
    scale = ScalarMappable(Normalize(levels[0] * MICRO, levels[-1] * MICRO), "viridis")
    figure.colorbar(scale, ax=right, label="target (µS)")
    left.set(title="Current of a cell", xlabel="bit line over source line (V)", ylabel="current (µA)")
    right.set(
        title="Departure from a line", xlabel="bit line over source line (V)", ylabel="% of full current", ylim=(-1, 1)
    )


def _products(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    _map(left, run["g_read_s"].to_numpy() * MICRO, "Weights as read", "µS", 20, 80)
    sound = sound_rows(run)
    ideal, output = outputs(run)
    unit = "" if "output" in run else " (A)"
    span = 1.05 * float(np.abs(np.concatenate([ideal, output])).max())
    right.plot([-span, span], [-span, span], color=GREY, lw=0.8)
    for rows, colour, label in ((~sound, REFERENCE, "rows with a failed cell"), (sound, CROSSBAR, "all other rows")):
        if rows.any():
            right.plot(
                ideal[:, rows].ravel(), output[:, rows].ravel(), ".", ms=2, mec="none", color=colour, label=label,
                rasterized=True,
            )  # fmt: skip
    right.set(title="Outputs, mapped back", xlabel=f"exact{unit}", ylabel=f"from the array{unit}")
    right.legend(loc="upper left", markerscale=3)
    error = 100 * rms((output - ideal)[:, sound]) / rms(ideal[:, sound])
    _note(right, f"rms error {error:.1f} % of rms output", 0.98, 0.03, "bottom")


def _colours(levels: NDArray[np.float64]) -> list[Any]:
    """A colour for each level, the same scale in all panels."""
    return list(mpl.colormaps["viridis"](np.linspace(0, 0.92, len(levels))))


def _map(axes: Axes, values: NDArray[np.float64], title: str, label: str, low: float, high: float) -> None:
    cmap = mpl.colormaps["viridis"].with_extremes(bad="#f2f2f2")
    image = axes.imshow(values, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    axes.set(title=title, xlabel="bit line", ylabel="source line")
    axes.figure.colorbar(image, ax=axes, label=label, shrink=0.8)


def _note(axes: Axes, text: str, x: float, y: float, vertical: str) -> None:
    axes.text(
        x, y, text, transform=axes.transAxes, ha="right", va=vertical, bbox={"fc": "white", "ec": "none", "pad": 1.5}
    )


DRAWN: dict[str, tuple[tuple[float, float], Fill]] = {
    "set-curve": (PANEL_IN, _set_curve),
    "levels": (WIDE_IN, _levels),
    "pattern": (WIDE_IN, _pattern),
    "retention": (PANEL_IN, _retention),
    "linearity": (WIDE_IN, _linearity),
    "mvm": (WIDE_IN, _products),
}
"""Size in inches and what fills it, by the name of the characterisation."""
