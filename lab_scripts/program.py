"""`xbar program`: conductances into an array by write-verify."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer
import xarray as xr

from calibration.characterise.experiment import programming_variables
from calibration.targets import PATTERNS
from calibration.write_verify import WriteVerifyConfig
from lab_scripts.board_choice import BoardChoice, CorrectionChoice
from lab_scripts.boards import (
    check_targets,
    failure_text,
    load_targets,
    program_array,
    say_failures,
    true_conductance_s,
)
from lab_scripts.console import Report
from lab_scripts.exits import OutsideBound
from lab_scripts.options import (
    Force,
    Json,
    Out,
    Vcd,
)
from lab_scripts.runs import RunFile


def program(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(help=f"Conductances in S (n_sl, n_bl) as .npy file, or a pattern: {', '.join(PATTERNS)}.")
    ],
    out: Out,
    *,
    at: BoardChoice,
    vcd: Vcd = None,
    correction: CorrectionChoice,
    min_yield: Annotated[
        float,
        typer.Option("--min-yield", min=0, max=1, help="Share of cells that must be programmed; less is exit code 1."),
    ] = 0.98,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Program an array by write-verify: g_target_s, g_read_s, cycles, failed over (sl, bl); on the mock g_true_s."""
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force)
    target_s = load_targets(target, at.board.shape)
    corrected = correction.load()
    # Targets are of cells, where a record tells them from their wires.
    record = corrected.calibration
    cells = record is not None and "bl.driver_ohm" in record.estimates
    config = WriteVerifyConfig(verify="cells" if cells else "products")
    check_targets(target_s, config)
    with at.open(report, run_file, corrected) as crossbar:
        result = program_array(crossbar, target_s, report, config)
        truth = true_conductance_s(crossbar)
        cycles, board_time_s = crossbar.cycles, crossbar.board_time_s

    asked = np.isfinite(target_s)
    failed = result.failure > 0
    grid = ("sl", "bl")
    variables = programming_variables(result)
    variables["failure"] = (grid, failure_text(result), {"long_name": "why it could not be programmed"})
    if truth is not None:
        variables["g_true_s"] = (grid, truth, {"units": "S", "long_name": "conductance that the mock's cells hold"})
    done = asked & ~failed
    statistics = {
        "yield": float(done.sum() / asked.sum()),
        "median_cycles": float(np.median(result.cycles[done])) if done.any() else float("nan"),
        "sigma_read_s": float((result.g_read_s - target_s)[done].std()) if done.any() else float("nan"),
        "board_cycles": cycles,
        "board_time_s": board_time_s,
    }
    if truth is not None and done.any():
        statistics["sigma_true_s"] = float((truth - target_s)[done].std())
        statistics["within_3.5_uS"] = float((np.abs(truth - target_s)[done] <= 3.5e-6).mean())
    run_file.write(xr.Dataset(variables, attrs=statistics), board=at.board_file)

    rows = [
        ("cells", f"{asked.sum()}"),
        ("programmed", f"{done.sum()} ({100 * statistics['yield']:.1f} %)"),
        ("median cycles", f"{statistics['median_cycles']:.0f}"),
        ("σ of read − target", f"{statistics['sigma_read_s'] * 1e6:.2f} µS"),
        ("board time", f"{board_time_s:.3g} s in {cycles} cycles"),
    ]
    if "sigma_true_s" in statistics:
        rows.insert(
            4,
            (
                "σ of truth − target",
                f"{statistics['sigma_true_s'] * 1e6:.2f} µS, {100 * statistics['within_3.5_uS']:.1f} % within ±3.5 µS",
            ),
        )
    report.table(f"{target} on {at.backend}, seed {at.seed}", ("", ""), rows)
    say_failures(report, result)
    report.say(str(out))
    failed_cells = [
        {"sl": c.sl, "bl": c.bl, "failure": c.failure.name.lower(), "reason": c.reason} for c in result.failures
    ]
    report.finish({"out": str(out), **statistics, "failed": failed_cells})
    if statistics["yield"] < min_yield:
        raise OutsideBound(
            f"yield = {100 * statistics['yield']:.1f} % is below --min-yield {100 * min_yield:g} %; see {out}"
        )
