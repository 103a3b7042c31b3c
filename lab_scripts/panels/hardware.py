"""Panel f of Figs 3 and 4: effective sample size and an observable from hardware, from software, and from HMC."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from calibration.characterise.experiment import Number, variable
from drivers.board import load_board
from drivers.connect import open_crossbar
from lab_scripts.console import Step
from lab_scripts.panels.panel import Panel
from lab_scripts.panels.style import ACCENT, CROSSBAR, GREY, REFERENCE

LARGEST = 16
"""Boards that are opened; flows that need more arrays run on simulated ones."""
LATTICES = {
    "phi4": ({"m2": -4.0, "lam": 5.5}, ((4, 4096, 30), (6, 4096, 30), (12, 2048, 0), (24, 1024, 0))),
    "graphene": ({"g": 1.0, "u": 0.5}, ((6, 4096, 30), (12, 2048, 0), (24, 1024, 0), (48, 512, 0))),
}
"""Couplings; side, proposals, and steps of tuning (0: as programmed), by action."""
OBSERVABLE = {"phi4": ("chi2", "susceptibility χ₂"), "graphene": ("abs_M", "|M|")}
SOURCES = ("hardware", "software", "hmc")
IDENTITIES = ("virial", "zero_mode", "tadpole")
"""Exact at any coupling; the last is the wire's own."""
BOUND = 3.5
"""Differences in standard deviations that are within chance for the two dozen of a table."""


def _calculate(action: str, seed: int, progress: Step) -> xr.Dataset:
    """Every lattice of an action: on mock boards if they are few, else on simulated arrays."""
    from anf.arrays.hardware import Compared, compare
    from anf.arrays.mapped import map_flow
    from anf.arrays.tuning import Tuning
    from anf.lattice.actions import action_from_name
    from lab_scripts.flows import nearest_flow

    couplings, sizes = LATTICES[action]
    board, name, found = load_board(), OBSERVABLE[action][0], list[Compared]()
    on_boards, files = [], []
    for k, (side, proposals, steps) in enumerate(sizes):
        theory = action_from_name(action, (side, side), **couplings)
        path, flow, _ = nearest_flow(theory, None)
        flow.aim(theory)
        needed = map_flow(flow, board.shape).placement.n_arrays
        n = needed if needed <= LARGEST else 0
        with ExitStack() as stack:
            boards = [stack.enter_context(open_crossbar("mock", board=board, seed=seed + i)) for i in range(n)]
            found.append(
                compare(
                    flow, theory, board, boards, proposals=proposals,
                    tuning=Tuning(steps=steps) if steps else None, seed=seed,
                    progress=partial(_report, progress, k, len(sizes), side),
                )
            )  # fmt: skip
        on_boards.append(n > 0)
        files.append(path.name)
    lattice, both = ("lattice",), ("lattice", "source")
    values = [[getattr(c, s)[name] for s in SOURCES] for c in found]
    return xr.Dataset(
        {
            "ess_software": variable(lattice, [c.ess_software for c in found], "1", "ESS per proposal, digital layers"),
            "ess_untuned": variable(lattice, [c.ess_untuned for c in found], "1", "ESS per proposal, as programmed"),
            "ess_hardware": variable(lattice, [c.ess_hardware for c in found], "1", "ESS per proposal, after tuning"),
            "acceptance": variable(lattice, [c.acceptance for c in found], "1", "acceptance on hardware"),
            "patched": variable(lattice, [c.patched for c in found], "1", "share of weights added to digitally"),
            "value": variable(both, [[e.value for e in row] for row in values], "1", OBSERVABLE[action][1]),
            "error": variable(both, [[e.error for e in row] for row in values], "1", "error of it"),
            "pull": variable(lattice, [c.pull(name) for c in found], "1", "hardware − HMC over its error"),
            "identity": variable(
                ("lattice", "name"), [[c.identities.get(name, np.nan) for name in IDENTITIES] for c in found], "1",
                "identity on hardware: difference from the exact value over its error",
            ),
            "arrays": (lattice, np.array([c.arrays for c in found], np.int32), {"units": "1"}),
            "on_boards": (lattice, np.array(on_boards), {"long_name": "on mock boards, through the drivers"}),
            "board_time_s": variable(
                lattice, [c.board_time_s / size[1] for c, size in zip(found, sizes, strict=True)], "s",
                "board time of a proposal, summed over boards, as executed; 0 where simulated",
            ),
            "cells_j": variable(
                lattice, [c.cells_j / size[1] for c, size in zip(found, sizes, strict=True)], "J",
                "energy of a proposal in the cells, as executed; 0 where simulated",
            ),
        },
        coords={
            "lattice": [f"L = {side}" for side, _, _ in sizes], "source": list(SOURCES), "name": list(IDENTITIES),
        },
        attrs={"flows": ", ".join(files), "observable": OBSERVABLE[action][1]},
    )  # fmt: skip


