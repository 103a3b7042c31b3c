"""Panels b to e of Fig. 4: the graphene wire by HMC with shifts and by flows."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from calibration.characterise.experiment import Number
from lab_scripts.panels.panel import Panel
from lab_scripts.panels.phi4 import NO_FLOW, PANEL_IN, side_colours
from lab_scripts.panels.style import CROSSBAR, GREY, REFERENCE

GRID_IN = (7.2, 2.2)
HMC, FLOW = "HMC", "flow + MH"


def _distribution(figure: Figure, run: xr.Dataset) -> None:
    for axes, L in zip(figure.subplots(1, run.sizes["L"], squeeze=False)[0], run["L"].to_numpy(), strict=True):
        at = run.sel(L=L)
        edges = at["edges"].to_numpy()
        flow, hmc = (at["density"].sel(sampler=sampler).to_numpy() for sampler in (FLOW, HMC))
        if not np.isnan(flow).all():
            axes.stairs(flow, edges, fill=True, color=CROSSBAR, alpha=0.45, label=FLOW)
        axes.stairs(hmc, edges, color=REFERENCE, lw=1.2, label="HMC")
        axes.set(title=f"L = {L}", xlabel="mean field φ̄", yticks=[])
        axes.set_ylim(top=1.45 * np.nanmax(hmc))
        axes.legend(loc="upper left", handlelength=1.2)


def _correlator(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    for L, colour in zip(run["L"].to_numpy(), side_colours(run.sizes["L"]), strict=True):
        value, error = run["correlator"].sel(L=L), run["correlator_error"].sel(L=L)
        # Beyond this the points are noise about zero, which a logarithm cannot show.
        seen = value.sel(sampler=HMC) > 3 * error.sel(sampler=HMC)
        seen = seen.cumprod("t").astype(bool)
        axes.errorbar(
            run["t"], value.sel(sampler=HMC).where(seen), error.sel(sampler=HMC), color=colour, lw=1, label=f"L = {L}"
        )
        axes.errorbar(
            run["t"], value.sel(sampler=FLOW).where(seen), error.sel(sampler=FLOW), fmt="o", ms=4, mfc="none",
            color=colour, lw=0.8,
        )  # fmt: skip
    axes.plot([], [], "-", color=GREY, label="HMC")
    axes.plot([], [], "o", mfc="none", color=GREY, label=FLOW)
    axes.set(title="Two-point function, g = 1, u = 0.5", yscale="log", xlabel="t", ylabel="C(p = 0, t)")
    axes.legend(ncols=2)


def _field_numbers(run: xr.Dataset) -> list[Number]:
    from anf.studies.common import REWEIGHTED, pulls

    found = []
    for L in run["L"].to_numpy():
        at = run.sel(L=L)
        found.append(Number(f"L = {L}: ⟨|M|⟩ by HMC", float(at["abs_M"].sel(kind=HMC))))
        if np.isnan(at["ess"]):
            found.append(Number(NO_FLOW.format(L=L), float("nan")))
            continue
        found.append(Number(f"L = {L}: ESS", float(at["ess"])))
        for name, text in (("abs_M", "⟨|M|⟩"), ("chi2", "χ₂"), ("cos", "⟨cos⟩")):
            for kind in (FLOW, REWEIGHTED):
                pull = float(pulls(at, name, kind))
                found.append(Number(f"L = {L}: {text}, {kind} against HMC", pull, "σ", "within 3 σ", abs(pull) <= 3))
        p = float(at["p_value"])
        found.append(Number(f"L = {L}: p-value, same distribution of φ̄", p, "", "> 0.0027 (3 σ)", p > 0.0027))
    return found


def _correlator_numbers(run: xr.Dataset) -> list[Number]:
    found = []
    for L in run["L"].to_numpy():
        value, error = run["correlator"].sel(L=L), run["correlator_error"].sel(L=L)
        if np.isnan(value.sel(sampler=FLOW)).all():
            found.append(Number(NO_FLOW.format(L=L), float("nan")))
            continue
        pull = (value.sel(sampler=FLOW) - value.sel(sampler=HMC)) / np.hypot(
            *(error.sel(sampler=s) for s in (FLOW, HMC))
        )
        worst = float(np.abs(pull).max())
        found.append(Number(f"L = {L}: C(0, t), flow against HMC, worst t", worst, "σ", "≤ 3.5 σ", worst <= 3.5))
    return found


def _gaps(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    n = run.sizes["L"]
    for k, (L, colour) in enumerate(zip(run["L"].to_numpy(), side_colours(n), strict=True)):
        at, x = run.sel(L=L), run["u"].to_numpy() + 0.006 * (k - (n - 1) / 2)
        axes.errorbar(
            x, at["gap"].sel(sampler=HMC), at["gap_error"].sel(sampler=HMC), fmt="_", ms=7, color=colour, lw=1,
            label=f"L = {L}",
        )  # fmt: skip
        axes.errorbar(
            x, at["gap"].sel(sampler=FLOW), at["gap_error"].sel(sampler=FLOW), fmt="o", ms=4, mfc="none", color=colour,
            lw=0.8,
        )  # fmt: skip
    axes.plot([0], [run.attrs["free_gap"]], "*", ms=9, color="black", label="closed form", zorder=0)
    axes.plot([], [], "_", ms=7, color=GREY, label="HMC")
    axes.plot([], [], "o", mfc="none", color=GREY, label=FLOW)
    axes.set(title="Mass gap, g = 1", xlabel="u", ylabel="gap")
    axes.legend(ncols=2)


def _gap_numbers(run: xr.Dataset) -> list[Number]:
    found = []
    for L in run["L"].to_numpy():
        free = run.sel(L=L, u=0.0, sampler=HMC)
        pull = (float(free["gap"]) - run.attrs["free_gap"]) / float(free["gap_error"])
        found.append(Number(f"L = {L}: gap at u = 0 against 2 asinh(g/2√π)", pull, "σ", "within 3 σ", abs(pull) <= 3))
        for u in run["u"].to_numpy():
            at = run.sel(L=L, u=u)
            gap, error = at["gap"], at["gap_error"]
            known = f"± {float(error.sel(sampler=HMC)):.2g}"
            found.append(Number(f"L = {L}, u = {u:g}: gap by HMC", float(gap.sel(sampler=HMC)), "", known))
            if not np.isnan(gap.sel(sampler=FLOW)):
                pull = float((gap.sel(sampler=FLOW) - gap.sel(sampler=HMC)) / np.hypot(*error.to_numpy()))
                found.append(Number(f"L = {L}, u = {u:g}: flow against HMC", pull, "σ", "within 3 σ", abs(pull) <= 3))
        if np.isnan(run["ess"].sel(L=L)).all():
            found.append(Number(NO_FLOW.format(L=L), float("nan")))
    return found


def _condensate(figure: Figure, run: xr.Dataset) -> None:
    axes = figure.add_subplot()
    temperature = 1.0 / (run.attrs["g"] * run["time"].to_numpy())
    squares = 1.0 / (run.attrs["g"] * run["L"].to_numpy())
    axes.plot(temperature, run["free"], "--", color=GREY, lw=1, label="closed form, u = 0")
    for u, colour in zip(run["u"].to_numpy(), side_colours(run.sizes["u"]), strict=True):
        at = run.sel(u=u)
        axes.errorbar(
            temperature, at["condensate"].sel(kind=HMC), at["condensate_error"].sel(kind=HMC), fmt=".-", ms=4, lw=0.9,
            color=colour, label=f"u = {u:g}",
        )  # fmt: skip
        axes.errorbar(
            squares, at["square_condensate"].sel(kind=FLOW), at["square_condensate_error"].sel(kind=FLOW), fmt="o",
            ms=5, mfc="none", color=colour, lw=0.8,
        )  # fmt: skip
    axes.plot([], [], ".-", color=GREY, label=f"HMC, L × {run.attrs['space']}")
    axes.plot([], [], "o", mfc="none", color=GREY, label=f"{FLOW}, L × L")
    axes.set(title="Chiral condensate, g = 1", xlabel="T/g = 1/(L g)", ylabel="⟨ψ̄ψ⟩, O = √(32π)/g")
    axes.legend(ncols=2, loc="center", bbox_to_anchor=(0.45, 0.36))


def _condensate_numbers(run: xr.Dataset) -> list[Number]:
    from anf.studies.common import pulls

    free = run.sel(u=0.0)
    pull = (free["condensate"] - run["free"]) / free["condensate_error"]
    worst = float(np.abs(pull.sel(kind=HMC)).max())
    found = [Number("u = 0: HMC against the closed form, worst T", worst, "σ", "≤ 3 σ", worst <= 3)]
    for u in run["u"].to_numpy():
        for L in run["L"].to_numpy():
            at = run.sel(u=u, L=L)
            value = float(at["square_condensate"].sel(kind=HMC))
            found.append(Number(f"u = {u:g}, T/g = 1/{L}: ⟨ψ̄ψ⟩ by HMC", value))
            pull = float(pulls(at, "square_condensate"))
            if not np.isnan(pull):
                found.append(
                    Number(f"u = {u:g}, T/g = 1/{L}: flow against HMC", pull, "σ", "within 3 σ", abs(pull) <= 3)
                )
    for L in run["L"].to_numpy():
        if np.isnan(run["ess"].sel(L=L)).all():
            found.append(Number(NO_FLOW.format(L=L), float("nan")))
    return found


DISTRIBUTION = Panel("wire-fields", "4b", "xbar figure 4b", GRID_IN, _distribution, _field_numbers)
CORRELATOR = Panel("wire-fields", "4c", "xbar figure 4c", PANEL_IN, _correlator, _correlator_numbers)
GAPS = Panel("wire-gaps", "4d", "xbar figure 4d", PANEL_IN, _gaps, _gap_numbers)
CONDENSATE = Panel("wire-condensate", "4e", "xbar figure 4e", PANEL_IN, _condensate, _condensate_numbers)
