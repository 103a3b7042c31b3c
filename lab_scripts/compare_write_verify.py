"""`xbar compare-write-verify`: programming algorithms beside each other on the same devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated

import numpy as np
import typer
import xarray as xr

from calibration.algorithm_comparison import FAR_S, VARIANTS, Score, compare
from calibration.targets import PATTERNS
from calibration.write_verify import WriteVerifyConfig
from drivers.crossbar import Crossbar
from lab_scripts.board_choice import BoardChoice
from lab_scripts.boards import check_targets, load_targets
from lab_scripts.console import Report, with_error
from lab_scripts.exits import InputError
from lab_scripts.options import Force, Json, Out, Vcd
from lab_scripts.runs import RunFile

ROWS: dict[str, tuple[str, float]] = {
    "programmed (%)": ("yield_", 100),
    "median cycles per cell": ("median_cycles", 1),
    "pulses per cell": ("pulses", 1),
    "board time (s)": ("board_time_s", 1),
    "energy of the pulses (µJ)": ("energy_j", 1e6),
    "disturb, cells left alone (µS)": ("disturb_s", 1e6),
    "error: mean (µS)": ("mean_s", 1e6),
    "error: σ (µS)": ("sigma_s", 1e6),
    "error: 1 in 100 beyond (µS)": ("tail_s", 1e6),
    "within ±1.5 µS (%)": ("near", 100),
    "1 h later: σ (µS)": ("later_sigma_s", 1e6),
    "1 h later: 1 in 100 beyond (µS)": ("later_tail_s", 1e6),
    "1 h later: within ±1.5 µS (%)": ("later_near", 100),
}
"""Rows of the table: field of `Score`, factor to the unit."""
UNITS = {
    "board_time_s": "s", "energy_j": "J", "disturb_s": "S", "mean_s": "S", "sigma_s": "S", "tail_s": "S",
    "later_sigma_s": "S", "later_tail_s": "S",
}  # fmt: skip
"""Of those fields of `Score` that have one."""


def compare_write_verify(
    context: typer.Context,
    out: Out,
    target: Annotated[
        str, typer.Argument(help=f"Conductances in S (n_sl, n_bl) as .npy file, or a pattern: {', '.join(PATTERNS)}.")
    ] = "AI4S",
    variants: Annotated[
        list[str] | None,
        typer.Option("--variant", help="Only this one; may be given again.", show_default="all"),
    ] = None,
    chips: Annotated[
        int, typer.Option("--chips", min=1, max=1000, help="Mock chips, of seeds from --seed on; rounds on a board.")
    ] = 1,
    *,
    at: BoardChoice,
    vcd: Vcd = None,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Compare write-verify algorithms: yield, pulses, board time, energy, disturb, σ, tails; over (chip, variant).

    On the mock each begins with the same chips; on a board each begins with what the one before has left.
    """
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force)
    target_s = load_targets(target, at.board.shape)
    check_targets(target_s, WriteVerifyConfig())
    for name in variants or ():
        if name not in VARIANTS:
            raise InputError(f"--variant {name} is unknown; there are: {', '.join(VARIANTS)}")
    chosen = {name: VARIANTS[name] for name in variants or VARIANTS}
    seeds = range(at.seed, at.seed + chips)
    scores: dict[tuple[int, str], Score] = {}

    def open_(chip: int) -> Crossbar:
        return at.open(report, run_file, chip=chip)

    with run_file.keeping(board=at.board_file) as keep, report.task("Comparing") as step:
        for chip, name, score in compare(open_, target_s, seeds, chosen, step):
            scores[chip, name] = score
            run = _run(scores, seeds, list(chosen))
            keep(run)
    run_file.write(run, board=at.board_file)
    report.table(
        f"{target} on {at.backend}, "
        + (
            f"seed {at.seed}"
            if chips == 1
            else f"seeds {seeds[0]}–{seeds[-1]}: mean, and in brackets σ from chip to chip"
        ),
        ("", *chosen),
        [
            (label, *(_shown(run[name].sel(variant=variant).to_numpy() * factor) for variant in chosen))
            for label, (name, factor) in ROWS.items()
        ],
    )
    report.say(str(out))
    means = {
        variant: {f.name: float(run[f.name].sel(variant=variant).mean()) for f in fields(Score)} for variant in chosen
    }
    report.finish({"out": str(out), **means})


def _run(scores: Mapping[tuple[int, str], Score], chips: range, variants: list[str]) -> xr.Dataset:
    """Scores over (chip, variant); NaN where there is none yet."""
    named = {name: label.rpartition(" (")[0] or label for label, (name, _) in ROWS.items()}
    return xr.Dataset(
        {
            f.name: (
                ("chip", "variant"),
                [[getattr(scores.get((chip, name)), f.name, np.nan) for name in variants] for chip in chips],
                {"units": UNITS.get(f.name, "1"), "long_name": named.get(f.name, f"within ±{FAR_S * 1e6:g} µS")},
            )
            for f in fields(Score)
        },
        coords={"chip": list(chips), "variant": variants},
    )


def _shown(values: np.ndarray) -> str:
    spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return with_error(float(values.mean()), spread) if spread > 0 else f"{values.mean():.4g}"
