"""Spectra of cells at rest: a telegraph process on white noise, fitted to many cells at once, and 1/f."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from calibration.characterise.experiment import Array

WINDOW_BINS = 1.5
"""Bins of frequency that a Hann window makes one: so many fewer are independent."""
SIGNIFICANT = 25.0
"""Twice the log-likelihood ratio over white noise from which a cell has telegraph noise: were it χ² with two degrees of
freedom, one white cell in 10⁵ would have it."""
CORNERS, RATIOS = 40, 33
"""Points of the first search: corner frequencies, and ratios of the two noises' variances."""


class Lorentzians(NamedTuple):
    """Telegraph processes on white noise, one for each of (cells,).

    sigma_s: rms of the telegraph noise, S. corner_hz: (sum of both rates)/2π. white_s: rms of a read's white noise, S.
    significance: twice the log-likelihood ratio over white noise alone.
    """

    sigma_s: Array
    corner_hz: Array
    white_s: Array
    significance: Array


def spectrum_shape(frequency_hz: Array, corner_hz: Array | float, step_s: float) -> Array:
    """Spectrum of a telegraph process sampled every `step_s`, aliases included, over that of white noise of the same
    variance; arguments are broadcast.

    Samples of a process with autocovariance σ² exp(−2π f_c |t|) are those of a first-order autoregression with
    a = exp(−2π f_c Δt). Its one-sided spectrum 2 Δt σ² (1 − a²)/(1 − 2a cos 2πfΔt + a²) is the Lorentzian
    (2σ²/π f_c)/(1 + (f/f_c)²) for Δt → 0; white noise has 2 Δt σ².
    """
    a = np.exp(-2 * np.pi * np.asarray(corner_hz) * step_s)
    return np.asarray((1 - a * a) / (1 - 2 * a * np.cos(2 * np.pi * frequency_hz * step_s) + a * a))


def fit_lorentzians(frequency_hz: Array, psd: Array, step_s: float, segments: int) -> Lorentzians:
    """Maximum likelihood of averaged periodograms (n, cells) S²/Hz, whose bins scatter about the spectrum as gamma
    variables (Whittle). All cells are searched on one grid of corners and ratios, those that pass are refined.

    segments: periodograms in each average.
    """
    weight = segments / WINDOW_BINS
    corners = np.geomspace(frequency_hz[0], frequency_hz[-1], CORNERS)
    ratios = np.geomspace(1e-3, 1e5, RATIOS)
    shape = spectrum_shape(frequency_hz, corners[:, None], step_s)
    model = (1.0 + ratios[:, None, None] * shape).reshape(-1, len(frequency_hz))
    n = len(frequency_hz)
    # The scale that suits a shape best is the mean of what is measured over it; what is left is this.
    scale = (1.0 / model) @ psd / n
    loss = weight * (n * np.log(scale) + np.log(model).sum(axis=1)[:, None])
    best = loss.argmin(axis=0)
    cell = np.arange(psd.shape[1])
    ratio, corner = ratios[best // CORNERS], corners[best % CORNERS]
    white2 = scale[best, cell] / (2 * step_s)
    significance = 2 * (weight * n * np.log(psd.mean(axis=0)) - loss[best, cell])
    for k in np.flatnonzero(significance > SIGNIFICANT):
        ratio[k], corner[k], white2[k] = _refine(
            frequency_hz, psd[:, k], step_s, (ratio[k], corner[k], white2[k]), corners[1] / corners[0]
        )
    return Lorentzians(np.sqrt(ratio * white2), corner, np.sqrt(white2), np.maximum(significance, 0.0))


def _refine(
    frequency_hz: Array, psd: Array, step_s: float, start: tuple[float, float, float], corner_step: float
) -> Array:
    def loss(log: Array) -> float:
        ratio, corner, white2 = np.exp(log)
        model = 2 * step_s * white2 * (1.0 + ratio * spectrum_shape(frequency_hz, corner, step_s))
        return float((np.log(model) + psd / model).sum())

    log = np.log(start)
    # Rates below the lowest frequency or above the highest look like a drift, or like white noise.
    near = (
        max(log[1] - np.log(corner_step), np.log(frequency_hz[0])),
        min(log[1] + np.log(corner_step), np.log(frequency_hz[-1])),
    )
    bounds = [(log[0] - 2, log[0] + 2), near, (log[2] - 2, log[2] + 2)]  # fmt: skip
    return np.asarray(np.exp(minimize(loss, log, method="L-BFGS-B", bounds=bounds).x))


def fit_power_law(frequency_hz: Array, psd: Array, bins: int = 12) -> tuple[float, float]:
    """A and α of A/f^α through a spectrum (n,), each part of equal log f with the same weight."""
    edges = np.geomspace(frequency_hz[0], frequency_hz[-1] * (1 + 1e-9), bins + 1)
    index = np.digitize(frequency_hz, edges)
    x, mean = np.array([(np.log(frequency_hz[index == k]).mean(), psd[index == k].mean()) for k in np.unique(index)]).T
    positive = mean > 0
    slope, offset = np.polyfit(x[positive], np.log(mean[positive]), 1)
    return float(np.exp(offset)), float(-slope)
