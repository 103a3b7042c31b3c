"""`xbar place`: which weight of a flow goes into which cell of which array, and what that will take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
import xarray as xr
from numpy.typing import NDArray

from drivers.board import load_board
from lab_scripts.console import Report
from lab_scripts.exits import FileError, InputError, bad_input
from lab_scripts.options import PAPER, BoardFile, Force, Json, Seed
from lab_scripts.outputs import check_output, published
from lab_scripts.runs import command_line

if TYPE_CHECKING:
    from anf.arrays.counting import LayerCount
    from anf.arrays.mapped import MappedFlow
    from anf.arrays.placement import Placement
    from anf.arrays.rehearsal import Rehearsal
    from anf.flows.flow import Flow


class MappingName(str, Enum):
    """How weights become conductances."""

    affine = "affine"
    reference = "reference"
    differential = "differential"


class ScalingName(str, Enum):
    """What shares a conductance per unit weight."""

    tile = "tile"
    output = "output"


def place(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="Flow file, or the name of a shipped one: phi4_L4.")],
    arrays: Annotated[int, typer.Option("--arrays", min=1, help="Arrays that there are.")] = 1,
    mapping: Annotated[
        MappingName,
        typer.Option("--mapping", help="A cell per weight, a reference line beside them, or pairs of cells."),
    ] = MappingName.affine,
    scaling: Annotated[
        ScalingName, typer.Option("--scaling", help="One conductance per unit weight for each tile, or each output.")
    ] = ScalingName.output,
    faults: Annotated[
        list[Path] | None,
        typer.Option(
            "--faults", help="Run of `xbar program` on an array whose failed cells to avoid; once per array, in order."
        ),
    ] = None,
    time_share: Annotated[
        bool, typer.Option("--time-share", help="Fill arrays several times if there are too few; otherwise an error.")
    ] = False,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="LAYER,ROW,COLUMN: say which cells hold this weight; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Plan to write: NAME.json.")] = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Picture to write: NAME.png, .pdf or .svg.")] = None,
    board_file: BoardFile = PAPER,
    seed: Seed = 0,
    force: Force = False,
    json_output: Json = False,
) -> None:
    """Plan where the weights of a flow go, show it, and estimate yield, time and energy by a rehearsal on mock boards.

    Nothing is programmed but mock boards. `xbar sample --plan` follows a plan.
    """
    report = Report(as_json=json_output)
    if out is not None:
        check_output(out, ".json", force=force)
    if picture is not None:
        if picture.suffix not in (".png", ".pdf", ".svg"):
            raise FileError(f"--picture {picture}: the name must end in .png, .pdf or .svg")
        check_output(picture, picture.suffix, force=force)
    board = load_board(board_file)
    known = [_faults(path, board.shape) for path in faults or []]
    from anf.arrays.counting import count
    from anf.arrays.mapped import map_flow
    from anf.arrays.rehearsal import rehearse
    from lab_scripts.flows import flow_named

    path, flow, _ = flow_named(model)
    with bad_input():
        mapped = map_flow(
            flow, board.shape, mapping=mapping.value, scaling=scaling.value, faults=known,
            max_arrays=None if time_share else arrays,
        )  # fmt: skip
    cells = [_where(text, mapped, flow) for text in where or []]
    layers = count(flow)
    with report.task("Rehearsal") as step:
        rehearsal = rehearse(flow, mapped, board, n_boards=arrays, seed=seed, progress=step)
    if out is not None:
        _write(out, mapped.placement, force=force)
    if picture is not None:
        from lab_scripts.panels.panel import run_id
        from lab_scripts.panels.placement import draw_placement
        from lab_scripts.panels.style import Origin

        origin = Origin(path.name, command_line(context), run_id(path))
        draw_placement(picture, mapped, flow, known, origin, force=force)

    _arrays_table(report, mapped, path.name)
    _tiles_table(report, mapped, layers)
    _estimate_table(report, mapped, layers, rehearsal, arrays)
    for answer in cells:
        held = ", ".join(
            f"array {array}, SL {sl}, BL {bl} at {g * 1e6:.2f} µS"
            for (array, sl, bl), g in zip(answer["cells"], answer["target_s"], strict=True)
        )
        report.say(f"{answer['weight']} = {answer['value']:.5g}: {held}")
    for written in (out, picture):
        if written is not None:
            report.say(str(written))
    report.finish({
        "model": str(path), "arrays": mapped.placement.n_arrays, "rounds": mapped.placement.rounds(arrays),
        "tiles": [asdict(t) for t in mapped.placement.tiles], "where": cells, "rehearsal": asdict(rehearsal),
        "out": str(out) if out else None, "picture": str(picture) if picture else None,
    })  # fmt: skip


def _write(out: Path, plan: Placement, *, force: bool) -> None:
    with published(out, force=force) as partial:
        plan.write(partial)


def _faults(path: Path, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Conductance of the cells that failed in a run of `xbar program`, NaN elsewhere."""
    try:
        with xr.open_dataset(path, engine="h5netcdf") as run:
            failed, g = run["failed"].to_numpy().astype(bool), run["g_read_s"].to_numpy()
    except (OSError, KeyError) as error:
        raise FileError(f"--faults {path}: not a run of xbar program ({error})") from error
    if failed.shape != shape:
        raise InputError(f"--faults {path}: is of an array of {failed.shape}, the board has {shape}")
    return np.where(failed, g, np.nan)


