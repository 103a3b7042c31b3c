"""Faults between the sequencer and the chips: SPI, the shift-register chain, muxes, converters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.mock.faults.base import Fault, Striking

if TYPE_CHECKING:
    from firmware_bridge.mock.board import MockBoard


@dataclass(kw_only=True)
class FlippedBit(Striking):
    """One bit of a frame to a DAC arrives inverted. dac, bit: which, counted from the least; None: drawn."""

    name: ClassVar[str] = "bit flip on SDI"
    dac: int | None = None
    bit: int | None = None

    def sdi(self, dac: int, frame: int, bits: int, t_s: float) -> int | None:
        if not self.due(t_s) or dac != (dac if self.dac is None else self.dac):
            return frame
        self.struck(t_s)
        return frame ^ 1 << (int(self.rng.integers(bits)) if self.bit is None else self.bit)


@dataclass(kw_only=True)
class LostFrame(Striking):
    """A DAC misses a frame, as with a glitch on its chip select. dac: None for any."""

    name: ClassVar[str] = "frame missed by a DAC"
    dac: int | None = None

    def sdi(self, dac: int, frame: int, bits: int, t_s: float) -> int | None:
        if not self.due(t_s) or dac != (dac if self.dac is None else self.dac):
            return frame
        self.struck(t_s)
        return None


@dataclass(kw_only=True)
class DeafDac(Fault):
    """A DAC whose chip select is broken: it receives nothing and its SDO floats low."""

    name: ClassVar[str] = "broken CS of a DAC"
    at_once: ClassVar[bool] = False
    dac: int

    def sdi(self, dac: int, frame: int, bits: int, t_s: float) -> int | None:
        return None if dac == self.dac else frame

    def sdo(self, dac: int, word: int, bits: int) -> int:
        return 0 if dac == self.dac else word


@dataclass(kw_only=True)
class StuckMiso(Fault):
    """A DAC's SDO is stuck at a level."""

    name: ClassVar[str] = "stuck MISO"
    dac: int
    level: int

    def sdo(self, dac: int, word: int, bits: int) -> int:
        return word if dac != self.dac else (1 << bits) - 1 if self.level else 0


@dataclass(kw_only=True)
class StuckChainBit(Fault):
    """An output of the SN74HC595 chain is stuck at a level. bit: of the word."""

    name: ClassVar[str] = "stuck 595 bit"
    at_once: ClassVar[bool] = False
    bit: int
    level: int

    def begin(self, board: MockBoard, t_s: float) -> None:
        board.select(t_s)

    def end(self, board: MockBoard, t_s: float) -> None:
        board.select(t_s)

    def chain(self, outputs: int) -> int:
        return outputs | 1 << self.bit if self.level else outputs & ~(1 << self.bit)


@dataclass(kw_only=True)
class StuckMux(Fault):
    """The mux before an ADC stays on one input, whatever is selected. channel: None for no input at all."""

    name: ClassVar[str] = "mux not switching"
    adc: int
    channel: int | None

    def adc_input(self, adc: int, channel: int | None) -> int | None:
        return self.channel if adc == self.adc else channel


@dataclass(kw_only=True)
class StuckDout(Fault):
    """An ADC's DOUT is stuck at a level: all bits zero, or all one, which is −1."""

    name: ClassVar[str] = "stuck DOUT of an ADC"
    adc: int
    level: int

    def code(self, adc: int, codes: NDArray[np.int16]) -> NDArray[np.int16]:
        return np.full_like(codes, -1 if self.level else 0) if adc == self.adc else codes


@dataclass(kw_only=True)
class SaturatingAdc(Fault):
    """An ADC whose input clips early, as behind a leaking protection diode. low, high: codes that it stops at."""

    name: ClassVar[str] = "ADC saturating"
    adc: int
    low: int = -8192
    high: int = 8191

    def code(self, adc: int, codes: NDArray[np.int16]) -> NDArray[np.int16]:
        return np.clip(codes, self.low, self.high) if adc == self.adc else codes
