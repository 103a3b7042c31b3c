"""Panels b to e of Fig. 3, and S3: φ⁴ by HMC and by flows, beside the paper's claims and stronger baselines."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibration.characterise.experiment import Number
from lab_scripts.panels.panel import Panel
from lab_scripts.panels.style import ACCENT, CROSSBAR, GREY, REFERENCE

WIDE_IN = (7.2, 2.9)
TALL_IN = (7.2, 5.2)
PANEL_IN = (3.8, 2.9)
PAPER_TAU = {4: (9.9, 2.1), 24: (23.34, 2.8)}
"""τ_int of the signed M by side: HMC, co-design (paper, Fig. 3b)."""
NO_FLOW = "L = {L}: no flow is shipped, or its chains are not converged"
PAPER_WIRE = "paper 13.9"
"""The same ratio for the wire; the paper says neither on which lattice nor of which observable."""
PURPLE, YELLOW = "#CC79A7", "#E69F00"
SAMPLER_COLOURS = {
    "HMC": REFERENCE, "HMC + symmetry": ACCENT, "HMC, Fourier": PURPLE, "HMC + cluster": GREY,
    "HMC, even half": YELLOW, "flow + MH": CROSSBAR,
}  # fmt: skip


def side_colours(n: int) -> list[Any]:
    """A colour for each lattice, from small to large."""
    return list(mpl.colormaps["viridis"](np.linspace(0.05, 0.85, n)))


def _autocorrelation(figure: Figure, run: xr.Dataset) -> None:
    rows = figure.subplots(2, run.sizes["case"], squeeze=False)
    for row, name, title, lags in ((rows[0], "M", "Signed M", 60), (rows[1], "abs_M", "|M|", 25)):
        for axes, case in zip(row, run["case"].to_numpy(), strict=True):
            at = run.sel(case=case)
            for sampler in run["sampler"].to_numpy():
                rho = at["rho"].sel(sampler=sampler, observable=name).to_numpy()[:lags]
                if np.isnan(rho).all():
                    axes.plot([], [], color=SAMPLER_COLOURS[sampler], label=f"{sampler}: none is shipped")
                    continue
                tau = float(at["tau_int"].sel(sampler=sampler, observable=name))
                axes.plot(rho, color=SAMPLER_COLOURS[sampler], label=f"{sampler}, τ = {tau:.2f}")
            axes.axhline(0, color=GREY, lw=0.6)
            axes.set(
                title=f"{title}, {case}", xlabel="Markov steps", ylabel="autocorrelation ρ", xlim=(0, lags - 1),
                ylim=(-0.06, 1.02),
            )  # fmt: skip
            if name == "M":
                claims = PAPER_TAU[int(at["L"])]
                text = f"paper: HMC {claims[0]:g}\nco-design {claims[1]:g}"
                axes.text(0.98, 0.32, text, transform=axes.transAxes, ha="right", color=GREY)
            axes.legend(loc="upper right", borderaxespad=0)


def sampler_numbers(run: xr.Dataset) -> list[Number]:
    """τ_int of all observables by each sampler and independent |M| and S per CPU second; the paper's τ beside M."""
    from anf.studies.samplers import FLOW, HMC, break_even, rates

    rate = rates(run)
    found = []
    for case in run["case"].to_numpy():
        at, L = run.sel(case=case), int(run["L"].sel(case=case))
        for sampler in run["sampler"].to_numpy():
            one = at.sel(sampler=sampler)
            if np.isnan(one["tau_int"]).all():
                continue
            for name in run["observable"].to_numpy():
                bar = "" if int(one["converged"]) else "chains not converged"
                if name == "M" and at["case"].item().startswith("phi4") and L in PAPER_TAU and sampler in (HMC, FLOW):
                    bar = f"paper {PAPER_TAU[L][sampler == FLOW]:g}{', ' if bar else ''}{bar}"
                tau = float(one["tau_int"].sel(observable=name))
                found.append(Number(f"{case}, {sampler}: τ_int of {LABELS[name]}", tau, "", bar))
            for name in ("abs_M", "S"):
                value = float(rate.sel(case=case, sampler=sampler, observable=name))
                found.append(Number(f"{case}, {sampler}: independent {LABELS[name]}", value, "/CPU s"))
        tau_m = at["tau_int"].sel(observable="M")
        if not np.isnan(tau_m.sel(sampler=FLOW)):
            ratio = float(tau_m.sel(sampler=HMC) / tau_m.sel(sampler=FLOW))
            bar = PAPER_WIRE
            if case.startswith("phi4"):
                bar = f"paper {PAPER_TAU[L][0] / PAPER_TAU[L][1]:.2g}" if L in PAPER_TAU else ""
            found.append(Number(f"{case}: τ_int of M, HMC over flow", ratio, "", bar))
        for name in ("abs_M", "S"):
            value = float(break_even(run, name).sel(case=case))
            found.append(Number(f"{case}: training paid for after independent {LABELS[name]}", value))
    return found


