"""The mock board: the sequencer over the chip models and the array, exact to the clock cycle.

It stands below the drivers, at the pins: what arrives is a `Program`, and every frame, shift and conversion in it
goes to the chip model that would receive it. Streams take a vectorised path when the board is in the state that they
are meant for, and are otherwise executed as the single instructions that define them; both give the same words and
cycles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.bridge import NOT_CONFIGURED, Identity, Result, SequencerConfig, SequencerLimits, latch
from firmware_bridge.errors import ProtocolError
from firmware_bridge.gateware import PROGRAM_WORDS, RESULT_WORDS
from firmware_bridge.isa import (
    ISA_HASH,
    ISA_VERSION,
    Collect,
    End,
    Gate,
    Instruction,
    Mvm,
    OutputEnable,
    Pulse,
    Pulses,
    Sample,
    Shift,
    SpiRead,
    SpiWrite,
    Streaming,
    Words,
    mask_indices,
)
from firmware_bridge.limit_check import LimitCheck
from firmware_bridge.mock.ads8324 import AdcTiming, Ads8324
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.dac import DacChip, SpiTiming
from firmware_bridge.mock.dac80508_sheet import crc8
from firmware_bridge.mock.sn74hc595 import ShiftTiming
from firmware_bridge.program import Clock, Program
from firmware_bridge.timing import SequencerTiming

_END = End()


class MockBridge:
    """A `Bridge` to a mock board.

    After any error in a program, an interrupt included, the outputs are made safe, as the gateware does it, and the
    error is raised.
    """

    def __init__(self, board: MockBoard, *, serial: str = "mock") -> None:
        self.board = board
        self._serial = serial
        self._cycle = 0
        self._held: SequencerLimits | None = None
        self._limits = LimitCheck(SequencerLimits())
        self._configure(SequencerConfig())

    # -- Bridge ---------------------------------------------------------------------------------------------------
    def identify(self) -> Identity:
        return Identity(
            kind="mock",
            serial=self._serial,
            isa_version=ISA_VERSION,
            isa_hash=ISA_HASH,
            n_dacs=len(self.board.dacs),
            n_adcs=len(self.board.adcs),
            sr_bits=self.board.wiring.sr_bits,
            program_words=PROGRAM_WORDS,
            result_words=RESULT_WORDS,
            dac_channels=self.board.wiring.dac_channels,
        )

    def configure(self, config: SequencerConfig) -> None:
        timing = config.timing
        if self._cycle and timing.clock_hz != self._config.timing.clock_hz:
            raise ProtocolError(
                f"clock_hz = {timing.clock_hz:g} Hz, but this board has been running at "
                f"{self._config.timing.clock_hz:g} Hz; open it anew"
            )
        latch(self._held, config.limits)
        if self._held is None:
            self._held, self._limits = config.limits, LimitCheck(config.limits)
        self._configure(config)

    def _configure(self, config: SequencerConfig) -> None:
        timing = config.timing
        self._config = config
        self._period = timing.period_s
        self._spi = {read: spi_timing(timing, read) for read in (False, True)}
        self._shift, self._adc = shift_timing(timing), adc_timing(timing)

    def run(self, program: Program) -> Result:
        start = self._cycle
        clock = Clock(self._config.timing, start)
        results: list[Words] = []
        try:
            if self._held is None:
                raise ProtocolError(NOT_CONFIGURED)
            for what, has, holds in (
                ("has", program.n_words, PROGRAM_WORDS),
                ("would return", program.n_results, RESULT_WORDS),
            ):
                if has > holds:
                    raise ProtocolError(
                        f"the program {what} {has} words, the memory holds {holds}; cut it into several"
                    )
            for instruction in program:
                self._execute(instruction, clock, results)
            clock.issue(_END)
        except BaseException:
            self._cycle = clock.now
            self.safe()
            raise
        self._cycle = clock.now
        words = results[0] if len(results) == 1 else np.concatenate([np.empty(0, np.uint32), *results])
        return Result(words, clock.now - start)

    def reset(self) -> None:
        self.board.power_up(self._now)

    def safe(self) -> None:
        self.board.set_gate(False, self._now)
        self.board.set_oe_n(True, self._now)
        timing = self._config.timing
        self._cycle += self._config.safe_wait_cycles
        for frame in self._config.safe_frames:
            self._cycle += timing.spi_frame_cycles(24, read=False)
            rise = (self._cycle - timing.spi_cs_high_cycles) * self._period
            for dac in range(len(self.board.dacs)):
                self.board.spi(dac, frame, 24, rise, self._spi[False])

    def close(self) -> None:
        self.safe()

    # -- sequencer --------------------------------------------------------------------------------------------------
    @property
    def _now(self) -> float:
        return self._cycle * self._period

    def _execute(self, instruction: Instruction, clock: Clock, results: list[Words]) -> None:
        if isinstance(instruction, Streaming):
            if clock.sampling is not None:
                raise ProtocolError(f"{instruction.MNEMONIC} while a conversion is running; COLLECT first")
            start = clock.now
            allowed = self._limits.allows(instruction, self._config.timing, start)
            if allowed and self._stream(instruction, clock, results):
                self._limits.count(instruction, self._config.timing, start)
            else:
                for single in instruction.expand():
                    self._execute(single, clock, results)
            return
        timing = self._config.timing
        sampling = clock.sampling
        begin = clock.issue(instruction)
        end = clock.now
        match instruction:
            case SpiWrite() | SpiRead():
                answers = self._frames(instruction, begin)
                if isinstance(instruction, SpiRead):
                    results.append(np.array(answers, np.uint32))
            case Shift():
                self._limits.single(instruction, begin)
                rise = (end - timing.sr_latch_cycles) * self._period
                self.board.shift(instruction.word, instruction.bits, rise, self._shift)
            case OutputEnable():
                self.board.set_oe_n(not instruction.enable, end * self._period)
            case Gate():
                self.board.set_gate(instruction.connect, end * self._period)
            case Pulse():
                if self.board.gate:
                    raise ProtocolError("PULSE while the bit lines are connected; GATE 0 first")
                self._limits.single(instruction, begin)
                self.board.pulse(instruction.width * self._period, begin * self._period)
            case Sample():
                adcs = self._chips("ADC", instruction.adc_mask, len(self.board.adcs))
                self._codes = self.board.convert(adcs, begin * self._period, end * self._period, self._adc)
            case Collect():
                assert sampling is not None  # Clock refuses COLLECT without SAMPLE
                results.append(_pack(self._codes[None]))

    def _frames(self, spi: SpiWrite | SpiRead, begin: int) -> list[int]:
        """Frames to the chips of the mask; what each shifts out meanwhile."""
        read = isinstance(spi, SpiRead)
        timing = self._config.timing
        chips = self._chips("DAC", spi.dac_mask, len(self.board.dacs))
        self._limits.single(spi, begin)
        # A frame acts when its chip select rises.
        rise = begin + timing.spi_frame_cycles(spi.frame_bits, read=read) - timing.spi_cs_high_cycles
        return [
            self.board.spi(
                chip,
                frame << 8 | crc8(frame) if spi.crc else frame,
                spi.frame_bits,
                rise * self._period,
                self._spi[read],
            )
            for chip, frame in zip(chips, spi.frames, strict=True)
        ]

    def _chips(self, kind: str, mask: int, there_are: int) -> list[int]:
        """Indices of the chips in a mask. Raises `ProtocolError` for one that the board does not have."""
        if mask >> there_are:
            raise ProtocolError(
                f"{kind} mask {mask:#x} names {kind} {mask.bit_length() - 1}; the board has {there_are}, from 0 on"
            )
        return mask_indices(mask)

    # -- vectorised streams -------------------------------------------------------------------------------------------
    def _stream(self, stream: Streaming, clock: Clock, results: list[Words]) -> bool:
        """Execute a stream at once; False, with nothing changed, if it must be spelled out."""
        if not isinstance(stream, Mvm | Pulses) or not stream.count or stream.crc:
            return False
        dacs = self.board.dacs
        if stream.ldac_frame != dacs[0].LDAC_FRAME or stream.dac_mask >> len(dacs):
            return False
        if stream.channels != dacs[0].CHANNELS:
            return False
        start_s, until_s = clock.now * self._period, (clock.now + stream.cycles(self._config.timing)) * self._period
        if not self.board.undisturbed(start_s, until_s):
            return False
        if isinstance(stream, Mvm):
            return self._stream_mvm(stream, clock, results)
        return self._stream_pulses(stream, clock)

    def _stream_mvm(self, mvm: Mvm, clock: Clock, results: list[Words]) -> bool:
        timing, period = self._config.timing, self._period
        if mvm.adc_mask >> len(self.board.adcs):
            return False
        schedule = mvm.schedule(timing)
        start = clock.now
        window = timing.adc_window_cycles
        active_s = (start + schedule.first[0]) * period
        stream = self.board.settled_stream(mvm, active_s, schedule.rest * period, window * period)
        if stream is None:
            return False
        clock.issue(mvm)
        # Intervals repeat from vector to vector, so one frame and the conversions at both ends stand for all.
        self._check_dacs(stream.route.dacs, start)
        last_s = (start + schedule.last[1] - window) * period
        first_s = (start + schedule.first[1] - window) * period
        starts_s = (first_s, last_s) if last_s > first_s else (first_s,)
        Ads8324.start_together(stream.route.converters, starts_s, self._adc)
        codes = self.board.convert_stream(stream, np.multiply(schedule.sample + start, period))
        self.board.finish_stream(stream.route, mvm, (start + schedule.last[0]) * period, last_s, self._shift)
        results.append(_pack(codes.reshape(-1, len(stream.route.adcs))))
        return True

    def _stream_pulses(self, pulses: Pulses, clock: Clock) -> bool:
        if self.board.gate or not self.board.ready_to_load(pulses.dac_mask):
            return False
        schedule = pulses.schedule(self._config.timing)
        start = clock.now
        begin_s, active_s = (start + schedule.start) * self._period, (start + schedule.active) * self._period
        clock.issue(pulses)
        self._check_dacs([self.board.dacs[d] for d in mask_indices(pulses.dac_mask)], start)
        for k in range(pulses.count):
            self.board.load(pulses.dac_mask, pulses.codes[k], float(active_s[k]))
            self.board.pulse(int(pulses.widths[k]) * self._period, float(begin_s[k]))
        return True

    def _check_dacs(self, dacs: list[DacChip], cycle: int) -> None:
        for dac in dacs:
            dac.check_stream(cycle * self._period, self._spi[False])


def spi_timing(timing: SequencerTiming, read: bool) -> SpiTiming:
    """What a DAC's pins see in a frame."""
    half = (timing.spi_read_half_cycles if read else timing.spi_write_half_cycles) * timing.period_s
    return SpiTiming(
        sclk_high_s=half,
        sclk_low_s=half,
        cs_setup_s=timing.spi_cs_setup_cycles * timing.period_s,
        cs_hold_s=timing.spi_cs_hold_cycles * timing.period_s,
        cs_high_s=timing.spi_cs_high_cycles * timing.period_s,
        # SDI changes on the rising edge and is captured on the falling one: half a period before, half a period after.
        sdi_setup_s=half,
        sdi_hold_s=half,
        read=read,
    )


def shift_timing(timing: SequencerTiming) -> ShiftTiming:
    """What the chain's pins see."""
    half_s, latch_s = timing.sr_half_cycles * timing.period_s, timing.sr_latch_cycles * timing.period_s
    return ShiftTiming(
        srclk_high_s=half_s,
        srclk_low_s=half_s,
        ser_setup_s=half_s,
        ser_hold_s=half_s,
        rclk_high_s=latch_s,
        latch_setup_s=latch_s,
    )


def adc_timing(timing: SequencerTiming) -> AdcTiming:
    """What a converter's pins see."""
    half_s = timing.adc_half_cycles * timing.period_s
    return AdcTiming(
        dclock_high_s=half_s,
        dclock_low_s=half_s,
        cs_high_s=2 * timing.adc_half_cycles * (timing.adc_clocks - timing.adc_low_clocks) * timing.period_s,
        clocks=timing.adc_clocks,
    )


def _pack(codes: NDArray[np.int16]) -> Words:
    """Rows of signed codes as words, two to a word, each row padded to whole words."""
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    return np.ascontiguousarray(codes, np.int16).reshape(-1).view(np.uint32)
