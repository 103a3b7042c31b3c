"""The picture of the demonstration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from numpy.typing import NDArray

from anf.arrays.analog import Deployment
from anf.measurement.statistics import gamma_method
from calibration.write_verify import WriteVerifyResult
from lab_scripts.panels.style import CROSSBAR, GREY, REFERENCE, STYLE, Origin, save

if TYPE_CHECKING:
    from lab_scripts.demo import Point

_MAX_LAG = 40


def draw_demo(
    path: Path,
    programmed: Deployment,
    volts: NDArray[np.float64],
    current: NDArray[np.float64],
    points: Sequence[Point],
    origin: Origin,
    *,
    force: bool,
) -> None:
    """The demonstration's picture: array, convergence, products, fields, magnetisation, autocorrelation.

    volts (n, n_bl) V and current (n, n_sl) A are products of the first array.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12.0, 6.4), layout="constrained")
        grid = figure.add_gridspec(2, 4)
        first = programmed.programming[0]
        _map(figure.add_subplot(grid[0, 0]), first.g_target_s, "Target")
        _map(
            figure.add_subplot(grid[0, 1]),
            np.where(np.isfinite(first.g_target_s), programmed.measured_s[0], np.nan),
            "Programmed",
            bar=True,
        )
        _convergence(figure.add_subplot(grid[0, 2]), programmed)
        _products(figure.add_subplot(grid[0, 3]), first, volts, current)
        _fields(figure, grid[1, 0], points[0])
        shown = [points[0], points[-1]] if len(points) > 1 else [points[0]]
        for column, point in enumerate(shown):
            _magnetisation(figure.add_subplot(grid[1, 1 + column]), point)
        _autocorrelation(figure.add_subplot(grid[1, 3]), points[0])
        save(figure, path, origin, force=force)


def _map(axes: Axes, conductance_s: NDArray[np.float64], title: str, *, bar: bool = False) -> None:
    cmap = mpl.colormaps["viridis"].with_extremes(bad="#f2f2f2")
    image = axes.imshow(conductance_s * 1e6, cmap=cmap, vmin=20, vmax=80, interpolation="nearest")
    axes.set(title=f"{title} conductance", xlabel="bit line", ylabel="source line")
    if bar:
        axes.figure.colorbar(image, ax=axes, label="µS", shrink=0.8)


def _convergence(axes: Axes, programmed: Deployment) -> None:
    for i, result in enumerate(programmed.programming):
        cells = result.converged
        error = np.abs(result.reads_s[:, cells] - result.g_target_s[cells]) * 1e6
        read = np.arange(1, len(error) + 1)
        label = None if i else "median"
        axes.fill_between(
            read, np.quantile(error, 0.1, axis=1), np.quantile(error, 0.9, axis=1), color=CROSSBAR, alpha=0.15, lw=0
        )
        axes.plot(read, np.median(error, axis=1), color=CROSSBAR, label=label)
    axes.axhline(3.5, color=GREY, ls="--", lw=0.8)
    axes.text(0.98, 3.7, "paper's ±3.5 µS", color=GREY, ha="right", va="bottom", transform=axes.get_yaxis_transform())
    axes.set(title="Write-verify", xlabel="read of the array", ylabel="|conductance − target| (µS)", yscale="log")
    axes.legend(title="with 10–90 %")


def _products(axes: Axes, result: WriteVerifyResult, volts: NDArray[np.float64], current: NDArray[np.float64]) -> None:
    # Cells that hold no weight conduct as well: what they were found at.
    ideal = volts @ np.where(np.isfinite(result.g_target_s), result.g_target_s, result.g_read_s).T
    # A cell of unknown conductance spoils its row: shown apart.
    spoilt = (result.failure > 0).any(axis=1)
    error = (current - ideal)[:, ~spoilt].std()
    span = 1.05e6 * float(np.abs(ideal).max())
    axes.plot([-span, span], [-span, span], color=GREY, lw=0.8)
    for rows, colour, label in ((spoilt, REFERENCE, "rows with a failed cell"), (~spoilt, CROSSBAR, "all other rows")):
        if rows.any():
            x, y = ideal[:, rows].ravel() * 1e6, current[:, rows].ravel() * 1e6
            axes.plot(x, y, ".", ms=2.5, color=colour, alpha=0.6, label=label, rasterized=True)
    axes.set(title="Matrix–vector products", xlabel="ideal G·V (µA)", ylabel="measured (µA)")
    axes.legend(loc="upper left", markerscale=3, handletextpad=0.2, borderaxespad=0)
    rms = ideal[:, ~spoilt].std()
    axes.text(
        0.98, 0.03, f"rms error {error * 1e6:.2f} µA\nof {rms * 1e6:.1f} µA", transform=axes.transAxes, ha="right"
    )


def _fields(figure: Figure, place: SubplotSpec, point: Point) -> None:
    cells = place.subgridspec(2, 2, wspace=0.02, hspace=0.02)
    chosen = point.drawn.state[np.linspace(0, len(point.drawn.state) - 1, 4).astype(int)]
    peak = float(np.abs(point.drawn.proposals.phi[chosen]).max())
    for k, index in enumerate(chosen):
        axes = figure.add_subplot(cells[k // 2, k % 2])
        image = axes.imshow(
            point.drawn.proposals.phi[index], cmap="RdBu_r", vmin=-peak, vmax=peak, interpolation="nearest"
        )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if k == 0:
            axes.set_title(f"Fields φ(x) at λ = {point.lam:g}")
    figure.colorbar(image, ax=figure.axes[-4:], label="φ", shrink=0.8, location="bottom", aspect=30)


def _magnetisation(axes: Axes, point: Point) -> None:
    ours = point.drawn.proposals.phi.astype(float).mean((-2, -1))[point.drawn.state]
    theirs = point.reference.phi.mean((-2, -1)).ravel()
    edge = float(np.quantile(np.abs(theirs), 0.9995))
    bins = np.linspace(-edge, edge, 41).tolist()
    axes.hist(ours, bins=bins, density=True, color=CROSSBAR, alpha=0.45, label="crossbar")
    axes.hist(theirs, bins=bins, density=True, histtype="step", color=REFERENCE, lw=1.4, label="HMC")
    axes.set(title=f"Magnetisation at λ = {point.lam:g}", xlabel="M", ylabel="density")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.22)
    axes.legend(ncols=2, loc="upper center")


def _autocorrelation(axes: Axes, point: Point) -> None:
    ours = np.abs(point.drawn.proposals.phi.astype(float).mean((-2, -1))[point.drawn.state])
    theirs = np.abs(point.reference.phi.mean((-2, -1)))
    for series, label, colour in ((ours, "crossbar", CROSSBAR), (theirs, "HMC", REFERENCE)):
        result = gamma_method(series)
        rho = result.rho[:_MAX_LAG]
        axes.plot(np.arange(len(rho)), rho, color=colour, label=f"{label}, τ_int = {result.tau_int:.2f}")
    axes.axhline(0, color=GREY, lw=0.6)
    axes.set(
        title=f"Autocorrelation of |M| at λ = {point.lam:g}", xlabel="Markov steps", ylabel="ρ", xlim=(0, _MAX_LAG / 2)
    )
    axes.legend()
