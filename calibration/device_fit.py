"""The device model's parameters from characterisations: each with its standard uncertainty, and what stays unknown.

Equations: docs/device-model.md. Estimates are those of one cell, then mean and spread over the cells, so uncertainties
hold for the population that the measured cells were drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from calibration.characterise.set_curve import switches
from drivers.board import Board

Array = NDArray[np.float64]
FEWEST_CELLS, FEWEST_SHOTS, FEWEST_GATES, FEWEST_READS = 8, 5, 3, 5
RELAXATION_S = 1000.0
"""Reads beyond this time are left out of the relaxation's fit: a slow relative loss would be taken for it, s."""
SETTLED = 3.0
"""So are reads before this many times the programming's duration, within which each cell's relaxation began."""
SELECTION = 0.2
"""Relative standard uncertainty of a relaxation for the selection by write-verify, which goes on with cells that move:
on mock arrays with known relaxation, mean and spread came out 8 to 25 % small (docs/how-to/fit-a-device.md)."""
STEPS = 3
"""Rounds of threshold and transistor: the second changes a conductance by less than 10⁻³."""


@dataclass(frozen=True)
class Fitted:
    """A parameter: its table and key in a file of the mock, value and standard uncertainty in `unit`.

    rests_on: what it was fitted to.
    """

    table: str
    key: str
    value: float
    uncertainty: float
    unit: str
    rests_on: str


@dataclass(frozen=True)
class SetLine:
    """gate_v (n,) V; measured_s and fit_s (n,) S: mean over the cells, of the memristor alone."""

    parameters: tuple[Fitted, ...]
    gate_v: Array
    measured_s: Array
    fit_s: Array


def fit_set_line(run: xr.Dataset, board: Board, on_slope_s_per_v: float) -> SetLine:
    """Line, spreads and granularity of the SET, from a run of `characterise set-curve`.

    on_slope_s_per_v: of the access transistor, through which cells are read; a SET curve does not tell it from the
    line. Raises `ValueError` for fewer cells, shots or gate voltages than a spread can be fitted to.
    """
    switching = switches(run)
    reads = run["g_s"].to_numpy()[:, :, switching]
    shots, n_gates, cells = reads.shape
    _enough("cells that switch", cells, FEWEST_CELLS)
    _enough("shots", shots, FEWEST_SHOTS)
    _enough("gate voltages", n_gates, FEWEST_GATES)
    gate = run["gate_v"].to_numpy()
    read_gate_v = board.levels.wl_on_v - board.wiring.vcm_v
    threshold = np.full(cells, board.transistor.threshold_v)
    for _ in range(STEPS):
        memristor = reads / (1 - reads / (on_slope_s_per_v * (read_gate_v - threshold)))
        mean = memristor.mean(axis=0)
        # Shots scatter less at low conductance: each gate voltage counts by its own variance of the mean.
        weight = 1 / np.maximum(memristor.var(axis=0, ddof=1).mean(axis=1) / shots, 1e-18)
        middle = (weight * gate).sum() / weight.sum()
        spread = (weight * (gate - middle) ** 2).sum()
        slope = (weight * (gate - middle)) @ mean / spread
        level = weight @ mean / weight.sum()
        threshold = middle - level / slope
    slope_variance = 1 / spread
    threshold_variance = (1 / weight.sum() + (threshold.mean() - middle) ** 2 * slope_variance) / slope.mean() ** 2
    source = f"set-curve, {cells} cells"
    slope_mean, slope_sd, slope_sd_u = _population(slope, float(slope_variance))
    v_th, v_th_sd, v_th_sd_u = _population(threshold, float(threshold_variance))
    granularity, granularity_u = _granularity(memristor)
    parameters = (
        Fitted("array.switching", "set_slope_s_per_v", slope_mean, _of_mean(slope), "S/V", source),
        Fitted("array.spread", "set_slope_rel", slope_sd / slope_mean, slope_sd_u / slope_mean, "1", source),
        Fitted("array.transistor", "v_th_v", v_th, _of_mean(threshold), "V", source),
        Fitted("array.spread", "v_th_v", v_th_sd, v_th_sd_u, "V", source),
        Fitted("array.cycle", "set_granularity_s", granularity, granularity_u, "S", f"{source}, {shots} shots"),
    )
    return SetLine(parameters, gate, mean.mean(axis=1), slope_mean * (gate - v_th))


def fit_relaxation(run: xr.Dataset, t0_s: float) -> tuple[Fitted, ...]:
    """Mean and spread of c in c·ln(1 + t/t0), from a run of `characterise retention`.

    t0_s: where the logarithm begins, which reads from one second on do not tell. Cells beyond four spreads of the
    others are left out: a step of telegraph noise is no relaxation. Raises `ValueError` for too few reads or cells.
    """
    time = run["time_s"].to_numpy()
    programming_s = float(run.attrs["board_time_s"]) - float(time[-1])
    used = (time >= SETTLED * programming_s) & (time <= RELAXATION_S)
    _enough(f"reads from {SETTLED * programming_s:.3g} to {RELAXATION_S:g} s", int(used.sum()), FEWEST_READS)
    x = np.log1p((time[used] + programming_s / 2) / t0_s)
    x -= x.mean()
    g = run["g_s"].to_numpy()[used]
    c = x @ g / (x @ x)
    residual = g - g.mean(axis=0) - np.outer(x, c)
    spread = 1.4826 * np.median(np.abs(c - np.median(c)))
    kept = np.abs(c - np.median(c)) <= 4 * spread
    _enough("cells", int(kept.sum()), FEWEST_CELLS)
    variance = float((residual[:, kept] ** 2).sum() / ((len(x) - 2) * kept.sum()) / (x @ x))
    mean, sd, sd_u = _population(c[kept], variance)
    source = f"retention, {kept.sum()} of {len(c)} cells"
    return (
        Fitted("array.relaxation", "mean_s", mean, float(np.hypot(_of_mean(c[kept]), SELECTION * mean)), "S", source),
        Fitted("array.relaxation", "sigma_s", sd, float(np.hypot(sd_u, SELECTION * sd)), "S", source),
    )


def _population(values: Array, own_variance: float) -> tuple[float, float, float]:
    """Mean, spread without the estimates' own variance, and the standard uncertainty of that spread."""
    total = float(values.var(ddof=1))
    spread = float(np.sqrt(max(total - own_variance, 0.0)))
    of_variance = total * np.sqrt(2 / (len(values) - 1))
    return float(values.mean()), spread, float(of_variance / (2 * max(spread, np.sqrt(of_variance))))


def _of_mean(values: Array) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _granularity(memristor: Array) -> tuple[float, float]:
    """Variance of one cell's shots per conductance: the slope of one against the other over the gate voltages, whose
    intercept takes the noise of reads and where SETs begin."""
    shots, _, cells = memristor.shape
    variance, mean = memristor.var(axis=0, ddof=1).mean(axis=1), memristor.mean(axis=(0, 2))
    sigma = variance * np.sqrt(2 / ((shots - 1) * cells))
    (slope, _), covariance = curve_fit(
        lambda g, a, b: a * g + b, mean / 1e-6, variance / 1e-12, sigma=sigma / 1e-12, absolute_sigma=True
    )
    return float(slope * 1e-6), float(np.sqrt(covariance[0, 0]) * 1e-6)


def _enough(what: str, there_are: int, needed: int) -> None:
    if there_are < needed:
        raise ValueError(f"{what}: {there_are}, fewer than the {needed} that a spread can be fitted to; measure more")
