"""The `rtl` bridge: programs on the Verilated gateware, with the mock board's chips and array at its pins.

The gateware alone decides when a pin moves. The chip models at the pins recover what was sent, hand it to the same
`MockBoard` that the mock bridge drives, and check that every interval is the one that the timing registers ask for.
So equal words and cycles on both bridges mean that the mock keeps the gateware's time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from firmware_bridge.bridge import NOT_CONFIGURED, Identity, Result, SequencerConfig, SequencerLimits, latch
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.gateware import (
    ADDRESS,
    FAULT_TEXT,
    GATEWARE_ID,
    LIMIT_FAULTS,
    MAP_HASH,
    N_ADCS,
    N_DACS,
    PROGRAM_BASE,
    PROGRAM_WORDS,
    RESULT_BASE,
    RESULT_WORDS,
    SAFE_FRAMES,
    TIMING_FIELDS,
    TIMING_WIDTH,
    Fault,
)
from firmware_bridge.isa import DAC_CHANNELS, ISA_HASH, ISA_VERSION, Words
from firmware_bridge.limit_check import LimitCheck
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.bridge import adc_timing, shift_timing, spi_timing
from firmware_bridge.program import Program
from firmware_bridge.rtl_model import GatewareModel, PinFrame
from firmware_bridge.waveform import IntendedFrames

START, SAFE, RESET, LATCH = 1, 2, 4, 8


class RtlBridge:
    """A `Bridge` to the Verilated gateware. Raises `RtlUnavailable` if that cannot be built."""

    def __init__(self, board: MockBoard, *, serial: str = "rtl", vcd: Path | None = None) -> None:
        """vcd: file for the waveform of the pins, from the first configuration on; the frames meant go beside it."""
        self.board = board
        self._serial = serial
        self._vcd, self._frames = vcd, None if vcd is None else IntendedFrames(vcd, len(board.dacs))
        for name, there_are, most in (("DACs", len(board.dacs), N_DACS), ("ADCs", len(board.adcs), N_ADCS)):
            if there_are > most:
                raise LimitError(name, there_are, most, source="gateware")
        self._pins = _BoardPins(board)
        self.model = GatewareModel(self._pins)
        found = tuple(self.model.register(name) for name in ("ID", "VERSION", "MAP_HASH"))
        if found != (wanted := (GATEWARE_ID, ISA_VERSION, MAP_HASH)):
            raise ProtocolError(f"the gateware says ID, VERSION, MAP_HASH = {found}, this software expects {wanted}")
        self.model.write(ADDRESS["DAC_PRESENT"], [(1 << len(board.dacs)) - 1])
        self.model.write(ADDRESS["ADC_PRESENT"], [(1 << len(board.adcs)) - 1])
        self._held: SequencerConfig | None = None
        self._limits = LimitCheck(SequencerLimits())
        self._configure(SequencerConfig())
        self._show_answers()

    # -- Bridge -------------------------------------------------------------------------------------------------------
    def identify(self) -> Identity:
        return Identity(
            kind="rtl",
            serial=self._serial,
            isa_version=ISA_VERSION,
            isa_hash=ISA_HASH,
            n_dacs=len(self.board.dacs),
            n_adcs=len(self.board.adcs),
            sr_bits=self.board.wiring.sr_bits,
            program_words=PROGRAM_WORDS,
            result_words=RESULT_WORDS,
        )

    def configure(self, config: SequencerConfig) -> None:
        timing = config.timing
        if self._cycle and timing.clock_hz != self._config.timing.clock_hz:
            raise ProtocolError(
                f"clock_hz = {timing.clock_hz:g} Hz, but this board has been running at "
                f"{self._config.timing.clock_hz:g} Hz; open it anew"
            )
        latch(self._held, config)
        self._configure(config)
        if self._held is None:
            if self._vcd is not None:
                self.model.trace(self._vcd, timing.period_s, len(self.board.dacs), len(self.board.adcs))
            self._latch(config.limits)
            self._held, self._limits = config, LimitCheck(config.limits)

    def _configure(self, config: SequencerConfig) -> None:
        timing = config.timing
        values = {name: getattr(timing, name) for name in TIMING_FIELDS}
        for name, value, most in (
            *((name, value, (1 << TIMING_WIDTH) - 1) for name, value in values.items()),
            ("safe_wait_cycles", config.safe_wait_cycles, (1 << 31) - 1),
            ("safe_frames", len(config.safe_frames), SAFE_FRAMES),
        ):
            if value > most:
                raise LimitError(name, value, most, source="gateware registers")
        for name, value in values.items():
            self.model.write(ADDRESS[name.upper()], [value])
        self.model.write(ADDRESS["SAFE_WAIT"], [config.safe_wait_cycles])
        self.model.write(ADDRESS["SAFE_COUNT"], [len(config.safe_frames)])
        self.model.write(ADDRESS["SAFE_FRAME"], list(config.safe_frames))
        self._config = config
        self._pins.configure(config)

    def _latch(self, limits: SequencerLimits) -> None:
        for name, value in (
            ("LIMIT_GAIN", 1 << 16 if limits.gain_code is None else limits.gain_code),
            ("LIMIT_REGISTERS", limits.register_mask),
            ("LIMIT_WIDTH_LOW", limits.pulse_width[0]),
            ("LIMIT_WIDTH_HIGH", limits.pulse_width[1]),
            ("LIMIT_INTERVAL", limits.pulse_interval),
            ("LIMIT_SR_BITS", limits.sr_bits),
        ):
            self.model.write(ADDRESS[name], [value])
        pairs = [*limits.code, *[(0, 0xFFFF)] * (DAC_CHANNELS * N_DACS - len(limits.code))]
        self.model.write(ADDRESS["LIMIT_CODE"], [high << 16 | low for low, high in pairs])
        self.model.command(LATCH)

    def run(self, program: Program) -> Result:
        try:
            for what, has, holds in (
                ("has", program.n_words, PROGRAM_WORDS),
                ("would return", program.n_results, RESULT_WORDS),
            ):
                if has > holds:
                    raise ProtocolError(
                        f"the program {what} {has} words, the memory holds {holds}; cut it into several"
                    )
            words = program.words()
        except BaseException:
            self.safe()
            raise
        start = self._cycle
        if self._frames is not None:
            self._frames.program(program)
        result = self.run_words(words)
        self._limits.follow(program, self._config.timing, start)
        return result

    def run_words(self, words: Words) -> Result:
        """Execute a program's binary form, whatever it holds: the gateware checks it. Raises as `run` does."""
        start = self._cycle
        try:
            if self._held is None:
                raise ProtocolError(NOT_CONFIGURED)
            if len(words) > PROGRAM_WORDS:
                raise LimitError("program words", len(words), PROGRAM_WORDS, source="gateware")
            self.model.write(PROGRAM_BASE, words)
            self.model.write(ADDRESS["PROGRAM_LENGTH"], [len(words)])
            self.model.command(START)
        except BaseException:
            self.safe()
            raise
        # The gateware has made itself safe where it refuses a word.
        if fault := self.model.register("STATUS") >> 8:
            if self._frames is not None:
                self._frames.safe(self._config.safe_frames)
            address = self.model.register("ERROR_ADDRESS")
            if fault in LIMIT_FAULTS:
                raise self._limits.explain(Program.from_words(words), self._config.timing, start)
            raise ProtocolError(f"word {address}: {FAULT_TEXT[Fault(fault)]}")
        results = self.model.read(RESULT_BASE, self.model.register("RESULT_COUNT"))
        return Result(results, self._cycle - start)

    def reset(self) -> None:
        self.model.command(RESET)
        self.board.power_up(self._cycle * self._config.timing.period_s)
        self._show_answers()

    def safe(self) -> None:
        if self._frames is not None:
            self._frames.safe(self._config.safe_frames)
        self.model.command(SAFE)

    def close(self) -> None:
        try:
            self.safe()
        finally:
            if self._frames is not None:
                self._frames.close()
                self.model.end_trace()

    # -- inside -----------------------------------------------------------------------------------------------------
    @property
    def _cycle(self) -> int:
        low, high = self.model.read(ADDRESS["CYCLES_LOW"], 2)
        return int(high) << 32 | int(low)

    def _show_answers(self) -> None:
        for d, dac in enumerate(self.board.dacs):
            self.model.show(d, dac.sdo_word(32))


