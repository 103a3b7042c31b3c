"""What all characterisations share: parameters, cells, waiting, results and the numbers that are held against bars."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from calibration.write_verify import WriteVerifyResult, program
from drivers.crossbar import Crossbar
from firmware_bridge.errors import LimitError, ProtocolError

Array = NDArray[np.float64]
Progress = Callable[..., None]
"""progress(done, total, note="")."""

LONGEST_WAIT_S = 600.0
"""A longer wait is cut into pieces, so that somebody who interrupts it is heard, and a bar moves."""


@dataclass(frozen=True)
class Number:
    """A result in one number, `value` in `unit`; `bar` says what it is held against, `met` whether it holds.

    Without a bar `met` is None.
    """

    name: str
    value: float
    unit: str = ""
    bar: str = ""
    met: bool | None = None


def parameter(default: Any, text: str, low: float, high: float, unit: str = "") -> Any:
    """A field of an `Experiment`: its default, what it is, and what it may be."""
    return field(default=default, metadata={"text": text, "low": low, "high": high, "unit": unit})


@dataclass(frozen=True)
class Experiment(ABC):
    """Parameters of one characterisation; `measure` does it on any board. The docstring is the command's help.

    name: of the command. panel: of Fig. 2 that it redraws, if any.

    Raises `LimitError` for a parameter outside its range.
    """

    name: ClassVar[str]
    panel: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for f in fields(self):
            value, limit = getattr(self, f.name), (f.metadata["low"], f.metadata["high"])
            if not limit[0] <= value <= limit[1]:
                raise LimitError(f.name, value, limit, f.metadata["unit"], source=f"xbar characterise {self.name}")
        for f in fields(self):
            begin, end = getattr(self, f.name.replace("last_", "first_")), getattr(self, f.name)
            if f.name.startswith("last_") and end <= begin:
                source = f"xbar characterise {self.name}: more than {f.name.replace('last_', 'first_')}"
                raise LimitError(f.name, end, (begin, f.metadata["high"]), f.metadata["unit"], source=source)

    @property
    def wait_s(self) -> float:
        """Time that a real board spends waiting, s."""
        return 0.0

    @abstractmethod
    def measure(self, crossbar: Crossbar, rng: np.random.Generator, progress: Progress) -> Iterator[xr.Dataset]:
        """Do it: yields the run as far as it has got, from the first time that it can be drawn; the last is complete.

        `rng` draws targets and inputs, never what a board does.
        """

    @staticmethod
    @abstractmethod
    def numbers(run: xr.Dataset) -> list[Number]:
        """What a run gave, beside the bars."""


def variable(dims: str | Sequence[str], values: Any, units: str, long_name: str) -> tuple[Any, Any, dict[str, str]]:
    """A variable of a run."""
    return dims, values, {"units": units, "long_name": long_name}


def silent(done: float, total: float, note: str = "") -> None:
    """Progress that nobody watches."""


def refuse_absent_column(crossbar: Crossbar, column: int) -> None:
    """Raise `LimitError` if the board has no such bit line."""
    n_bl = crossbar.shape[1]
    if column >= n_bl:
        raise LimitError("column", column, (0, n_bl - 1), source=f"board {crossbar.board.name}")


def refuse_too_many_pulses(crossbar: Crossbar, pulses: int, name: str, value: float) -> None:
    """Raise `LimitError` for parameter `name` = `value` if `pulses` more on a cell are beyond the board's limit."""
    limit = crossbar.board.limits.pulses_per_cell
    spent = int(crossbar.doses.pulses.max())
    if spent + pulses > limit:
        raise LimitError(
            name, value, (0, int(value * (limit - spent) / pulses)),
            source=f"{pulses} pulses for each cell, limits.pulses_per_cell = {limit} of board {crossbar.board.name}",
            advice="nothing was pulsed",
        )  # fmt: skip


def program_cells(
    crossbar: Crossbar, target_s: Array, progress: Progress, *, may_fail: bool = False
) -> WriteVerifyResult:
    """Write-verify of `target_s` (n_sl, n_bl) S, NaN where a cell is left alone.

    Raises `ProtocolError` if no cell at all could be programmed, unless it `may_fail`.
    """
    result = program(crossbar, target_s, progress=lambda now: progress(now.cells_done, now.cells, f"cycle {now.cycle}"))
    if not (may_fail or result.converged.any()):
        raise ProtocolError(
            f"none of {len(result.failures)} cells could be programmed, the first: {result.failures[0]}; "
            "form the cells, or see `xbar characterise yield-map`"
        )
    return result


def programming_variables(result: WriteVerifyResult) -> dict[str, Any]:
    """What a run file keeps of a programming: targets, reads, cycles, failures."""
    grid = ("sl", "bl")
    return {
        "g_target_s": variable(grid, result.g_target_s, "S", "target conductance"),
        "g_read_s": variable(grid, result.g_read_s, "S", "conductance read at the end"),
        "cycles": variable(grid, result.cycles.astype(np.int32), "1", "write-verify cycles until done"),
        "failed": (grid, result.failure > 0, {"long_name": "could not be programmed"}),
    }


def one_cell_each(
    crossbar: Crossbar, levels_s: Array, candidates: NDArray[np.int64], progress: Progress
) -> NDArray[np.int64]:
    """Program one cell to each of `levels_s` (n,) S; returns their (row, column), (n, 2).

    candidates: (n, k, 2) rows and columns to choose from for each level. All are programmed, and the first that could
    be is taken, as somebody at a bench leaves out a device that is stuck.

    Raises `ProtocolError` if none of a level's could be programmed.
    """
    target_s = np.full(crossbar.shape, np.nan)
    target_s[candidates[..., 0], candidates[..., 1]] = levels_s[:, None]
    result = program_cells(crossbar, target_s, progress, may_fail=True)
    good = result.converged[candidates[..., 0], candidates[..., 1]]
    if not good.any(axis=1).all():
        level = int(np.flatnonzero(~good.any(axis=1))[0])
        failures = "; ".join(map(str, result.failures))
        raise ProtocolError(
            f"none of {candidates.shape[1]} cells could be programmed to {levels_s[level] * 1e6:.1f} µS: {failures}"
        )
    return candidates[np.arange(len(levels_s)), good.argmax(axis=1)]


def wait(crossbar: Crossbar, seconds: float, progress: Progress, since_s: float, total_s: float) -> None:
    """Let `seconds` pass on the board; progress counts from board time `since_s` on to `total_s`."""
    end_s = crossbar.board_time_s + seconds
    while (left_s := end_s - crossbar.board_time_s) > 0.5 * crossbar.board.timing.period_s:
        crossbar.wait(min(left_s, LONGEST_WAIT_S))
        progress(crossbar.board_time_s - since_s, total_s, f"{crossbar.board_time_s - since_s:.3g} s")
