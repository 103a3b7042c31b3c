"""The panels of Fig. 2, drawn from run files."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from calibration.characterise.iv_sweeps import LEAST_S, states_s
from calibration.characterise.iv_sweeps import switches as switches_bipolar
from calibration.characterise.levels import level_sigmas_s
from calibration.characterise.linearity import lines
from calibration.characterise.pattern import PAPER_TOLERANCE_S, errors_s
from calibration.characterise.products import outputs, rms, sound_rows
from calibration.characterise.set_curve import cell_means_s, switches
from calibration.characterise.traces import shown_cells
from lab_scripts.panels.cells import CELLS
from lab_scripts.panels.panel import Fill
from lab_scripts.panels.style import (
    CROSSBAR,
    GREY,
    MICRO,
    PANEL_IN,
    REFERENCE,
    WIDE_IN,
    colours,
    conductance_map,
    note,
)


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


def _iv_sweeps(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    on, off = (state * MICRO for state in states_s(run))
    good = switches_bipolar(run)
    # The cell in the middle of those that switch.
    shown = int(np.flatnonzero(good)[np.argsort(on[:, good].mean(axis=0))[good.sum() // 2]])
    volts, verify_v = run["amplitude_v"].to_numpy(), float(run.attrs["verify_v"])
    current = np.maximum(run["g_s"].to_numpy()[:, :, shown].astype(float), LEAST_S) * verify_v * MICRO
    # A sweep starts where the one before it has left the cell.
    start = np.concatenate([current[:1, -1], current[:-1, -1]])
    sweep = np.concatenate([[0.0], volts])
    traces = np.concatenate([start[:, None], current], axis=1)
    left.plot(sweep, traces.T, "-", lw=0.4, color=GREY, alpha=0.25, rasterized=True)
    mean = traces.mean(axis=0)
    turn = int((volts > 0).sum()) + 1
    left.plot(sweep[:turn], mean[:turn], "-", color=REFERENCE, lw=1.4, label="SET sweep, mean")
    left.plot(
        np.concatenate([[0.0], sweep[turn:]]), np.concatenate([mean[turn - 1 : turn], mean[turn:]]), "-",
        color=CROSSBAR, lw=1.4, label="RESET sweep, mean",
    )  # fmt: skip
    left.set(
        title=f"{len(on)} sweeps of one cell", xlabel="bit line over source line in the pulse (V)", yscale="log",
        ylabel=f"current at {verify_v:g} V after it (µA)",
    )  # fmt: skip
    left.set_ylim(0.5 * current.min(), 6 * current.max())
    left.legend(loc="upper left")
    cycle = np.arange(1, len(on) + 1)
    for state, colour, name in ((on, REFERENCE, "after SET"), (off, CROSSBAR, "after RESET")):
        low, middle, high = np.quantile(state[:, good], (0.05, 0.5, 0.95), axis=1)
        right.fill_between(cycle, low, high, color=colour, alpha=0.15, lw=0)
        right.plot(cycle, middle, color=colour, lw=0.6, label=name)
        right.plot(cycle, state[:, shown], ".", ms=2, mec="none", color=colour, alpha=0.7)
    right.plot([], [], ".", color=GREY, label="that cell")
    right.set(title=f"{good.sum()} cells: median, 5–95 %", xlabel="sweep", ylabel="conductance (µS)", yscale="log")
    right.set_ylim(0.5 * off[:, good].min(), 6 * on[:, good].max())
    right.legend(loc="upper left", ncols=2, columnspacing=1.0)


def _traces(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    reads, target, cycles = (run[name].to_numpy() for name in ("reads_s", "g_target_s", "cycles"))
    done = ~run["failed"].to_numpy()
    cells = shown_cells(run)
    for (row, column), colour in zip(cells, colours(len(cells)), strict=True):
        left.axhline(target[row, column] * MICRO, color=colour, ls="--", lw=0.7)
        # The cycles of the first pass; the array goes on for the others.
        shown = reads[: int(cycles[done].max()), row, column] * MICRO
        left.plot(np.arange(1, len(shown) + 1), shown, ".-", ms=3, lw=1, color=colour)
    left.plot([], [], "--", color=GREY, lw=0.7, label="target")
    left.set(title=f"Programming of {len(cells)} cells", xlabel="cycle", ylabel="conductance read (µS)")
    left.set_ylim(0, 1.25 * left.get_ylim()[1])
    left.legend(loc="upper right")
    right.hist(cycles[done], bins=np.arange(0.5, cycles[done].max() + 1.5).tolist(), color=CROSSBAR)
    right.axvspan(20, 30, color=GREY, alpha=0.2, lw=0)
    right.text(25, 0.97, "paper", ha="center", va="top", color=GREY, transform=right.get_xaxis_transform())
    right.set(
        title=f"All cells: median {np.median(cycles[done]):.0f}", xlabel="cycles until programmed", ylabel="cells"
    )


def _levels(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    target, read = run["g_target_s"].to_numpy(), run["g_check_s"].to_numpy() * MICRO
    good = ~run["failed"].to_numpy()
    levels, sigma = level_sigmas_s(run)
    for level, colour in zip(levels, colours(len(levels)), strict=True):
        bins = (level * MICRO + np.arange(-2.5, 2.6, 0.2)).tolist()
        axes.hist(read[good & (target == level)], bins=bins, color=colour)
    axes.set(
        title="Programmed levels", xlabel="conductance (µS)", ylabel="cells",
        xlim=(levels[0] * MICRO - 4, levels[-1] * MICRO + 4),
    )  # fmt: skip
    axes.set_ylim(top=1.22 * axes.get_ylim()[1])
    note(axes, f"σ of a level {sigma.mean() * MICRO:.2f} µS, paper 0.54", 0.98, 0.97, "top")


def _pattern(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    shown = run["g_check_s"] if "g_check_s" in run else run["g_read_s"]
    conductance_map(
        left, shown.where(np.isfinite(run["g_target_s"])).to_numpy() * MICRO, "Conductance read", "µS", 15, 105
    )
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
    note(right, f"{inside:.1f} % within ±{tolerance:g} µS\npaper: > 95 %", 0.98, 0.97, "top")  # fmt: skip


def _retention(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    g = run["g_s"].to_numpy().T * MICRO
    for trace, colour in zip(g, colours(len(g)), strict=True):
        axes.plot(run["time_s"], trace, ".-", ms=3, lw=0.8, color=colour)
    axes.set(
        title=f"Retention of {len(g)} cells", xscale="log", xlabel="time since programming (s)",
        ylabel="conductance (µS)", ylim=(0, 1.1 * g.max()),
    )  # fmt: skip


def _linearity(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    levels = run["g_target_s"].to_numpy()
    volts, current, slope, residual = lines(run)
    for k, colour in enumerate(colours(len(levels))):
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
    conductance_map(left, run["g_read_s"].to_numpy() * MICRO, "Weights as read", "µS", 20, 80)
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
    note(right, f"rms error {error:.1f} % of rms output", 0.98, 0.03, "bottom")


DRAWN: dict[str, tuple[tuple[float, float], Fill]] = {
    "iv-sweeps": (WIDE_IN, _iv_sweeps),
    "traces": (WIDE_IN, _traces),
    "set-curve": (PANEL_IN, _set_curve),
    "levels": (WIDE_IN, _levels),
    "pattern": (WIDE_IN, _pattern),
    "retention": (PANEL_IN, _retention),
    "linearity": (WIDE_IN, _linearity),
    "mvm": (WIDE_IN, _products),
    **CELLS,
}
"""Size in inches and what fills it, by the name of the characterisation."""