def _rates(figure: Figure, run: xr.Dataset) -> None:
    from anf.studies.samplers import rates

    rate = rates(run)
    samplers = run["sampler"].to_numpy()
    x = np.arange(run.sizes["case"])
    cases = [
        case.partition(",")[0].replace("phi4", "φ⁴").replace("graphene", "wire") for case in run["case"].to_numpy()
    ]
    for axes, name in zip(figure.subplots(2, 1, sharex=True), ("abs_M", "S"), strict=True):
        for k, sampler in enumerate(samplers):
            values = rate.sel(sampler=sampler, observable=name).to_numpy()
            axes.bar(
                x + (k - (len(samplers) - 1) / 2) * 0.14, values, 0.13, color=SAMPLER_COLOURS[sampler], label=sampler
            )  # fmt: skip
        axes.set(
            title=f"Independent values of {LABELS[name]}", yscale="log", ylabel="per CPU second", xticks=x,
            xticklabels=cases,
        )  # fmt: skip
    figure.axes[0].legend(ncols=6, loc="lower left", bbox_to_anchor=(0, 1.12), columnspacing=0.8, handlelength=1.2)


LABELS = {"M": "M", "abs_M": "|M|", "M2": "M²", "S": "S"}


def _along_lambda(figure: Figure, run: xr.Dataset, name: str, title: str, label: str) -> None:
    axes = figure.add_subplot()
    for L, colour in zip(run["L"].to_numpy(), side_colours(run.sizes["L"]), strict=True):
        at = run.sel(L=L)
        axes.plot(run["lam"], at[name].sel(kind="HMC"), "-", color=colour, lw=1.2, label=f"L = {L}")
        for kind, marker, shift in (("HMC", "_", 0.0), ("flow + MH", "o", 0.0)):
            axes.errorbar(
                run["lam"] + shift, at[name].sel(kind=kind), at[f"{name}_error"].sel(kind=kind), fmt=marker, ms=4,
                mfc="none", color=colour, lw=0.8,
            )  # fmt: skip
    axes.plot([], [], "-", color=GREY, label="HMC")
    axes.plot([], [], "o", mfc="none", color=GREY, label="flow + MH")
    axes.set(title=title, xlabel="λ", ylabel=label)
    axes.legend(ncols=2)


def _energy(figure: Figure, run: xr.Dataset) -> None:
    _along_lambda(figure, run, "E", "Ising energy, φ⁴", "E")


def _length(figure: Figure, run: xr.Dataset) -> None:
    _along_lambda(figure, run, "xi", "Correlation length (eq 27), φ⁴", "ξ")


def _agreement(run: xr.Dataset, name: str, text: str) -> list[Number]:
    """The largest pull of flow against HMC on each lattice, over all λ."""
    from anf.studies.common import FLOW, REWEIGHTED, pulls

    found = []
    for L in run["L"].to_numpy():
        at = run.sel(L=L)
        for kind in (FLOW, REWEIGHTED):
            values = pulls(at, name, kind).to_numpy()
            if not np.isnan(values).all():
                worst = float(np.nanmax(np.abs(values)))
                found.append(Number(f"L = {L}: {text}, {kind} against HMC, worst λ", worst, "σ", "≤ 3 σ", worst <= 3.0))
        error = float((at[f"{name}_error"] / at[name]).sel(kind="HMC").max())
        found.append(Number(f"L = {L}: {text}, largest relative error of HMC", 100 * error, "%"))
        if not np.isnan(at["ess"]).all():
            found.append(Number(f"L = {L}: smallest ESS along λ", float(at["ess"].min())))
        else:
            found.append(Number(NO_FLOW.format(L=L), float("nan")))
        for chains, which in enumerate(("HMC", "flow")):
            bad = int((at["problems"].isel(chains=chains) != "").sum())
            if bad:
                found.append(Number(f"L = {L}: λ at which chains of {which} are not converged", bad, "", "0", False))
    return found


def _energy_numbers(run: xr.Dataset) -> list[Number]:
    return _agreement(run, "E", "E")


def _length_numbers(run: xr.Dataset) -> list[Number]:
    return _agreement(run, "xi", "ξ") + _agreement(run, "xi_2nd", "second-moment ξ")


