"""What LoRA wins back of an ESS that stuck cells, programming errors and drift take away."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from calibration.characterise.experiment import Number
from drivers.board import load_board
from lab_scripts.console import Step
from lab_scripts.options import PAPER
from lab_scripts.panels.panel import Panel
from lab_scripts.panels.style import CROSSBAR, GREY, REFERENCE

PAPERS_SIGMA_S, PAPERS_TIME_S = 0.54e-6, 1e6
RECOVERED, SHARE = 0.9, 0.08
"""Bars: of the ESS that is lost, and of the weights that are trained."""


def calculate(seed: int, progress: Step) -> xr.Dataset:
    """The run of this panel."""
    from anf.studies.recovery import sweep

    return sweep(load_board(PAPER), seed, progress)


def _fill(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2, sharey=True)
    sigma, time = run["sigma"].to_numpy() * 1e6, run["time"].to_numpy()
    drawn = (
        (left, sigma, run["ess"], "stage", "sigma"),
        (right, np.maximum(time, 1.0), run["ess_later"], "time_stage", "time"),
    )
    for axes, x, ess, stages, dim in drawn:
        for stage, colour in zip(run[stages].to_numpy(), (REFERENCE, CROSSBAR), strict=True):
            at = ess.sel({stages: stage}).transpose(dim, "chip")
            axes.plot(x, at.mean("chip"), "-", color=colour, label=stage)
            axes.plot(x, at, "o", ms=3, mfc="none", color=colour)
        axes.axhline(run.attrs["ess_digital"], color=GREY, ls="--", lw=0.8, label="digital layers")
        axes.legend(loc="center right", fontsize=7)
    stuck = f"φ⁴ 6×6, λ = 5.5, {100 * run.attrs['stuck']:g} % stuck"
    left.set(title=stuck, xlabel="σ of programmed conductance (µS)", ylabel="ESS per proposal", ylim=(0, 1.02))
    right.set(title=f"{stuck}, σ = 0.54 µS", xlabel="s after programming (0 drawn at 1)", xscale="log")


def _numbers(run: xr.Dataset) -> list[Number]:
    digital, share = run.attrs["ess_digital"], run.attrs["share"]
    found = [
        Number("ESS, digital layers", digital),
        Number("trained, of all weights", 100 * share, "%", f"< {100 * SHARE:g} %", share < SHARE),
    ]
    for sigma in run["sigma"].to_numpy():
        at = run["ess"].sel(sigma=sigma)
        before, after = (at.sel(stage=stage) for stage in run["stage"].to_numpy())
        label = f"σ = {1e6 * sigma:g} µS"
        found += _recovered(label, digital, before, after, judged=bool(np.isclose(sigma, PAPERS_SIGMA_S)))
    for time in run["time"].to_numpy():
        at = run["ess_later"].sel(time=time)
        kept, again = (at.sel(time_stage=stage) for stage in run["time_stage"].to_numpy())
        found.append(_ess(f"{time:g} s, adapted at once: ESS", kept))
        found.append(_ess(f"{time:g} s, adapted again: ESS", again))
    start, end = (run["ess_later"].sel(time_stage="adapted again", time=time) for time in (0.0, PAPERS_TIME_S))
    ratio = float(end.mean() / start.mean())
    found.append(Number("adapted again after 10⁶ s, over at once", ratio, "", f"≥ {RECOVERED:g}", ratio >= RECOVERED))
    return found


def _recovered(label: str, digital: float, before: xr.DataArray, after: xr.DataArray, *, judged: bool) -> list[Number]:
    """Mean ESS before and after, and what part of the loss of the mean is won back."""
    part = 1 - (digital - float(after.mean())) / (digital - float(before.mean()))
    bar = (f"≥ {RECOVERED:g}", part >= RECOVERED) if judged else ("", None)
    return [
        _ess(f"{label}, as programmed: ESS", before), _ess(f"{label}, adapted: ESS", after),
        Number(f"{label}, of the loss won back", part, "", *bar),
    ]  # fmt: skip


def _ess(name: str, values: xr.DataArray) -> Number:
    return Number(name, float(values.mean()), "", "chips " + ", ".join(f"{v:.3f}" for v in values.to_numpy()))


RECOVERY = Panel("recovery", "", "xbar figure recovery", (7.2, 2.9), _fill, _numbers)
