"""The mock board: the sequencer over the chip models and the array, exact to the clock cycle.

It stands below the drivers, at the pins: what arrives is a `Program`, and every frame, shift and conversion in it goes to the chip
model that would receive it. Streams take a vectorised path when the board is in the state that they are meant for, and are otherwise
executed as the single instructions that define them; both give the same words and cycles.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.bridge import Identity, Result, SequencerConfig
from firmware_bridge.errors import BoardError, ProtocolError
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
    popcount,
)
from firmware_bridge.mock.ads8324 import AdcTiming
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.dac80508 import SpiTiming, crc8
from firmware_bridge.mock.sn74hc595 import ShiftTiming
from firmware_bridge.program import Clock, Program
from firmware_bridge.timing import SequencerTiming

PROGRAM_WORDS = 24576
RESULT_WORDS = 24576
TRIGGER_LDAC = 0x050010
"""DAC80508 TRIGGER register, LDAC bit: the frame that streams are expected to end a vector with."""


class MockBridge:
    """A `Bridge` to a mock board.

    After any error the outputs are made safe, as the gateware does it, and the error is raised.
    """

    def __init__(self, board: MockBoard, *, serial: str = "mock") -> None:
        self.board = board
        self._serial = serial
        self._cycle = 0
        self._config = SequencerConfig()
        self._spi: dict[bool, SpiTiming] = {}
        self.configure(self._config)

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
        )

    def configure(self, config: SequencerConfig) -> None:
        self._config = config
        timing = config.timing
        self._period = timing.period_s
        self._spi = {read: _spi_timing(timing, read) for read in (False, True)}
        self._shift = ShiftTiming(
            srclk_high_s=timing.sr_half_cycles * self._period,
            srclk_low_s=timing.sr_half_cycles * self._period,
            ser_setup_s=timing.sr_half_cycles * self._period,
            ser_hold_s=timing.sr_half_cycles * self._period,
            rclk_high_s=timing.sr_latch_cycles * self._period,
            latch_setup_s=timing.sr_latch_cycles * self._period,
        )
        self._adc = AdcTiming(
            dclock_high_s=timing.adc_half_cycles * self._period,
            dclock_low_s=timing.adc_half_cycles * self._period,
            cs_high_s=2 * timing.adc_half_cycles * (timing.adc_clocks - timing.adc_low_clocks) * self._period,
            clocks=timing.adc_clocks,
        )

    def run(self, program: Program) -> Result:
        if (n := program.n_words) > PROGRAM_WORDS:
            raise ProtocolError(f"the program has {n} words, the memory holds {PROGRAM_WORDS}; cut it into several")
        start = self._cycle
        clock = Clock(self._config.timing, start)
        results: list[Words] = []
        try:
            for instruction in program:
                self._execute(instruction, clock, results)
            clock.issue(End())
        except BoardError:
            self._cycle = clock.now
            self.safe()
            raise
        self._cycle = clock.now
        words = np.concatenate(results) if results else np.empty(0, np.uint32)
        if len(words) > RESULT_WORDS:
            self.safe()
            raise ProtocolError(f"the program returned {len(words)} words, the memory holds {RESULT_WORDS}; cut it into several")
        return Result(words, clock.now - start)

    def reset(self) -> None:
        self.board.power_up(self._now)

    def safe(self) -> None:
        self.board.set_gate(False, self._now)
        self.board.set_oe_n(True, self._now)
        timing = self._config.timing
        self._cycle += self._config.safe_wait_cycles
        for frame in self._config.safe_frames:
            for dac in range(len(self.board.dacs)):
                self.board.spi(dac, frame, 24, self._now, self._spi[False])
            self._cycle += timing.spi_frame_cycles(24, read=False)

    def close(self) -> None:
        self.safe()

    # -- sequencer --------------------------------------------------------------------------------------------------
    @property
    def _now(self) -> float:
        return self._cycle * self._period

    def _execute(self, instruction: Instruction, clock: Clock, results: list[Words]) -> None:
        if isinstance(instruction, Streaming):
            fast = {Mvm: self._stream_mvm, Pulses: self._stream_pulses}[type(instruction)]
            if not fast(instruction, clock, results):  # type: ignore[operator]
                for single in instruction.expand():
                    self._execute(single, clock, results)
            return
        sampling = clock.sampling
        begin = clock.issue(instruction)
        end = clock.now
        match instruction:
            case SpiWrite() | SpiRead():
                read = isinstance(instruction, SpiRead)
                frame_end = begin + self._config.timing.spi_frame_cycles(instruction.frame_bits, read=read)
                # A frame acts when its chip select rises.
                rise = (frame_end - self._config.timing.spi_cs_high_cycles) * self._period
                answers = [
                    self.board.spi(dac, frame << 8 | crc8(frame) if instruction.crc else frame, instruction.frame_bits, rise, self._spi[read])
                    for dac, frame in zip(mask_indices(instruction.dac_mask), instruction.frames, strict=True)
                ]
                if read:
                    results.append(np.array(answers, np.uint32))
            case Shift():
                self.board.shift(instruction.word, instruction.bits, (end - self._config.timing.sr_latch_cycles) * self._period, self._shift)
            case OutputEnable():
                self.board.set_oe_n(not instruction.enable, end * self._period)
            case Gate():
                self.board.set_gate(instruction.connect, end * self._period)
            case Pulse():
                if self.board.gate:
                    raise ProtocolError("PULSE while the bit lines are connected; GATE 0 first")
                self.board.pulse(instruction.width * self._period, begin * self._period)
            case Sample():
                adcs = mask_indices(instruction.adc_mask)
                self._codes = self.board.convert(adcs, begin * self._period, end * self._period, self._adc)
            case Collect():
                assert sampling is not None  # Clock refuses COLLECT without SAMPLE
                results.append(_pack(self._codes[None]))

    # -- vectorised streams -------------------------------------------------------------------------------------------
    def _stream_mvm(self, mvm: Mvm, clock: Clock, results: list[Words]) -> bool:
        timing = self._config.timing
        if not mvm.count or mvm.crc or mvm.ldac_frame != TRIGGER_LDAC or clock.sampling is not None:
            return False
        sample, active, _ = mvm.schedule(timing)
        start = clock.now
        sample_s, active_s = (sample + start) * self._period, (active + start) * self._period
        window_s = timing.adc_window_cycles * self._period
        codes = self.board.stream(mvm, active_s, sample_s, window_s)
        if codes is None:
            return False
        # Intervals repeat from vector to vector, so one frame, one word and one conversion at each end stand for all.
        self._check_dacs(mvm.dac_mask, start)
        for adc in mask_indices(mvm.adc_mask):
            self.board.adcs[adc].start(sample_s[0, 0] - window_s, self._adc)
            if sample_s.size > 1:
                self.board.adcs[adc].start(sample_s[-1, -1] - window_s, self._adc)
        self.board.finish_stream(mvm, active_s[-1], sample_s[-1, -1] - window_s, self._shift)
        clock.issue(mvm)
        results.append(_pack(codes.reshape(-1, popcount(mvm.adc_mask))))
        return True

    def _stream_pulses(self, pulses: Pulses, clock: Clock, results: list[Words]) -> bool:
        timing = self._config.timing
        if not pulses.count or pulses.crc or pulses.ldac_frame != TRIGGER_LDAC or clock.sampling is not None:
            return False
        begin, active, _ = pulses.schedule(timing)
        start = clock.now
        begin_s, active_s = (start + begin) * self._period, (start + active) * self._period
        if self.board.gate or not self.board.ready_to_load(pulses.dac_mask):
            return False
        self._check_dacs(pulses.dac_mask, start)
        clock.issue(pulses)
        for k in range(pulses.count):
            self.board.load(pulses.dac_mask, pulses.codes[k], active_s[k])
            self.board.pulse(int(pulses.widths[k]) * self._period, begin_s[k])
        return True

    def _check_dacs(self, dac_mask: int, cycle: int) -> None:
        for dac in mask_indices(dac_mask):
            self.board.dacs[dac].check_stream(cycle * self._period, self._spi[False])


def _spi_timing(timing: SequencerTiming, read: bool) -> SpiTiming:
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


def _pack(codes: NDArray[np.int16]) -> Words:
    """Rows of signed codes as words, two to a word, each row padded to whole words."""
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    return np.ascontiguousarray(codes, np.int16).reshape(-1).view(np.uint32)