class _BoardPins:
    """The mock board at the gateware's pins."""

    def __init__(self, board: MockBoard) -> None:
        self._board = board
        self.configure(SequencerConfig())

    def configure(self, config: SequencerConfig) -> None:
        """Take over what the pins are expected to show."""
        timing = config.timing
        self._period = timing.period_s
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
            self._board.spi(dac, word, bits, cycle * self._period, self._spi[read])
            answers[dac] = self._board.dacs[dac].sdo_word(32)
        return answers

    def on_latch(self, word: int, bits: int, timing: tuple[int, ...], cycle: int) -> None:
        _agree("SRCLK high, low, to RCLK", timing if bits > 1 else (timing[0], self._sr[1], timing[2]), self._sr)
        self._board.shift(word, bits, cycle * self._period, self._shift)

    def on_output_enable_n(self, level: bool, cycle: int) -> None:
        self._board.set_oe_n(level, cycle * self._period)

    def on_gate(self, connect: bool, cycle: int) -> None:
        self._board.set_gate(connect, cycle * self._period)

    def on_pulse(self, width: int, cycle: int) -> None:
        self._board.pulse(width * self._period, cycle * self._period)

    def on_sample(self, adcs: list[int], timing: tuple[int, ...], start: int, cycle: int) -> list[int]:
        _agree("DCLOCK high, low", timing, self._dclock)
        codes = self._board.convert(adcs, start * self._period, cycle * self._period, self._adc)
        return [int(code) for code in np.asarray(codes)]


def _agree(what: str, seen: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """A difference is a defect of the gateware, not of a program."""
    if seen != expected:
        raise AssertionError(f"{what}: the pins show {seen} cycles, the timing registers ask for {expected}")
