"""Panels g, h and i of Figs 3 and 4: weights and MACs, time, energy, beside what the paper prints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from calibration.characterise.experiment import Number, variable
from lab_scripts.console import Step
from lab_scripts.panels.panel import Panel
from lab_scripts.panels.style import ACCENT, CROSSBAR, GREY, REFERENCE

SIZE_IN = (7.2, 2.7)
COLOURS = (GREY, CROSSBAR, ACCENT)
"""Of the readings, in their order."""


def _calculate(action: str, seed: int, progress: Step) -> xr.Dataset:
    """Counts and estimates of the paper's lattices of `action`, in each reading."""
    from anf.arrays.counting import totals
    from anf.arrays.performance import READINGS
    from anf.arrays.published import PUBLISHED

    rows = [p for p in PUBLISHED if p.action == action]
    lattice, both = ("lattice",), ("lattice", "reading")
    weights = [totals(p.mixer.count("physical")) for p in rows]
    counts = [[totals(p.mixer.count(r.transposed)) for r in READINGS] for p in rows]
    estimates = [[r.of(p.mixer) for r in READINGS] for p in rows]
    progress(1, 1)
    printed = {
        "weights_percent": "analog weights, printed",
        "macs_percent": "analog MACs, printed",
        "speedup": "speed-up, printed",
        "efficiency": "MACs per joule against digital, printed",
    }
    estimated = {
        "time_s": ("s", "time of a configuration, hybrid, on 1 mm²"),
        "digital_only_s": ("s", "time of a configuration, digital only, on 1 mm²"),
        "cells_j": ("J", "energy of a configuration: cells"),
        "periphery_j": ("J", "energy of a configuration: DACs, amplifiers, ADCs"),
        "lora_j": ("J", "energy of a configuration: digital LoRA"),
        "digital_only_j": ("J", "energy of a configuration, digital only"),
        "speedup": ("1", "speed-up"),
        "efficiency": ("1", "MACs per joule against digital"),
    }
    return xr.Dataset(
        {f"printed_{k}": variable(lattice, [getattr(p, k) for p in rows], "1", v) for k, v in printed.items()}
        | {
            "analog_weights": variable(lattice, [t.weights for t in weights], "1", "weights in arrays"),
            "lora_weights": variable(lattice, [t.lora_weights for t in weights], "1", "weights of LoRA"),
            "analog_macs": variable(both, [[t.macs for t in row] for row in counts], "1", "MACs in arrays"),
            "lora_macs": variable(both, [[t.lora_macs for t in row] for row in counts], "1", "MACs of LoRA"),
        }
        | {
            k: variable(both, [[getattr(e, k) for e in row] for row in estimates], unit, text)
            for k, (unit, text) in estimated.items()
        },
        coords={"lattice": [f"L = {p.side}" for p in rows], "reading": [r.name for r in READINGS]},
        attrs={f"assumptions: {r.name}": r.assumed.model_dump_json() for r in READINGS},
    )


def _percent(analog: xr.DataArray, lora: xr.DataArray) -> xr.DataArray:
    return 100 * analog / (analog + lora)


