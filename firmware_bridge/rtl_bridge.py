"""The `rtl` bridge: programs on the Verilated gateware, with the mock board's chips and array at its pins.

The gateware alone decides when a pin moves. The chip models at the pins recover what was sent, hand it to the same
`MockBoard` that the mock bridge drives, and check that every interval is the one that the timing registers ask for.
So equal words and cycles on both bridges mean that the mock keeps the gateware's time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.gateware import Control
from firmware_bridge.gateware_client import GatewareBridge
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.bridge import adc_timing, shift_timing, spi_timing
from firmware_bridge.program import Program
from firmware_bridge.rtl_model import GatewareModel, PinFrame
from firmware_bridge.waveform import IntendedFrames


class RtlBridge(GatewareBridge):
    """A `Bridge` to the Verilated gateware. Raises `RtlUnavailable` if that cannot be built."""

    def __init__(
        self, board: MockBoard, *, serial: str = "rtl", vcd: Path | None = None, library: Path | None = None
    ) -> None:
        """vcd: file for the waveform of the pins, from the first configuration on; the frames meant go beside it.
        library: another elaboration of the gateware than Verilator's."""
        self.board = board
        self._vcd, self._frames = vcd, None if vcd is None else IntendedFrames(vcd, len(board.dacs))
        self.pins = BoardPins(board)
        self.model = GatewareModel(self.pins, library)
        super().__init__(self.model, board.wiring, kind="rtl", serial=serial)
        self._show_answers()

    def configure(self, config: SequencerConfig) -> None:
        first = self._config is None
        if not self._cycle:
            self.model.set_clock(config.timing.clock_hz)
        super().configure(config)
        self.pins.configure(config)
        if first and self._vcd is not None:
            self.model.trace(self._vcd, config.timing.period_s, len(self.board.dacs), len(self.board.adcs))

    def reset(self) -> None:
        self._write("CONTROL", Control.RESET)
        self.board.power_up(self._cycle * self.pins.period_s)
        self._show_answers()

    def safe(self) -> None:
        self._made_safe()
        super().safe()

    def close(self) -> None:
        try:
            super().close()
        finally:
            if self._frames is not None:
                self._frames.close()
                self.model.end_trace()

    def _runs(self, program: Program) -> None:
        if self._frames is not None:
            self._frames.program(program)

    def _made_safe(self) -> None:
        if self._frames is not None and self._config is not None:
            self._frames.safe(self._config.safe_frames)

    def _show_answers(self) -> None:
        for d in range(len(self.board.dacs)):
            self.model.show(d, self.board.sdo(d, 32))


class BoardPins:
    """The mock board at the gateware's pins."""

    def __init__(self, board: MockBoard) -> None:
        self._board = board
        self.configure(SequencerConfig())

    def configure(self, config: SequencerConfig) -> None:
        """Take over what the pins are expected to show."""
        timing = config.timing
        self.period_s = timing.period_s
        self._cs_high = timing.spi_cs_high_cycles
        self._spi = {read: spi_timing(timing, read) for read in (False, True)}
        self._spi_cycles = {
            read: (timing.spi_cs_setup_cycles, half, half, half + timing.spi_cs_hold_cycles)
            for read, half in ((False, timing.spi_write_half_cycles), (True, timing.spi_read_half_cycles))
        }
        self._shift, self._adc = shift_timing(timing), adc_timing(timing)
        self._sr = (timing.sr_half_cycles, timing.sr_half_cycles, timing.sr_latch_cycles)
        self._dclock = (timing.adc_half_cycles, timing.adc_half_cycles)

    def on_frames(self, frames: dict[int, PinFrame], cycle: int) -> dict[int, int]:
        answers = {}
        for dac, (word, bits, *intervals, gap, captured) in frames.items():
            read = bool(captured)
            # A frame that was cut short has no proper intervals; the chip ignores it.
            if bits >= 24:
                _agree(f"DAC {dac} setup, SCLK high, low, hold", tuple(intervals), self._spi_cycles[read])
            if gap < self._cs_high:
                raise AssertionError(f"DAC {dac}: CS was high for {gap} cycles, not {self._cs_high}")
            self._board.spi(dac, word, bits, cycle * self.period_s, self._spi[read])
            answers[dac] = self._board.sdo(dac, 32)
        return answers

    def on_latch(self, word: int, bits: int, timing: tuple[int, ...], cycle: int) -> None:
        _agree("SRCLK high, low, to RCLK", timing if bits > 1 else (timing[0], self._sr[1], timing[2]), self._sr)
        self._board.shift(word, bits, cycle * self.period_s, self._shift)

    def on_output_enable_n(self, level: bool, cycle: int) -> None:
        self._board.set_oe_n(level, cycle * self.period_s)

    def on_gate(self, connect: bool, cycle: int) -> None:
        self._board.set_gate(connect, cycle * self.period_s)

    def on_pulse(self, width: int, cycle: int) -> None:
        self._board.pulse(width * self.period_s, cycle * self.period_s)

    def on_sample(self, adcs: list[int], timing: tuple[int, ...], start: int, cycle: int) -> list[int]:
        _agree("DCLOCK high, low", timing, self._dclock)
        codes = self._board.convert(adcs, start * self.period_s, cycle * self.period_s, self._adc)
        return [int(code) for code in np.asarray(codes)]


def _agree(what: str, seen: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """A difference is a defect of the gateware, not of a program."""
    if seen != expected:
        raise AssertionError(f"{what}: the pins show {seen} cycles, the timing registers ask for {expected}")
