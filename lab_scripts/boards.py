"""Programming a matrix into an array and saying what became of it, as several commands do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calibration.targets import PATTERNS, pattern
from calibration.write_verify import Snapshot, WriteVerifyConfig, WriteVerifyResult, checked_targets
from calibration.write_verify import program as write_verify
from drivers.connect import mock_board
from drivers.crossbar import Crossbar
from firmware_bridge.errors import LimitError
from lab_scripts.console import Report, Step
from lab_scripts.exits import InputError
from lab_scripts.live_events import tell_programmed, tell_read
from lab_scripts.options import at_corner, load_array

Matrix = NDArray[np.float64]


def program_array(
    crossbar: Crossbar, target_s: Matrix, report: Report, config: WriteVerifyConfig | None = None
) -> WriteVerifyResult:
    """Write-verify with a bar. `target_s` is NaN where a cell is left alone."""
    config = config or WriteVerifyConfig()
    check_targets(target_s, config)
    with report.task("Programming") as step:
        result = write_verify(crossbar, target_s, config=config, progress=lambda now: say_read(now, crossbar, step))
    tell_programmed(result)
    return result


def say_read(now: Snapshot, crossbar: Crossbar, step: Step, array: int = 0, arrays: int = 1) -> None:
    """A read of write-verify, for the bar and for who looks on."""
    step(now.cells_done, now.cells, f"cycle {now.cycle}" if arrays == 1 else f"array {array + 1} of {arrays}")
    tell_read(now, crossbar, array)


def load_targets(name: str, shape: tuple[int, int]) -> Matrix:
    """Targets (n_sl, n_bl) S of a pattern or an .npy file, NaN beyond it. Raises `FileError` or `InputError`."""
    matrix = pattern(name, shape) if name in PATTERNS else load_array(Path(name), "target")
    return at_corner(matrix, shape, f"target {name}")


def check_targets(target_s: Matrix, config: WriteVerifyConfig) -> None:
    """Raises `InputError` for targets outside the range of the device, before a board is opened."""
    try:
        checked_targets(target_s, target_s.shape, config)
    except LimitError as error:
        raise InputError(str(error)) from error


def true_conductance_s(crossbar: Crossbar) -> Matrix | None:
    """What the cells of a mock board really hold, (n_sl, n_bl) S, at its present time; None on any other board."""
    mock = mock_board(crossbar)
    return None if mock is None else mock.array.conductance_s(mock.array.now_s)


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