def _report(progress: Step, k: int, n: int, side: int, what: str) -> None:
    progress(k, n, f"L = {side}: {what}")


def _fill(figure: Figure, run: xr.Dataset) -> None:
    left, right = figure.subplots(1, 2)
    x = np.arange(run.sizes["lattice"])
    bars = (
        ("ess_untuned", GREY, "hardware, as programmed"), ("ess_hardware", CROSSBAR, "hardware, LoRA at L ≤ 6"),
        ("ess_software", REFERENCE, "software"),
    )  # fmt: skip
    for k, (name, colour, label) in enumerate(bars):
        left.bar(x + (k - 1) * 0.27, run[name], 0.25, color=colour, label=label)
    where = ["on boards" if there else "simulated" for there in run["on_boards"].to_numpy()]
    ticks = [
        f"{lattice}\n{n} array{'s' * (int(n) > 1)}\n{place}"
        for lattice, n, place in zip(run["lattice"].to_numpy(), run["arrays"].to_numpy(), where, strict=True)
    ]
    left.set(title="Effective sample size", ylabel="ESS per proposal", xticks=x, ylim=(0, 1.35))
    left.set_xticklabels(ticks, fontsize=6)
    left.legend(loc="upper left", ncols=2)
    marks = (("hardware", CROSSBAR, "o"), ("software", ACCENT, "s"), ("hmc", "black", "D"))
    for k, (source, colour, mark) in enumerate(marks):
        at = run.sel(source=source)
        right.errorbar(
            x + (k - 1) * 0.18, at["value"], at["error"], fmt=mark, ms=4, capsize=2, lw=1, color=colour,
            label=source if source != "hmc" else "HMC",
        )  # fmt: skip
    right.set(title=run.attrs["observable"], xticks=x, xticklabels=run["lattice"].to_numpy(), ylim=(0, None))
    right.set_ylim(top=1.3 * right.get_ylim()[1])
    right.legend(loc="upper left", ncols=3)


def _numbers(run: xr.Dataset) -> list[Number]:
    found = []
    for lattice in run["lattice"].to_numpy():
        at = run.sel(lattice=lattice)
        side = int(lattice.split()[-1])
        ratio, bar = float(at["ess_hardware"] / at["ess_software"]), 0.9 if side <= 6 else 0.7
        met = ratio >= bar if side <= 12 else None
        found += [
            Number(f"{lattice}, ESS, software", float(at["ess_software"])),
            Number(f"{lattice}, ESS, hardware as programmed", float(at["ess_untuned"])),
            Number(f"{lattice}, ESS, hardware", float(at["ess_hardware"])),
            Number(f"{lattice}, weights added to digitally", 100 * float(at["patched"]), "%"),
            Number(f"{lattice}, ESS, hardware over software", ratio, "", "" if met is None else f"≥ {bar:g}", met),
            Number(f"{lattice}, acceptance on hardware", float(at["acceptance"])),
            _within(f"{lattice}, {run.attrs['observable']}, hardware − HMC", float(at["pull"])),
        ]  # fmt: skip
        found += [
            _within(f"{lattice}, {name} on hardware − exact", pull)
            for name, pull in zip(run["name"].to_numpy(), at["identity"].to_numpy(), strict=True)
            if np.isfinite(pull)
        ]
        if bool(at["on_boards"]):
            found += [
                Number(f"{lattice}, a proposal as executed, summed over boards", 1e3 * float(at["board_time_s"]), "ms"),
                Number(f"{lattice}, a proposal as executed, in the cells", 1e6 * float(at["cells_j"]), "µJ"),
            ]
    return found


def _within(name: str, pull: float) -> Number:
    return Number(name, pull, "σ", f"within ± {BOUND:g}", abs(pull) <= BOUND)


HARDWARE: list[tuple[Panel, Callable[[int, Step], xr.Dataset]]] = [
    (
        Panel(f"hardware-{action}", f"{number}f", f"xbar figure {number}f", (7.2, 2.9), _fill, _numbers),
        partial(_calculate, action),
    )
    for number, action in ((3, "phi4"), (4, "graphene"))
]
"""Panels, each with what calculates its run."""
