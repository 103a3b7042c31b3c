"""What is measured of cells beyond Fig. 2, drawn from run files: forming, yield, endurance, read disturb, noise."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from calibration.characterise.noise import has_telegraph, noisy_spectrum
from calibration.characterise.read_disturb import disturb_s
from calibration.characterise.spectra import fit_power_law, spectrum_shape
from calibration.characterise.yield_map import worst_failure
from calibration.failures import Failure
from lab_scripts.panels.panel import Fill
from lab_scripts.panels.style import ACCENT, CROSSBAR, GREY, MICRO, REFERENCE, WIDE_IN, colours, note

_FAILURE_COLOURS = ("#e8eef2", REFERENCE, CROSSBAR, "#000000", "#CC79A7", "#E69F00", ACCENT)
"""Of each `Failure`, in its order."""


def _forming(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    form_v, pristine, steps = (run[name].to_numpy() for name in ("form_v", "pristine", "amplitude_v"))
    image = left.imshow(
        np.where(pristine, form_v, np.nan), cmap=mpl.colormaps["viridis"].with_extremes(bad="#f2f2f2"),
        vmin=steps[0], vmax=max(steps[-1], steps[0] + 0.1), interpolation="nearest",
    )  # fmt: skip
    figure.colorbar(image, ax=left, label="V", shrink=0.8)
    left.set(title="Forming voltage", xlabel="bit line", ylabel="source line")
    formed = [(form_v <= v).sum() for v in steps]
    right.step(steps, 100 * np.array(formed) / pristine.sum(), where="post", color=CROSSBAR)
    right.set(title="Cells formed", xlabel="amplitude (V)", ylabel="% of those that did not conduct", ylim=(0, 105))
    done = np.isfinite(form_v)
    if done.any():
        left_s = np.median(run["formed_s"].to_numpy()[done])
        note(right, f"median {np.median(form_v[done]):.2f} V\nleaves {left_s * MICRO:.0f} µS", 0.98, 0.06, "bottom")


def _yield_map(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    failure = worst_failure(run)
    kinds = list(Failure)
    scale = BoundaryNorm(np.arange(-0.5, len(kinds) + 0.5).tolist(), len(kinds))
    image = left.imshow(failure, cmap=ListedColormap(list(_FAILURE_COLOURS)), norm=scale, interpolation="nearest")
    bar = figure.colorbar(image, ax=left, ticks=range(len(kinds)), shrink=0.9)
    bar.set_ticklabels(["works", *(kind.name.lower().replace("_", " ") for kind in kinds if kind)])
    left.set(title=f"{100 * np.mean(failure == 0):.1f} % of the cells work", xlabel="bit line", ylabel="source line")
    levels = run["level_s"].to_numpy() * MICRO
    for k, colour in zip(range(len(levels)), (REFERENCE, CROSSBAR), strict=False):
        good = run["failure"].to_numpy()[k] == 0
        cycles = run["cycles"].to_numpy()[k][good]
        bins = np.arange(0.5, cycles.max(initial=1) + 1.5).tolist()
        right.hist(cycles, bins=bins, histtype="step", color=colour, label=f"to {levels[k]:.0f} µS")
    right.set(title="How fast they are programmed", xlabel="cycles", ylabel="cells")
    right.legend()


def _endurance(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    cycle, on, off = (run[name].to_numpy() for name in ("cycle", "on_s", "off_s"))
    for state, colour, name in ((on, REFERENCE, "after SET"), (off, CROSSBAR, "after RESET")):
        left.plot(cycle, state * MICRO, "-", lw=0.4, color=colour, alpha=0.25)
        left.plot(cycle, np.median(state, axis=1) * MICRO, "o-", ms=3, color=colour, label=f"{name}, median")
    left.set(title=f"{on.shape[1]} cells", xscale="log", yscale="log", xlabel="cycle", ylabel="conductance (µS)")
    left.set_ylim(top=5 * left.get_ylim()[1])
    left.legend(loc="upper left", ncols=2)
    window = on / np.maximum(off, 1e-7)
    for low, high, alpha in ((0.0, 1.0, 0.12), (0.1, 0.9, 0.25)):
        right.fill_between(cycle, *np.quantile(window, (low, high), axis=1), color=ACCENT, alpha=alpha, lw=0)
    right.plot(cycle, np.median(window, axis=1), "o-", ms=3, color=ACCENT)
    right.set(title="On over off, median, 10–90 %, all", xscale="log", xlabel="cycle", ylabel="ratio", ylim=(0, None))


def _read_disturb(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    reads = run["reads"].to_numpy() / 1e6
    for sign, colour, name in ((1, REFERENCE, "positive"), (-1, CROSSBAR, "negative")):
        change, error = (x * MICRO for x in disturb_s(run, sign))
        left.errorbar(reads, change, error, fmt=".", ms=3, lw=0.6, color=colour, label=f"{name} input")
    left.axhline(0, color=GREY, lw=0.7)
    left.set_ylim(top=1.6 * left.get_ylim()[1])
    left.set(title="Cells read, beyond those at rest", xlabel="conversions (millions)", ylabel="mean change (µS)")
    left.legend(loc="upper left", ncols=2)
    change = (run["g_s"][-1] - run["g_s"][0]).to_numpy() * MICRO
    good, bias = ~run["failed"].to_numpy(), run["bias_v"].to_numpy()
    edge = float(np.quantile(np.abs(change[good]), 0.995))
    bins = np.linspace(-edge, edge, 41).tolist()
    for sign, colour, name in ((1, REFERENCE, "positive"), (-1, CROSSBAR, "negative"), (0, "black", "at rest")):
        right.hist(
            change[good & (np.sign(bias) == sign)], bins=bins, histtype="step", density=True, color=colour, label=name
        )
    right.set(title="Change of each cell", xlabel="change over all conversions (µS)", ylabel="density (1/µS)")
    right.legend()


def _noise(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    step_s = float(run.attrs["interval_s"])
    trace = run["trace_s"].to_numpy()
    row, column = run["row"].to_numpy(), run["column"].to_numpy()
    noisy = has_telegraph(run)
    for k, colour in enumerate(colours(min(3, trace.shape[1]))):
        level = (trace[:, k] - trace[:, k].mean()) * MICRO
        left.plot(np.arange(len(level)) * step_s, level - 4 * k, "-", lw=0.4, color=colour, rasterized=True)
    left.set(title="Traces of the noisiest cells", xlabel="time (s)", ylabel="conductance − mean (µS), 4 µS apart")
    frequency = run["frequency_hz"].to_numpy()
    psd = run["psd"].to_numpy().astype(float) * MICRO**2
    quiet = ~noisy & ~run["failed"].to_numpy()
    if quiet.any():
        right.plot(frequency, psd[:, quiet].mean(axis=1), lw=0.8, color=GREY, label="other cells, mean")
    r, c = int(row[0]), int(column[0])
    right.plot(frequency, psd[:, r, c], lw=0.4, color=CROSSBAR, alpha=0.6)
    sigma, corner, white = (float(run[name][r, c]) for name in ("telegraph_s", "corner_hz", "white_s"))
    fit = 2 * step_s * (sigma**2 * spectrum_shape(frequency, corner, step_s) + white**2) * MICRO**2
    right.plot(frequency, fit, color=CROSSBAR, label=f"noisiest cell: corner {corner:.2g} Hz")
    if noisy.any():
        scale = float(np.mean(run["mean_s"].to_numpy()[noisy] * MICRO) ** 2)
        amplitude, exponent = fit_power_law(*noisy_spectrum(run))
        label = f"mean of {noisy.sum()} noisy cells: 1/f$^{{{exponent:.2f}}}$"
        right.plot(frequency, scale * amplitude / frequency**exponent, "--", color=REFERENCE, lw=1, label=label)
        right.plot(frequency, psd[:, noisy].mean(axis=1), lw=0.6, color=REFERENCE, alpha=0.7)
    right.set(title="Spectra", xscale="log", yscale="log", xlabel="frequency (Hz)", ylabel="PSD (µS²/Hz)")
    right.set_ylim(top=200 * right.get_ylim()[1])
    right.legend(loc="upper right")


CELLS: dict[str, tuple[tuple[float, float], Fill]] = {
    "forming": (WIDE_IN, _forming),
    "yield-map": (WIDE_IN, _yield_map),
    "endurance": (WIDE_IN, _endurance),
    "read-disturb": (WIDE_IN, _read_disturb),
    "noise": (WIDE_IN, _noise),
}
"""Size in inches and what fills it, by the name of the characterisation."""
