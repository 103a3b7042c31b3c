"""`xbar mvm`: a matrix times vectors on an array, beside the exact product."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import xarray as xr

from calibration.write_verify import WriteVerifyConfig
from lab_scripts.board_choice import BoardChoice, CorrectionChoice
from lab_scripts.boards import check_targets, program_array, say_failures
from lab_scripts.console import Report
from lab_scripts.exits import InputError
from lab_scripts.live_events import tell_products
from lab_scripts.options import (
    Force,
    Json,
    Out,
    Vcd,
    at_corner,
    load_array,
)
from lab_scripts.runs import RunFile


def mvm(
    context: typer.Context,
    weights: Annotated[
        Path, typer.Option("--weights", help="Conductances in S, .npy (n_sl, n_bl); placed at the corner of the array.")
    ],
    inputs: Annotated[Path, typer.Option("--inputs", help="Input voltages in V, .npy (n, n_bl).")],
    out: Out,
    *,
    at: BoardChoice,
    vcd: Vcd = None,
    correction: CorrectionChoice,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Program a matrix and multiply vectors by it: result_a, ideal_a, adc_code over (vector, sl)."""
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force)
    board = at.board
    matrix, vectors = load_array(weights, "--weights"), load_array(inputs, "--inputs")
    target_s = at_corner(matrix, board.shape, f"--weights {weights}")
    n_sl, n_bl = matrix.shape
    if vectors.shape[1] != n_bl:
        raise InputError(
            f"--inputs {inputs}: has shape {vectors.shape}; --weights {weights} has {n_bl} bit lines: needs (n, {n_bl})"
        )
    worst, limit = float(np.abs(vectors).max()), board.levels.input_v
    if worst > limit:
        raise InputError(
            f"--inputs {inputs}: largest |voltage| = {worst:g} V is above {limit:g} V (levels.input_v of board "
            f"{board.name}); scale the inputs"
        )
    check_targets(target_s, WriteVerifyConfig())
    corrected = correction.load()
    with at.open(report, run_file, corrected) as crossbar:
        result = program_array(crossbar, target_s, report)
        volts = np.zeros((len(vectors), board.shape[1]))
        volts[:, :n_bl] = vectors
        readout = crossbar.measure(volts)
    ideal = vectors @ matrix.T
    got = readout.current_a[:, :n_sl]
    tell_products(f"{n_sl}×{n_bl}, {len(vectors)} vectors", ideal, got)
    error_rms = float(np.sqrt(np.mean((got - ideal) ** 2)))
    cost = {"cycles": readout.cycles, "board_time_s": readout.board_time_s}
    statistics = {
        **cost,
        "error_rms_a": error_rms,
        "ideal_rms_a": float(np.sqrt(np.mean(ideal**2))),
        "cells_failed": int((result.failure > 0).sum()),
    }
    grid = ("vector", "sl")
    run_file.write(
        xr.Dataset(
            {
                "result_a": (grid, got, {"units": "A", "long_name": "source-line current, zero-input offset removed"}),
                "ideal_a": (grid, ideal, {"units": "A", "long_name": "weights times inputs, exact"}),
                "adc_code": (grid, readout.adc_code[:, :n_sl], {"units": "1", "long_name": "raw code of the ADC"}),
                "input_v": (
                    ("vector", "bl"),
                    vectors,
                    {"units": "V", "long_name": "bit-line voltage over the common mode"},
                ),
                "failed": (
                    ("sl", "bl"),
                    result.failure[:n_sl, :n_bl] > 0,
                    {"long_name": "could not be programmed"},
                ),
                "g_target_s": (("sl", "bl"), matrix, {"units": "S", "long_name": "target conductance"}),
                "g_read_s": (
                    ("sl", "bl"),
                    result.g_read_s[:n_sl, :n_bl],
                    {"units": "S", "long_name": "conductance read after programming"},
                ),
            },
            attrs=statistics,
        ),
        board=at.board_file,
    )
    report.table(
        f"{n_sl}×{n_bl} on {at.backend}, {len(vectors)} vectors", ("", ""),
        [
            ("rms current", f"{statistics['ideal_rms_a'] * 1e6:.3f} µA"),
            ("rms error", f"{error_rms * 1e6:.3f} µA"),
            ("board time", f"{readout.board_time_s * 1e3:.3f} ms in {readout.cycles} cycles"),
        ],
    )  # fmt: skip
    say_failures(report, result)
    report.say(str(out))
    report.finish({"out": str(out), **statistics})
