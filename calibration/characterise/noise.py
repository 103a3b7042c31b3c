"""Noise of cells at rest: which of them have telegraph noise, how large and how fast, and the spectrum of the array."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr
from scipy.signal import welch

from calibration.characterise.experiment import Array, Experiment, Number, Progress, parameter, program_cells, variable
from calibration.characterise.spectra import SIGNIFICANT, fit_lorentzians, fit_power_law
from drivers.crossbar import Crossbar

SEGMENTS = 4
"""Pieces of a trace whose spectra are averaged."""
KEPT = 8
"""Traces that are kept whole: those of the noisiest cells."""
REPORTS = 8
"""Times that the spectra so far are worked out."""


@dataclass(frozen=True)
class Noise(Experiment):
    """Read programmed cells at rest at equal times: spectra, and each cell's telegraph noise by a fitted Lorentzian.

    Spectra reach from 4 periods in --reads · --interval-s to half a period in --interval-s; rates beyond them are not
    seen. The sum of many fluctuators of all rates is 1/f noise: its exponent is fitted to their mean spectrum.
    """

    name: ClassVar[str] = "noise"

    level_s: float = parameter(60e-6, "Conductance of the cells.", 15e-6, 105e-6, "S")
    reads: int = parameter(8192, "Reads of the array.", 64, 1_000_000)
    interval_s: float = parameter(0.05, "Board time between the starts of two reads.", 0.003, 1e4, "s")

    @property
    def wait_s(self) -> float:
        return self.reads * self.interval_s

    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        result = program_cells(crossbar, np.full(crossbar.shape, self.level_s), progress)
        trace = np.empty((self.reads, crossbar.shape[0] * crossbar.shape[1]), np.float32)
        start_s, report = crossbar.board_time_s, max(self.reads // REPORTS, 64)
        for k in range(self.reads):
            left_s = start_s + k * self.interval_s - crossbar.board_time_s
            if left_s > 0:
                crossbar.wait(left_s)
            trace[k] = crossbar.read_conductance().ravel()
            progress(k + 1, self.reads)
            if (k + 1) % report == 0 or k + 1 == self.reads:
                # What the reads themselves take, where that is more than the interval.
                step_s = max(self.interval_s, (crossbar.board_time_s - start_s) / (k + 1))
                yield _run(trace[: k + 1], result.failure > 0, step_s)

    @staticmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        good, noisy = ~run["failed"].to_numpy(), has_telegraph(run)
        numbers = [
            Number("cells with telegraph noise", 100 * float(noisy.sum() / good.sum()), "%"),
            Number("white noise of one read, median", float(np.median(run["white_s"].to_numpy()[good])) * 1e6, "µS"),
        ]
        if noisy.any():
            relative = (run["telegraph_s"] / run["mean_s"]).to_numpy()[noisy]
            amplitude, exponent = fit_power_law(*noisy_spectrum(run))
            numbers += [
                Number("telegraph noise of those, rms, median", 100 * float(np.median(relative)), "%"),
                Number("telegraph noise of those, rms, largest", 100 * float(relative.max()), "%"),
                Number("corner frequency, median", float(np.median(run["corner_hz"].to_numpy()[noisy])), "Hz"),
                Number("their mean spectrum at 1 Hz over conductance²", amplitude, "1/Hz"),
                Number("exponent α of their mean spectrum, 1/f^α", exponent),
            ]
        return numbers


def _run(trace: np.ndarray, failed: np.ndarray, step_s: float) -> xr.Dataset:
    frequency, psd = welch(trace, 1.0 / step_s, "hann", len(trace) // SEGMENTS, 0, detrend="linear", axis=0)
    # Removing the trend, which relaxation is, takes from the lowest.
    frequency, psd = frequency[2:-1], psd[2:-1]
    fits = fit_lorentzians(frequency, psd.astype(float), step_s, SEGMENTS)
    shape, grid = failed.shape, ("sl", "bl")
    noisiest = np.argsort(np.where(failed.ravel(), 0.0, fits.significance))[::-1][:KEPT]

    def cells(values: np.ndarray, units: str, long_name: str) -> object:
        return variable(grid, values.reshape(shape), units, long_name)

    power = psd.reshape(-1, *shape).astype(np.float32)
    return xr.Dataset(
        {
            "psd": variable(("frequency", *grid), power, "S²/Hz", "power spectral density, one-sided"),
            "mean_s": cells(trace.mean(axis=0, dtype=float), "S", "mean conductance"),
            "telegraph_s": cells(fits.sigma_s, "S", "rms of the telegraph noise"),
            "corner_hz": cells(fits.corner_hz, "Hz", "corner frequency of the Lorentzian"),
            "white_s": cells(fits.white_s, "S", "rms of the white noise of one read"),
            "significance": cells(fits.significance, "1", "twice the log-likelihood ratio over white noise alone"),
            "failed": (grid, failed, {"long_name": "could not be programmed"}),
            "trace_s": variable(("read", "kept"), trace[:, noisiest], "S", "conductance of the noisiest cells"),
        },
        coords={
            "frequency_hz": variable("frequency", frequency, "Hz", "frequency"),
            "row": variable("kept", noisiest // shape[1], "1", "source line"),
            "column": variable("kept", noisiest % shape[1], "1", "bit line"),
        },
        attrs={"interval_s": step_s, "segments": SEGMENTS},
    )


def has_telegraph(run: xr.Dataset) -> np.ndarray:
    """Cells (n_sl, n_bl) whose spectrum white noise does not explain."""
    return np.asarray((run["significance"] > SIGNIFICANT).to_numpy() & ~run["failed"].to_numpy())


def noisy_spectrum(run: xr.Dataset) -> tuple[Array, Array]:
    """Frequencies (n,) Hz, and the mean spectrum (n,) 1/Hz over conductance² of the cells with telegraph noise, their
    white noise taken off."""
    noisy, step_s = has_telegraph(run), float(run.attrs["interval_s"])
    white = 2 * step_s * run["white_s"].to_numpy()[noisy] ** 2
    psd = run["psd"].to_numpy()[:, noisy].astype(float) - white
    return run["frequency_hz"].to_numpy(), (psd / run["mean_s"].to_numpy()[noisy] ** 2).mean(axis=1)
