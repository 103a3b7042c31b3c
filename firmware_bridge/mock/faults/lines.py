"""Faults of supplies, of lines, and of the cells themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from firmware_bridge.mock.faults.base import Fault, Volts

if TYPE_CHECKING:
    from firmware_bridge.mock.board import MockBoard


@dataclass(kw_only=True)
class Supply(Fault):
    """Supply or reference of a DAC (None: of all) at another voltage than it should be. None: as it was."""

    name: ClassVar[str] = "supply droop"
    dac: int | None = None
    vdd_v: float | None = None
    vref_v: float | None = None

    def begin(self, board: MockBoard, t_s: float) -> None:
        self._supply(board, self.vdd_v, self.vref_v, t_s)

    def end(self, board: MockBoard, t_s: float) -> None:
        self._supply(board, board.params.dac.vdd_v, board.params.dac.vref_v, t_s)

    def _supply(self, board: MockBoard, vdd_v: float | None, vref_v: float | None, t_s: float) -> None:
        for dac in board.dacs if self.dac is None else [board.dacs[self.dac]]:
            dac.supply(t_s, vdd_v=vdd_v, vref_v=vref_v)


@dataclass(kw_only=True)
class BrokenLine(Fault):
    """A line that is open at its driver: nothing reaches its cells."""

    name: ClassVar[str] = "broken line"
    line: Literal["bl", "sl", "wl"]
    index: int

    def begin(self, board: MockBoard, t_s: float) -> None:
        cells = np.zeros(board.array.shape, bool)
        cells[(slice(None), self.index) if self.line == "bl" else self.index] = True
        self._cut = board.array.reconnect(cells, False, t_s)

    def end(self, board: MockBoard, t_s: float) -> None:
        board.array.reconnect(self._cut, True, t_s)


@dataclass(kw_only=True)
class ShortedBitLines(Fault):
    """Two bit lines joined: equal drivers leave both at the mean."""

    name: ClassVar[str] = "short BL–BL"
    lines: tuple[int, int]

    def bit_lines(self, volts: Volts) -> Volts:
        return _joined(volts, self.lines)


@dataclass(kw_only=True)
class ShortedWordLines(Fault):
    """Two word lines joined: equal drivers leave both at the mean."""

    name: ClassVar[str] = "short WL–WL"
    lines: tuple[int, int]

    def word_lines(self, volts: Volts) -> Volts:
        return _joined(volts, self.lines)


@dataclass(kw_only=True)
class ShortedSourceLines(Fault):
    """Two source lines joined by `ohm`: the difference of their amplifiers' offsets drives a current round."""

    name: ClassVar[str] = "short SL–SL"
    lines: tuple[int, int]
    ohm: float = 5.0

    def begin(self, board: MockBoard, t_s: float) -> None:
        a, b = self.lines
        current_a = float(board.tia.v_os_v[a] - board.tia.v_os_v[b]) / self.ohm
        self._into_a = np.zeros(board.wiring.n_sl)
        self._into_a[a], self._into_a[b] = -current_a, current_a
        board.inject(board.injected_a + self._into_a)

    def end(self, board: MockBoard, t_s: float) -> None:
        board.inject(board.injected_a - self._into_a)


@dataclass(kw_only=True)
class ShortedCell(Fault):
    """A bit line joined with a source line by `ohm`."""

    name: ClassVar[str] = "short BL–SL"
    sl: int
    bl: int
    ohm: float = 50.0

    def begin(self, board: MockBoard, t_s: float) -> None:
        self._bridge(board, 1.0 / self.ohm)

    def end(self, board: MockBoard, t_s: float) -> None:
        self._bridge(board, -1.0 / self.ohm)

    def _bridge(self, board: MockBoard, siemens: float) -> None:
        bridged = board.bridged_s.copy()
        bridged[self.sl, self.bl] += siemens
        board.bridge_lines(bridged)


@dataclass(kw_only=True)
class DriftJump(Fault):
    """Cells that change their conductance at once, and keep the change.

    relative: σ of the change of each cell. fraction: share of the cells that change. seed: of both.
    """

    name: ClassVar[str] = "drift jump"
    relative: float
    fraction: float = 1.0
    seed: int = 0

    def begin(self, board: MockBoard, t_s: float) -> None:
        rng = np.random.default_rng(self.seed)
        change = (
            self.relative * rng.standard_normal(board.array.shape) * (rng.random(board.array.shape) < self.fraction)
        )
        board.array.scale(np.maximum(1.0 + change, 0.0), t_s)


def _joined(volts: Volts, lines: tuple[int, int]) -> Volts:
    volts = volts.copy()
    volts[..., list(lines)] = volts[..., list(lines)].mean(axis=-1, keepdims=True)
    return volts
