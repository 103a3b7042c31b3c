"""`xbar fit-device`: the mock's device model, fitted to what was measured of an array."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr

from calibration.device_fit import Fitted, fit_relaxation, fit_set_line
from drivers.board import load_board
from drivers.connect import load_mock
from firmware_bridge.mock.array_params import RelaxationParams, TransistorParams
from lab_scripts.console import Report
from lab_scripts.exits import InputError, bad_input
from lab_scripts.options import Force, Json
from lab_scripts.outputs import check_output, published
from lab_scripts.run_store import open_run

UNKNOWN = {
    "set-curve": "set_tau_s, set_decade_v, set_v: iv-sweeps at several widths. RESET's kinetics: amplitudes and widths "
    "from one level. transistor.on_slope_s_per_v: held, since reads do not tell it from the SET line",
    "retention": "relaxation.t0_s: held, since reads begin after it. retention: reads over many times "
    "retention.start_s. relaxation.step_scale_s: reads after steps of several sizes",
    "": "read_noise and telegraph: characterise noise. faults: characterise yield-map. forming: characterise forming. "
    "wires: a calibration. breakdown: the foundry",
}
"""What a kind of run cannot tell, and what would."""


def fit_device(
    runs: Annotated[list[Path], typer.Argument(help="Run files of `xbar characterise set-curve` and `retention`.")],
    out: Annotated[Path, typer.Option("--out", help="File for --mock to write: NAME.toml.")],
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Fit the mock's device model to measured runs, with uncertainties, into a file that --mock takes.

    What the runs cannot tell keeps the value of the model and is named. Standard uncertainties are statistical: those
    of a board that was not calibrated come on top.
    """
    report = Report(as_json=json_output)
    check_output(out, ".toml", force=force)
    fitted: dict[tuple[str, str], Fitted] = {}
    unknown = [UNKNOWN[""]]
    for path in runs:
        with open_run(path) as run:
            kind = str(run.attrs.get("characterisation", ""))
            with bad_input():
                found = _fit(report, run, kind, path)
        if twice := {(f.table, f.key) for f in found} & fitted.keys():
            raise InputError(f"{path}: a run before it gave {sorted(twice)[0][1]} already; give one of each kind")
        fitted |= {(f.table, f.key): f for f in found}
        unknown.append(UNKNOWN[kind])
    _write(out, list(fitted.values()), runs, force=force)
    report.table(
        "Device model", ("parameter", "value", "u (k = 1)", "unit", "fitted to"),
        [
            (f"{f.table.removeprefix('array.')}.{f.key}", f"{f.value:.4g}", f"{f.uncertainty:.2g}", f.unit, f.rests_on)
            for f in fitted.values()
        ],
    )  # fmt: skip
    report.say("Not told by these runs, and left as the model has it:")
    for text in unknown:
        report.say(f"  {text}")
    report.say(str(out))
    report.finish(
        {
            "out": str(out),
            "parameters": {
                f"{f.table}.{f.key}": {"value": f.value, "u": f.uncertainty, "unit": f.unit} for f in fitted.values()
            },
            "unknown": unknown,
        }
    )


def _fit(report: Report, run: xr.Dataset, kind: str, path: Path) -> tuple[Fitted, ...]:
    if kind == "retention":
        return fit_relaxation(run, RelaxationParams().t0_s)
    if kind != "set-curve":
        raise InputError(f"{path}: is a run of {kind or 'no characterisation'}; give set-curve and retention")
    with tempfile.TemporaryDirectory() as folder:
        board_file = Path(folder) / "board.toml"
        board_file.write_text(run.attrs["board"])
        board = load_board(board_file)
    line = fit_set_line(run, board, TransistorParams().on_slope_s_per_v)
    report.table(
        "SET line, mean over the cells, memristor alone", ("V_WL − V_SL", "measured", "fit"),
        [
            (f"{v:.2f} V", f"{1e6 * g:.2f} µS", f"{1e6 * fit:.2f} µS")
            for v, g, fit in zip(line.gate_v, line.measured_s, line.fit_s, strict=True)
        ],
    )  # fmt: skip
    return line.parameters


def _write(out: Path, fitted: list[Fitted], runs: list[Path], *, force: bool) -> None:
    lines = [
        f"# Fitted by `xbar fit-device` to {', '.join(path.name for path in runs)}; ± is one standard uncertainty."
    ]
    for table in dict.fromkeys(f.table for f in fitted):
        lines += ["", f"[{table}]"]
        lines += [f"{f.key} = {f.value:.6g}  # ± {f.uncertainty:.2g} {f.unit}" for f in fitted if f.table == table]
    with published(out, force=force) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        load_mock(partial)
