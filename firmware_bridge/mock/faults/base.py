"""What a fault is: when it acts, and the places of the mock board where it may.

The board asks its `Faults` at each of those places, whatever there is; a fault overrides the ones it acts at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from firmware_bridge.mock.board import MockBoard

Volts = NDArray[np.float64]


@dataclass(kw_only=True)
class Fault:
    """A fault that acts from `from_s` to `until_s`, board time in s. By itself it changes nothing.

    name: what the table of faults calls it.
    at_once: whether streams may still be worked out at once while it acts, or only frame by frame.
    """

    name: ClassVar[str] = ""
    at_once: ClassVar[bool] = True
    from_s: float = 0.0
    until_s: float = math.inf

    def next_change_s(self, t_s: float) -> float:
        """First instant after `t_s` at which the board behaves in another way than at `t_s`, s."""
        return min((t for t in (self.from_s, self.until_s) if t > t_s), default=math.inf)

    # -- what happens once -------------------------------------------------------------------------------------------
    def begin(self, board: MockBoard, t_s: float) -> None:
        """It sets in."""

    def end(self, board: MockBoard, t_s: float) -> None:
        """It is over."""

    # -- places -----------------------------------------------------------------------------------------------------
    def sdi(self, dac: int, frame: int, bits: int, t_s: float) -> int | None:
        """What a DAC receives of a frame; None for nothing."""
        return frame

    def sdo(self, dac: int, word: int, bits: int) -> int:
        """What the sequencer receives of what a DAC shifts out."""
        return word

    def chain(self, outputs: int) -> int:
        """What the muxes see of the chain's outputs."""
        return outputs

    def adc_input(self, adc: int, channel: int | None) -> int | None:
        """The input that the mux before an ADC connects, of the one that is selected."""
        return channel

    def bit_lines(self, volts: Volts) -> Volts:
        """Voltages (…, n_bl) that connected bit lines have, of those that drive them, V."""
        return volts

    def word_lines(self, volts: Volts) -> Volts:
        """The same for word lines (n_sl,)."""
        return volts

    def code(self, adc: int, codes: NDArray[np.int16]) -> NDArray[np.int16]:
        """What the sequencer receives of codes (n,) of an ADC."""
        return codes


@dataclass(kw_only=True)
class Striking(Fault):
    """A fault that strikes at instants: at `from_s` and, with a rate, at those of a Poisson process after it.

    rate_per_s: of board time; 0 for once. seed: of the process, and of what it strikes.
    """

    rate_per_s: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self._strike_s = self.from_s

    def next_change_s(self, t_s: float) -> float:
        if t_s >= self.until_s or t_s < self._strike_s >= self.until_s:
            return math.inf
        return max(t_s, self._strike_s)

    def due(self, t_s: float) -> bool:
        """Whether it strikes what happens at `t_s`."""
        return self._strike_s <= t_s < self.until_s

    def struck(self, t_s: float) -> None:
        """It has: the next strike comes later than `t_s`."""
        self._strike_s = t_s + float(self.rng.exponential(1 / self.rate_per_s)) if self.rate_per_s else math.inf


class Faults:
    """The faults of one board. Empty, every place passes on what it is given.

    Attributes
    ----------
    planned: all faults. acting: those that have set in and are not over.
    """

    def __init__(self, board: MockBoard) -> None:
        self._board = board
        self.planned: list[Fault] = []
        self.acting: list[Fault] = []
        self._next_s = math.inf

    def add(self, fault: Fault) -> None:
        """Another fault, from its own instant on, or from now on if that has passed."""
        self.planned.append(fault)
        self._next_s = -math.inf

    def clear(self, t_s: float) -> None:
        """Mend at board time `t_s` what is not part of cells or lines for good."""
        ended, self.planned, self.acting, self._next_s = self.acting, [], [], math.inf
        for fault in ended:
            fault.end(self._board, t_s)
        self._board.forget()

    def advance(self, t_s: float) -> None:
        """Let everything set in or end that does so up to `t_s`."""
        if t_s < self._next_s:
            return
        for fault in self.planned:
            acts, due = fault in self.acting, fault.from_s <= t_s < fault.until_s
            if due and not acts:
                self.acting.append(fault)
                fault.begin(self._board, t_s)
            if acts and not due:
                self.acting.remove(fault)
                fault.end(self._board, t_s)
        self._next_s = min((f.next_change_s(t_s) for f in self.planned), default=math.inf)
        self._board.forget()

    def quiet(self, from_s: float, until_s: float) -> bool:
        """Whether nothing sets in, ends or strikes from one instant to the other, so that they are alike."""
        return all(f.at_once for f in self.acting) and all(f.next_change_s(from_s) > until_s for f in self.planned)

    # -- places -----------------------------------------------------------------------------------------------------
    def sdi(self, dac: int, frame: int, bits: int, t_s: float) -> int | None:
        arriving: int | None = frame
        for fault in self.acting:
            if arriving is not None:
                arriving = fault.sdi(dac, arriving, bits, t_s)
        return arriving

    def sdo(self, dac: int, word: int, bits: int) -> int:
        for fault in self.acting:
            word = fault.sdo(dac, word, bits)
        return word

    def chain(self, outputs: int | None) -> int | None:
        for fault in self.acting:
            outputs = None if outputs is None else fault.chain(outputs)
        return outputs

    def adc_input(self, adc: int, channel: int | None) -> int | None:
        for fault in self.acting:
            channel = fault.adc_input(adc, channel)
        return channel

    def bit_lines(self, volts: Volts) -> Volts:
        for fault in self.acting:
            volts = fault.bit_lines(volts)
        return volts

    def word_lines(self, volts: Volts) -> Volts:
        for fault in self.acting:
            volts = fault.word_lines(volts)
        return volts

    def codes(self, adcs: tuple[int, ...], codes: NDArray[np.int16]) -> NDArray[np.int16]:
        """What the sequencer receives of codes (n, positions · ADCs)."""
        for fault in self.acting:
            for k in range(codes.shape[1]):
                codes[:, k] = fault.code(adcs[k % len(adcs)], codes[:, k])
        return codes