def _counts(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    counted = run["reading"].to_numpy()[0]
    for axes, analog, lora, printed, title in (
        (left, run["analog_weights"], run["lora_weights"], "printed_weights_percent", "Weights"),
        (
            right, run["analog_macs"].sel(reading=counted), run["lora_macs"].sel(reading=counted),
            "printed_macs_percent", "MACs of a configuration",
        ),
    ):  # fmt: skip
        x = np.arange(run.sizes["lattice"])
        axes.bar(x - 0.2, analog, 0.4, color=CROSSBAR, label="analog")
        axes.bar(x + 0.2, lora, 0.4, color=REFERENCE, label="digital LoRA")
        for i, share in enumerate(_percent(analog, lora).to_numpy()):
            text = f"{share:.1f} %\n(paper {run[printed].to_numpy()[i]:.1f})"
            axes.text(i, 1.3 * float(analog[i]), text, ha="center", fontsize=7)
        axes.set(title=title, yscale="log", xticks=x, xticklabels=run["lattice"].to_numpy())
        axes.set_ylim(top=30 * float(analog.max()))
    right.legend(loc="upper left", ncols=2)


def _times(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    literal = run.isel(reading=0)
    x = np.arange(run.sizes["lattice"])
    left.bar(x - 0.2, literal["digital_only_s"] * 1e6, 0.4, color=REFERENCE, label="digital only")
    left.bar(x + 0.2, literal["time_s"] * 1e6, 0.4, color=CROSSBAR, label="hybrid")
    left.set(
        title="Time of a configuration, the text literally", ylabel="µs on 1 mm²", yscale="log",
        xticks=x, xticklabels=run["lattice"].to_numpy(),
    )  # fmt: skip
    left.legend()
    _factors(right, run, "speedup", "printed_speedup", "Speed-up")


def _energies(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    n = run.sizes["reading"]
    x = np.arange(run.sizes["lattice"])
    for k in range(n):
        at = run.isel(reading=k)
        bottom = np.zeros(len(x))
        for name, colour, label in (
            ("cells_j", CROSSBAR, "cells"), ("periphery_j", ACCENT, "DAC, TIA, ADC"), ("lora_j", REFERENCE, "LoRA")
        ):  # fmt: skip
            share = (at[name] / at["digital_only_j"]).to_numpy() * 100
            left.bar(
                x + (k - (n - 1) / 2) * 0.27, share, 0.25, bottom, color=colour, label=None if k else label
            )  # fmt: skip
            bottom += share
    left.axhline(100, color=GREY, ls="--", lw=0.8)
    left.set(title="Energy, " + ", ".join(run["reading"].to_numpy()), ylabel="% of digital only", xticks=x,
             xticklabels=run["lattice"].to_numpy())  # fmt: skip
    left.set_ylim(top=1.3 * left.get_ylim()[1])
    left.legend(ncols=3, loc="upper left", columnspacing=1)
    _factors(right, run, "efficiency", "printed_efficiency", "MACs per joule against digital only")


def _factors(axes: Axes, run: xr.Dataset, name: str, printed: str, title: str) -> None:
    x, n = np.arange(run.sizes["lattice"]), run.sizes["reading"]
    for k, reading in enumerate(run["reading"].to_numpy()):
        axes.bar(x + (k - (n - 1) / 2) * 0.27, run[name].isel(reading=k), 0.25, color=COLOURS[k], label=reading)
    for i, value in enumerate(run[printed].to_numpy()):
        axes.plot([i - 0.45, i + 0.45], [value, value], color="black", lw=1.2, label=None if i else "paper")
    axes.axhline(1, color=GREY, lw=0.6)
    axes.set(title=title, yscale="log", xticks=x, xticklabels=run["lattice"].to_numpy())
    axes.set_ylim(top=8 * float(max(run[name].max(), run[printed].max())))
    axes.legend(ncols=2, loc="upper left", columnspacing=1)


def _count_numbers(run: xr.Dataset) -> list[Number]:
    found = []
    for what, analog, lora, printed in (
        ("weights", run["analog_weights"], run["lora_weights"], run["printed_weights_percent"]),
        ("MACs", run["analog_macs"][:, 0], run["lora_macs"][:, 0], run["printed_macs_percent"]),
    ):
        share = _percent(analog, lora)
        for lattice in run["lattice"].to_numpy():
            value, bar = float(share.sel(lattice=lattice)), float(printed.sel(lattice=lattice))
            found.append(Number(f"{lattice}, analog {what}", value, "%", f"{bar:g} ± 0.15 %", abs(value - bar) < 0.15))
    return found


def _factor_numbers(name: str, text: str, run: xr.Dataset) -> list[Number]:
    return [
        Number(
            f"{lattice}, {text}, {reading}",
            float(run[name].sel(lattice=lattice, reading=reading)),
            "",
            f"paper {float(run[f'printed_{name}'].sel(lattice=lattice)):g}",
        )
        for lattice in run["lattice"].to_numpy()
        for reading in run["reading"].to_numpy()
    ]


def _panels() -> list[tuple[Panel, Callable[[int, Step], xr.Dataset]]]:
    kinds = (
        ("g", _counts, _count_numbers),
        ("h", _times, partial(_factor_numbers, "speedup", "speed-up")),
        ("i", _energies, partial(_factor_numbers, "efficiency", "MACs per joule")),
    )
    return [
        (
            Panel(
                f"performance-{action}", f"{number}{letter}", f"xbar figure {number}{letter}", SIZE_IN, fill, numbers
            ),
            partial(_calculate, action),
        )
        for number, action in ((3, "phi4"), (4, "graphene"))
        for letter, fill, numbers in kinds
    ]


PERFORMANCE = _panels()
"""Panels, each with what calculates its run. Those of one action share a run."""