def _where(text: str, mapped: MappedFlow, flow: Flow) -> dict[str, Any]:
    """The cells of one weight."""
    from anf.arrays.mapped import base_weights

    layer, _, index = text.partition(",")
    try:
        row, column = map(int, index.split(","))
    except ValueError as error:
        raise InputError(f"--where {text}: write LAYER,ROW,COLUMN, counted from 0") from error
    weights = base_weights(flow)
    with bad_input():
        cells = mapped.placement.where(layer, row, column)
    targets = mapped.targets_s(weights)
    return {
        "weight": f"{layer}[{row}, {column}]", "value": float(weights[layer][row, column]),
        "cells": cells, "target_s": [float(targets[cell]) for cell in cells],
    }  # fmt: skip


def _lines(lines: Iterable[int]) -> str:
    """Line numbers as ranges: 0–3, 7."""
    runs: list[list[int]] = []
    for line in sorted(lines):
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)


def _arrays_table(report: Report, mapped: MappedFlow, name: str) -> None:
    plan = mapped.placement
    occupied = plan.occupied >= 0
    report.table(
        f"{name} in {plan.n_arrays} array{'s' * (plan.n_arrays > 1)} of {plan.shape[0]} × {plan.shape[1]}",
        ("array", "tiles", "weights", "cells", "full"),
        [
            (
                str(k), str(sum(t.array == k for t in plan.tiles)),
                str(sum(t.n_rows * t.n_columns for t in plan.tiles if t.array == k)),
                str(held.sum()), f"{100 * held.mean():.1f} %",
            )
            for k, held in enumerate(occupied)
        ],
    )  # fmt: skip


def _tiles_table(report: Report, mapped: MappedFlow, layers: tuple[LayerCount, ...]) -> None:
    vectors = {c.name: c.vectors for c in layers}
    report.table(
        "Tiles",
        ("layer", "weights", "array", "source lines", "bit lines", "vectors per configuration"),
        [
            (
                t.layer, f"[{t.row}:{t.outputs.stop}, {t.column}:{t.inputs.stop}]", str(t.array), _lines(t.sl),
                _lines(t.bl), str(vectors[t.layer]),
            )
            for t in mapped.placement.tiles
        ],
    )  # fmt: skip


def _estimate_table(
    report: Report, mapped: MappedFlow, layers: tuple[LayerCount, ...], rehearsal: Rehearsal, arrays: int
) -> None:
    from anf.arrays.counting import totals
    from anf.arrays.performance import CORRECTED, LITERAL, estimate

    counts, plan = totals(layers), mapped.placement
    rows = [
        ("weights in arrays, LoRA", f"{counts.weights}, {counts.lora_weights} ({100 * counts.analog_weights:.1f} %)"),
        ("MACs in arrays, LoRA", f"{counts.macs}, {counts.lora_macs} ({100 * counts.analog_macs:.1f} %)"),
        ("yield", f"{rehearsal.programmed} of {rehearsal.cells} cells"),
        ("error of programming, rms", f"{rehearsal.error_s * 1e6:.2f} µS"),
        ("pulses per cell", f"{rehearsal.pulses:.1f}"),
        ("time to program an array", f"{rehearsal.programming_s:.3g} s"),
        ("time of a product on the board", f"{rehearsal.vector_s * 1e6:.1f} µs"),
        ("time of a configuration", f"{rehearsal.elapsed_s * 1e3:.3g} ms"),
        ("  summed over boards", f"{rehearsal.board_s * 1e3:.3g} ms"),
        ("energy of a configuration, cells", f"{rehearsal.cells_j * 1e6:.3g} µJ"),
    ]
    if (rounds := plan.rounds(arrays)) > 1:
        rows.append((f"  reprogramming, {rounds} fillings a step", f"{rehearsal.reprogramming_s:.3g} s"))
    for reading in (LITERAL, CORRECTED):
        found = estimate(layers, reading.assumed)
        rows.append(
            (f"paper's estimate, {reading.name}", f"{found.time_s * 1e6:.3g} µs, {found.energy_j * 1e9:.3g} nJ")
        )
    report.table(f"Estimate, from {rehearsal.arrays} mock array{'s' * (rehearsal.arrays > 1)}", ("", ""), rows)