def _errors(figure: Figure, run: xr.Dataset) -> None:
    for axes, L in zip(figure.subplots(1, run.sizes["L"], squeeze=False)[0], run["L"].to_numpy(), strict=True):
        at = run.sel(L=L)
        for kind, colour, shift in (("HMC", REFERENCE, 0.88), ("flow + MH", CROSSBAR, 1.14)):
            errors = at["error"].sel(kind=kind).to_numpy()
            if np.isnan(errors).all():
                continue
            positions = run["count"].to_numpy() * shift
            _boxes(axes, errors, positions, colour, kind)
            spread = at["chi2"].sel(kind=kind).std("repeat", ddof=1)
            axes.plot(positions, spread, "x", ms=4, color=colour)
        axes.plot([], [], "x", color=GREY, label="spread of the ten")
        axes.set(
            title=f"χ₂, φ⁴ {L}×{L}, λ = 5", xscale="log", yscale="log", xlabel="configurations", ylabel="error of χ₂"
        )
        axes.legend()


def _boxes(axes: Axes, errors: np.ndarray, positions: np.ndarray, colour: str, label: str) -> None:
    axes.boxplot(
        list(errors), positions=positions, widths=0.2 * positions, manage_ticks=False, showfliers=True,
        boxprops={"color": colour}, whiskerprops={"color": colour}, capprops={"color": colour},
        medianprops={"color": colour}, flierprops={"marker": ".", "ms": 3, "mec": colour},
    )  # fmt: skip
    axes.plot(positions, np.median(errors, axis=1), "-", lw=0.8, color=colour, label=label)


def _error_numbers(run: xr.Dataset) -> list[Number]:
    found = []
    count = run["count"].to_numpy()
    for L in run["L"].to_numpy():
        for kind in run["kind"].to_numpy():
            at = run.sel(L=L, kind=kind)
            if np.isnan(at["error"]).all():
                found.append(Number(NO_FLOW.format(L=L), float("nan")))
                continue
            median = at["error"].median("repeat").to_numpy()
            slope = float(np.polyfit(np.log(count), np.log(median), 1)[0])
            ratio = float(at["chi2"].std("repeat", ddof=1)[-1] / median[-1])
            relative = 100 * float(median[-1] / at["chi2"][-1].mean())
            found += [
                Number(f"L = {L}, {kind}: error of χ₂ at {count[-1]}", relative, "%"),
                Number(f"L = {L}, {kind}: slope of log error", slope, "", "−½: independent draws"),
                # The standard deviation of ten is itself good to 24 %.
                Number(f"L = {L}, {kind}: spread of ten over error", ratio, "", "1 ± 0.72", abs(ratio - 1) < 0.72),
            ]
    return found


def _programming(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    sigma = run["sigma"].to_numpy() * 1e6
    for stage, colour in zip(run["stage"].to_numpy(), (REFERENCE, CROSSBAR), strict=True):
        ess = run["ess"].sel(stage=stage)
        axes.plot(sigma, ess.mean("chip"), "-", color=colour, label=stage)
        axes.plot(sigma, ess, "o", ms=3, mfc="none", color=colour)
    axes.axhline(run.attrs["ess_digital"], color=GREY, ls="--", lw=0.8, label="digital layers")
    axes.axvline(0.54, color=GREY, lw=0.6)
    axes.text(0.55, 0.03, "paper's σ", color=GREY)
    axes.set(
        title="Programming errors, φ⁴ 4×4, λ = 5.5", xlabel="σ of programmed conductance (µS)", ylabel="ESS",
        ylim=(0, 1.02),
    )  # fmt: skip
    axes.legend(loc="lower left")


def _programming_numbers(run: xr.Dataset) -> list[Number]:
    found = [Number("ESS, digital layers", run.attrs["ess_digital"])]
    for sigma in run["sigma"].to_numpy():
        for stage in run["stage"].to_numpy():
            ess = run["ess"].sel(sigma=sigma, stage=stage)
            found.append(
                Number(f"σ = {1e6 * sigma:g} µS, {stage}: ESS", float(ess.mean()), "", f"chips {_list(ess.to_numpy())}")
            )
    return [
        *found,
        Number("tuning of a chip", float(run["tuning_s"].mean()), "CPU s"),
        Number("LoRA's share of all weights", 100 * run.attrs["lora_share"], "%", "paper 4.0 to 7.1 %"),
    ]


def _list(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


AUTOCORRELATION = Panel(
    "autocorrelation", "3b", "xbar figure 3b", TALL_IN, _autocorrelation, sampler_numbers
)  # fmt: skip
ENERGY = Panel("phi4-lambda", "3c", "xbar figure 3c", PANEL_IN, _energy, _energy_numbers)
LENGTH = Panel("phi4-lambda", "3d", "xbar figure 3d", PANEL_IN, _length, _length_numbers)
ERRORS = Panel("chi2-errors", "3e", "xbar figure 3e", WIDE_IN, _errors, _error_numbers)
SAMPLERS = Panel("samplers", "", "xbar figure samplers", TALL_IN, _rates, sampler_numbers)
PROGRAMMING = Panel("programming-errors", "S3", "xbar figure S3", PANEL_IN, _programming, _programming_numbers)
