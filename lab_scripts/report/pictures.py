"""Pictures of any run: the panel of its kind if there is one, else its variables as their dimensions suggest."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from lab_scripts.observables import chains_of_run
from lab_scripts.panels.panel import Panel
from lab_scripts.panels.style import CROSSBAR, GREY, MICRO, PANEL_IN, STYLE, conductance_map

MOST = 12
"""Pictures of variables in a report."""
_DPI = 170
_BINS = 60
_POINTS = 20_000
"""Longer series are drawn by every so many values."""
_LEAST_LAGS = 20
_COUNTERS = ("state", "segment")
"""Numbers of proposals and segments: no quantities."""
_NAMES = 12
"""Names beside each other in a picture, at most."""


@dataclass(frozen=True)
class Picture:
    """caption: what it shows. data: PNG in base 64, for an image that is part of the page."""

    caption: str
    data: str


def pictures(run: xr.Dataset, panel: Panel | None) -> list[Picture]:
    """The panel first, then, for a run without one, its variables."""
    with mpl.rc_context(STYLE):
        if panel is not None:
            figure = Figure(figsize=panel.size, layout="constrained")
            panel.fill(figure, run)
            return [_picture(figure, f"{panel.name}{f', Fig. {panel.label} of the paper' if panel.label else ''}")]
        drawn = (_picture(figure, caption) for caption, figure in (*_of_chains(run), *_of_variables(run)))
        return [picture for picture, _ in zip(drawn, range(MOST), strict=False)]


def _picture(figure: Figure, caption: str) -> Picture:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return Picture(caption, base64.b64encode(buffer.getvalue()).decode())


def _of_chains(run: xr.Dataset) -> Iterator[tuple[str, Figure]]:
    """Of a run that sampled a field: where its chains were, and how long they remember."""
    from anf.measurement.statistics import gamma_method

    if not (chains := chains_of_run(run)):
        return
    mean = [phi.mean((-2, -1)) for phi in chains]
    figure = Figure(figsize=PANEL_IN, layout="constrained")
    axes = figure.add_subplot()
    axes.hist(np.concatenate(mean), bins=_BINS, color=CROSSBAR)
    axes.set(xlabel="M", ylabel="draws")
    yield "magnetisation of the draws", figure
    memory = gamma_method([np.abs(m) for m in mean])
    lags = min(len(memory.rho), max(_LEAST_LAGS, 3 * memory.window))
    figure = Figure(figsize=PANEL_IN, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(np.arange(lags), memory.rho[:lags], "o-", ms=3, color=CROSSBAR)
    axes.axhline(0.0, color=GREY, lw=0.7)
    axes.set(xlabel="lag (draws)", ylabel="autocorrelation of |M|")
    yield f"autocorrelation of |M|: τ_int = {memory.tau_int:.2f} ± {memory.tau_int_error:.2f}", figure


def _of_variables(run: xr.Dataset) -> Iterator[tuple[str, Figure]]:
    for key, variable in run.data_vars.items():
        if variable.dtype.kind not in "fiub" or not variable.size or "byte" in variable.dims or key in _COUNTERS:
            continue
        name, says = str(key), str(variable.attrs.get("long_name", key))
        if variable.dims[-2:] == ("sl", "bl") and variable.ndim <= 3:
            first = variable if variable.ndim == 2 else variable[0]
            more = "" if variable.ndim == 2 or len(variable) == 1 else f", {variable.dims[0]} 0 of {len(variable)}"
            yield f"{name}: {says}{more}", _matrix(first)
        elif variable.ndim == 1 and variable.dims[0] in run.coords and variable.size > 1:
            yield f"{name}: {says}", _line(variable)
        elif variable.ndim == 2 and _named(variable):
            yield f"{name}: {says}", _by_name(variable)
        elif variable.size > 1:
            yield f"{name}: {says}", _distribution(variable)


def _label(variable: xr.DataArray) -> str:
    unit = variable.attrs.get("units", "1")
    return str(variable.name) if unit == "1" else f"{variable.name} ({unit})"


def _matrix(variable: xr.DataArray) -> Figure:
    figure = Figure(figsize=PANEL_IN, layout="constrained")
    values = variable.to_numpy().astype(float)
    siemens = variable.attrs.get("units") == "S"
    values = values * MICRO if siemens else values
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    label = f"{variable.name} (µS)" if siemens else _label(variable)
    conductance_map(figure.add_subplot(), values, "", label, low, high if high > low else low + 1)
    return figure


def _line(variable: xr.DataArray) -> Figure:
    figure = Figure(figsize=PANEL_IN, layout="constrained")
    axes = figure.add_subplot()
    along = variable[variable.dims[0]]
    text = along.dtype.kind not in "fiu"
    axes.plot(np.arange(along.size) if text else along.to_numpy(), variable.to_numpy(), "o-", ms=3, color=CROSSBAR)
    if text:
        axes.set_xticks(np.arange(along.size), [str(value) for value in along.to_numpy()], rotation=60)
    axes.set(xlabel=_label(along), ylabel=_label(variable))
    return figure


def _named(variable: xr.DataArray) -> bool:
    """Whether its last dimension has a few names for coordinates."""
    along = variable.dims[-1]
    return along in variable.coords and variable[along].dtype.kind in "UO" and 1 < variable.sizes[along] <= _NAMES


def _by_name(variable: xr.DataArray) -> Figure:
    """The values of each name above it."""
    figure = Figure(figsize=PANEL_IN, layout="constrained")
    axes = figure.add_subplot()
    names = variable[variable.dims[-1]].to_numpy()
    for at, values in enumerate(variable.to_numpy().T):
        axes.plot(np.full(values.size, at), values, "o", ms=4, alpha=0.7, color=CROSSBAR)
    axes.set_xticks(np.arange(names.size), [str(name) for name in names], rotation=30)
    axes.set(xlim=(-0.5, names.size - 0.5), ylabel=_label(variable))
    return figure


def _distribution(variable: xr.DataArray) -> Figure:
    figure = Figure(figsize=PANEL_IN, layout="constrained")
    axes = figure.add_subplot()
    values = variable.to_numpy().ravel()
    values = values[:: max(1, -(-values.size // _POINTS))].astype(float)
    axes.hist(values[np.isfinite(values)], bins=_BINS, color=CROSSBAR)
    axes.set(xlabel=_label(variable), ylabel="values")
    return figure
