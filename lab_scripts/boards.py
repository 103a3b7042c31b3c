"""Programming a matrix into an array and saying what became of it, as several commands do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibration.write_verify import WriteVerifyConfig, WriteVerifyResult
from calibration.write_verify import program as write_verify
from drivers.crossbar import Crossbar
from firmware_bridge.mock.bridge import MockBridge
from lab_scripts.console import Report
from lab_scripts.exits import InputError

Matrix = NDArray[np.float64]


def program_array(
    crossbar: Crossbar, target_s: Matrix, report: Report, config: WriteVerifyConfig | None = None
) -> WriteVerifyResult:
    """Write-verify with a bar. `target_s` is NaN where a cell is left alone."""
    config = config or WriteVerifyConfig()
    check_targets(target_s, config)
    with report.task("Programming") as step:
        return write_verify(
            crossbar,
            target_s,
            config=config,
            progress=lambda cycle, done, total, _: step(done, total, f"cycle {cycle}"),
        )


def check_targets(target_s: Matrix, config: WriteVerifyConfig) -> None:
    """Raises `InputError` for targets outside the range of the device, before a board is opened."""
    low, high = config.range_s
    # NaN is a cell that is left alone.
    outside = np.argwhere((target_s < low) | (target_s > high)).tolist()
    if outside:
        sl, bl = outside[0]
        raise InputError(
            f"target of cell (SL {sl}, BL {bl}) = {target_s[sl, bl] * 1e6:g} µS is outside "
            f"{low * 1e6:g} … {high * 1e6:g} µS, the range that write-verify programs "
            f"({len(outside)} such cells); give targets in siemens within it"
        )


def true_conductance_s(crossbar: Crossbar) -> Matrix | None:
    """What the cells of a mock board really hold, (n_sl, n_bl) S, at its present time; None on any other board."""
    # Ground truth exists on the mock alone, so `Crossbar` has no name for it.
    bridge = crossbar._interlock.bridge
    return bridge.board.array.conductance_s(bridge.board.array.now_s) if isinstance(bridge, MockBridge) else None


def failure_text(result: WriteVerifyResult) -> NDArray[np.object_]:
    """Each cell's failure in words, (n_sl, n_bl); empty where there is none."""
    text = np.full(result.failure.shape, "", dtype=object)
    for cell in result.failures:
        text[cell.sl, cell.bl] = f"{cell.failure.name.lower()}: {cell.reason}"
    return text


def say_failures(report: Report, result: WriteVerifyResult) -> None:
    """A line for each cell that could not be programmed."""
    for cell in result.failures:
        report.say(str(cell))
