"""The rules of `SequencerLimits`, stated once: what the mock executes by, and what explains a refusal by the gateware.

Single instructions are judged one by one, in the order of their words. A stream is what its single instructions are:
`allows` says whether none of them would be refused, at once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.bridge import ANY_REGISTER, SequencerLimits
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import (
    Instruction,
    Mvm,
    Pulse,
    Pulses,
    Shift,
    SpiRead,
    SpiWrite,
    Streaming,
    mask_indices,
)
from firmware_bridge.program import Clock, Program
from firmware_bridge.timing import SequencerTiming

READ = 1 << 23
SOURCE = "sequencer limits, latched at the first configuration"
ADVICE = "the outputs are safe; change the program, or the board file if it is wrong"


class LimitCheck:
    """Judges what is executed on one board, from its power-up on. Raises `LimitError` for what is refused.

    last_pulse: cycle at which the last pulse began, None before the first.
    """

    def __init__(self, limits: SequencerLimits) -> None:
        self.limits = limits
        self.last_pulse: int | None = None

    def single(self, instruction: Instruction, begin: int) -> None:
        """Judge an instruction that is no stream, whose action begins at cycle `begin`."""
        limits = self.limits
        match instruction:
            case SpiWrite() | SpiRead():
                for dac, frame in zip(mask_indices(instruction.dac_mask), instruction.frames, strict=True):
                    self.frame(dac, frame)
            case Shift():
                if limits.sr_bits and instruction.bits != limits.sr_bits:
                    raise LimitError(
                        "bits of a SHIFT", instruction.bits, (limits.sr_bits,) * 2, source=SOURCE, advice=ADVICE
                    )
            case Pulse():
                self._within("width of a PULSE, cycles", instruction.width, limits.pulse_width)
                if self.last_pulse is not None and begin - self.last_pulse < limits.pulse_interval:
                    raise LimitError(
                        "cycles between the starts of two pulses",
                        begin - self.last_pulse,
                        limits.pulse_interval,
                        source=SOURCE,
                        advice=ADVICE,
                    )
                self.last_pulse = begin

    def frame(self, dac: int, frame: int) -> None:
        """Judge a frame of 24 bits to a DAC."""
        if frame & READ:
            return
        limits, register, data = self.limits, frame >> 16 & 0x7F, frame & 0xFFFF
        mask = limits.register_mask
        if mask != ANY_REGISTER and not mask >> register & 1:
            allowed = ", ".join(f"{r:#x}" for r in mask_indices(mask))
            last = 2 * limits.dac_channels - 1
            raise LimitError(
                f"register of DAC {dac}",
                register,
                (0, last),
                source=f"{SOURCE}: {allowed} may be written",
                advice=ADVICE,
            )
        for fixed, value in limits.fixed:
            if register == fixed and data != value:
                raise LimitError(
                    f"register {register:#x} of DAC {dac}", data, (value, value), source=SOURCE, advice=ADVICE
                )
        at, channels = register - limits.dac_channels, limits.dac_channels
        flat = channels * dac + at
        if 0 <= at < channels and flat < len(limits.code):
            self._within(f"code of DAC {dac}, channel {at}", data, limits.code[flat])

    def allows(self, stream: Streaming, timing: SequencerTiming, start: int) -> bool:
        """Whether no single instruction of a stream fetched at cycle `start` would be refused."""
        limits = self.limits
        if not isinstance(stream, Mvm | Pulses) or not stream.count:
            return True
        if stream.channels != limits.dac_channels:
            return False
        bounds = _bounds(limits, stream.dac_mask, stream.ldac_frame)
        if not bounds.frames:
            return False
        low, high = extremes(stream.codes) if stream.codes.size else bounds.common
        if (low < bounds.common[0] or high > bounds.common[1]) and not (
            (stream.codes >= bounds.low) & (stream.codes <= bounds.high)
        ).all():
            return False
        if isinstance(stream, Mvm):
            return limits.sr_bits in (0, stream.sr_bits)
        low, high = extremes(stream.widths)
        starts = start + stream.schedule(timing).start
        before = starts[0] - limits.pulse_interval if self.last_pulse is None else self.last_pulse
        intervals = np.diff(starts, prepend=before)
        return bool(
            low >= limits.pulse_width[0] and high <= limits.pulse_width[1] and intervals.min() >= limits.pulse_interval
        )

    def count(self, stream: Streaming, timing: SequencerTiming, start: int) -> None:
        """A stream that `allows` has let through was executed."""
        if isinstance(stream, Pulses) and stream.count:
            self.last_pulse = start + int(stream.schedule(timing).start[-1])

    def follow(self, program: Program, timing: SequencerTiming, start: int) -> None:
        """A program that began at cycle `start` was executed elsewhere."""
        if not any(isinstance(instruction, Pulse | Pulses) for instruction in program):
            return
        clock = Clock(timing, start)
        for instruction in program:
            fetched = clock.now
            begin = clock.issue(instruction)
            if isinstance(instruction, Pulse):
                self.last_pulse = begin
            elif isinstance(instruction, Streaming):
                self.count(instruction, timing, fetched)

    def explain(self, program: Program, timing: SequencerTiming, start: int) -> LimitError:
        """Why the gateware refused a program that began at cycle `start`: the error that the mock would raise.

        Raises `ProtocolError` if nothing in it is beyond the limits: the gateware then holds others.
        """
        check, clock = LimitCheck(self.limits), Clock(timing, start)
        check.last_pulse = self.last_pulse
        for instruction in program.expanded():
            begin = clock.issue(instruction)
            try:
                check.single(instruction, begin)
            except LimitError as error:
                return error
        raise ProtocolError(
            "the gateware refused the program for a limit that it does not exceed; power-cycle it and report this"
        )

    @staticmethod
    def _within(name: str, value: int, limit: tuple[int, int]) -> None:
        if not limit[0] <= value <= limit[1]:
            raise LimitError(name, value, limit, source=SOURCE, advice=ADVICE)


class _Bounds(NamedTuple):
    """What a stream may load into the DACs of a mask."""

    frames: bool
    """Whether its frames may be sent at all."""
    common: tuple[int, int]
    """Codes allowed on every channel."""
    low: NDArray[np.uint16]
    high: NDArray[np.uint16]


@lru_cache(maxsize=64)
def _bounds(limits: SequencerLimits, dac_mask: int, ldac_frame: int) -> _Bounds:
    check = LimitCheck(limits)
    channels = limits.dac_channels
    pairs = np.full((dac_mask.bit_count(), channels, 2), (0, 0xFFFF), np.uint16)
    frames = True
    for row, dac in enumerate(mask_indices(dac_mask)):
        held = limits.code[channels * dac : channels * (dac + 1)]
        pairs[row, : len(held)] = np.array(held, np.uint16).reshape(-1, 2)
        try:
            check.frame(dac, ldac_frame)
        except LimitError:
            frames = False
    frames = frames and limits.register_mask >> channels & (1 << channels) - 1 == (1 << channels) - 1
    frames = frames and not any(channels <= register < 2 * channels for register, _ in limits.fixed)
    low, high = pairs[..., 0], pairs[..., 1]
    return _Bounds(frames, (int(low.max(initial=0)), int(high.min(initial=0xFFFF))), low, high)
