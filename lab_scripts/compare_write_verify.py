"""`xbar compare-write-verify`: programming algorithms beside each other on the same devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Annotated

import typer
import xarray as xr

from calibration.algorithm_comparison import VARIANTS, Score, compare
from calibration.targets import PATTERNS
from calibration.write_verify import WriteVerifyConfig
from drivers.board import load_board
from drivers.connect import open_crossbar
from lab_scripts.boards import check_targets, load_targets
from lab_scripts.console import Report
from lab_scripts.exits import InputError
from lab_scripts.options import PAPER, Backend, BoardFile, Force, Json, Out, Seed, Vcd
from lab_scripts.runs import RunFile

ROWS: dict[str, Callable[[Score], str]] = {
    "programmed": lambda s: f"{100 * s.yield_:.1f} %",
    "median cycles per cell": lambda s: f"{s.median_cycles:.0f}",
    "pulses per cell": lambda s: f"{s.pulses:.1f}",
    "board time": lambda s: f"{s.board_time_s:.2f} s",
    "energy of the pulses": lambda s: f"{s.energy_j * 1e6:.2f} µJ",
    "disturb of cells left alone": lambda s: f"{s.disturb_s * 1e6:.2f} µS",
    "error: mean": lambda s: f"{s.mean_s * 1e6:+.2f} µS",
    "error: σ": lambda s: f"{s.sigma_s * 1e6:.2f} µS",
    "error: 1 in 100 beyond": lambda s: f"{s.tail_s * 1e6:.2f} µS",
    "within ±1.5 µS": lambda s: f"{100 * s.near:.1f} %",
    "after 1 h: σ": lambda s: f"{s.later_sigma_s * 1e6:.2f} µS",
    "after 1 h: within ±1.5 µS": lambda s: f"{100 * s.later_near:.1f} %",
}


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
    backend: Backend = "mock",
    vcd: Vcd = None,
    board_file: BoardFile = PAPER,
    seed: Seed = 0,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Compare write-verify algorithms: yield, pulses, board time, energy, disturb, σ, tails; each over (variant).

    On the mock each begins with the same chip; on a board each begins with what the one before has left.
    """
    report = Report(as_json=json_output)
    run_file = RunFile.open(context, out, force=force)
    board = load_board(board_file)
    target_s = load_targets(target, board.shape)
    check_targets(target_s, WriteVerifyConfig())
    for name in variants or ():
        if name not in VARIANTS:
            raise InputError(f"--variant {name} is unknown; there are: {', '.join(VARIANTS)}")
    chosen = {name: VARIANTS[name] for name in variants or VARIANTS}
    scores: dict[str, Score] = {}
    with report.task("Comparing") as step:
        scores.update(
            compare(
                lambda: open_crossbar(
                    backend, board=board, seed=seed, journal=run_file.next_journal(), vcd=run_file.next_waveform()
                ),
                target_s,
                chosen,
                progress=lambda cycle, done, total, _: step(done, total, f"cycle {cycle}"),
            )
        )
    run_file.write(
        xr.Dataset(
            {f.name: ("variant", [getattr(s, f.name) for s in scores.values()]) for f in fields(Score)},
            coords={"variant": list(scores)},
        ),
        board=board_file,
    )
    report.table(
        f"{target} on {backend}, seed {seed}",
        ("", *scores),
        [(name, *(show(score) for score in scores.values())) for name, show in ROWS.items()],
    )
    report.say(str(out))
    report.finish({"out": str(out), **{name: asdict(score) for name, score in scores.items()}})
