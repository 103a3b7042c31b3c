"""What the rest asks of a DAC, whatever its part: `DacPart`; and a board's DACs, `DacBank`.

A part that the sequencer can drive has 16-bit straight binary codes from 0 V on, frames of 24 bits (23 R/W̅, 22:16
address, 15:0 data), and a register for each channel, the first of which has the number of channels as its address.
`drivers.dac_parts` lists those that there are.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import Codes, SpiRead, SpiWrite, Wait, Words
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

NOP = 0x0
READ = 1 << 23
FULL_SCALE = 65536

Setting = tuple[int, int]
"""(register, value)."""


class DacPart(Protocol):
    """A part with its settings, as a board file's table ``[dac]`` gives them.

    Attributes
    ----------
    part: name of the part.
    CHANNELS: how many it has. RESET_WAIT_S: no access after power-up or a reset for this long.
    SETUP_WAIT_S: from the last of `setup` until its reference has come up.
    RESET, LDAC: what resets it, and what makes its buffers active.
    WAIT_FOR_LDAC: what lets every channel wait for that; the bits of the channels are the lowest of this register.
    CODES_READ_BACK: whether the registers of the channels can be read.
    """

    CHANNELS: ClassVar[Literal[8, 16]]
    RESET_WAIT_S: ClassVar[float]
    SETUP_WAIT_S: ClassVar[float]
    RESET: ClassVar[Setting]
    LDAC: ClassVar[Setting]
    WAIT_FOR_LDAC: ClassVar[Setting]
    CODES_READ_BACK: ClassVar[bool]

    @property
    def part(self) -> str: ...

    @property
    def span_v(self) -> float:
        """Full-scale output, V."""

    def setup(self) -> tuple[Setting, ...]:
        """What must be written after a reset before a code means a voltage; each register may have that value only."""

    def held(self) -> dict[str, Setting]:
        """What registers must hold once it is initialised, channels apart, by name."""


def write_frame(register: int, data: int) -> int:
    """24-bit frame that writes `data` (16 bits) to `register`."""
    if data < 0 or data >> 16:
        raise LimitError(f"DAC register {register:#x}", data, (0, 0xFFFF), source="frames carry 16 bits")
    return register << 16 | data


def read_frame(register: int) -> int:
    """24-bit frame that asks for `register`; the answer comes out during the next frame."""
    return READ | register << 16


def volts_to_code(volts: ArrayLike, span_v: float) -> Codes:
    """Nearest code of an output voltage, same shape. Raises `LimitError` outside [0, span − ½ LSB], and for NaN."""
    volts = np.asarray(volts, float)
    code = np.rint(volts * (FULL_SCALE / span_v))
    low, high = extremes(code) if code.size else (0.0, 0.0)
    if not (low >= 0 and high < FULL_SCALE):  # NaN fails too
        worst = volts.flat[np.argmax(np.where(np.isfinite(volts), np.abs(volts - span_v / 2), np.inf))]
        raise LimitError(
            "DAC output",
            float(worst),
            (0.0, span_v * (1 - 1 / FULL_SCALE)),
            "V",
            source="span of [dac] in the board file",
        )
    return code.astype(np.uint16)


def code_to_volts(code: ArrayLike, span_v: float) -> NDArray[np.float64]:
    """Nominal output voltage of a code, V, same shape."""
    return np.asarray(code) * (span_v / FULL_SCALE)


class DacBank:
    """A board's DACs, each on its own SPI bus, so that one instruction sends a frame to all of them at once.

    Methods append to a `Program`; codes are (chips, channels) arrays.
    """

    def __init__(self, part: DacPart, n_chips: int) -> None:
        self.part, self.n_chips = part, n_chips
        self.mask = (1 << n_chips) - 1

    def broadcast(self, program: Program, register: int, data: int) -> None:
        """Write the same data to a register of every chip."""
        program.append(SpiWrite(self.mask, (write_frame(register, data),) * self.n_chips))

    def initialise(self, program: Program, timing: SequencerTiming, codes: Codes) -> None:
        """From any state to: reset, spans set, every channel waiting for LDAC, outputs at `codes` (chips, channels)."""
        part = self.part
        reset_wait = Wait(timing.cycles(part.RESET_WAIT_S))
        program.append(reset_wait)
        self.broadcast(program, *part.RESET)
        program.append(reset_wait)
        for setting in (*part.setup(), part.WAIT_FOR_LDAC):
            self.broadcast(program, *setting)
        if part.SETUP_WAIT_S:
            program.append(Wait(timing.cycles(part.SETUP_WAIT_S)))
        self.load(program, codes)
        self.ldac(program)

    def load(self, program: Program, codes: Codes) -> None:
        """Bring codes (chips, channels) into the buffers; `ldac` makes them active."""
        first = self.part.CHANNELS
        for channel in range(self.part.CHANNELS):
            frames = tuple(write_frame(first + channel, int(c)) for c in codes[:, channel])
            program.append(SpiWrite(self.mask, frames))

    def ldac(self, program: Program) -> None:
        """Make the buffers of all chips active at once."""
        self.broadcast(program, *self.part.LDAC)

    def read(self, program: Program, register: int) -> None:
        """Ask every chip for a register: 2 · chips result words, see `parse_read`."""
        program.append(SpiRead(self.mask, (read_frame(register),) * self.n_chips))
        program.append(SpiRead(self.mask, (write_frame(NOP, 0),) * self.n_chips))

    def parse_read(self, words: Words, register: int) -> NDArray[np.uint16]:
        """Data (chips,) of one `read`, from its result words. Raises `ProtocolError` if a chip does not echo it."""
        answers = words[self.n_chips : 2 * self.n_chips]
        echo = answers >> 16
        for chip in np.flatnonzero(echo != read_frame(register) >> 16):
            raise ProtocolError(
                f"DAC {chip}: reading register {register:#x} echoed {int(echo[chip]):#04x} instead of "
                f"{read_frame(register) >> 16:#04x}; check its supply, CS and SDO"
            )
        return (answers & 0xFFFF).astype(np.uint16)

    def held(self, codes: NDArray[np.integer]) -> list[tuple[str, int, int | NDArray[np.integer]]]:
        """(name, register, value or values (chips,)) of what can be read back, with the channels at `codes`
        (chips, channels)."""
        part = self.part
        held: list[tuple[str, int, int | NDArray[np.integer]]] = [
            (n, r, value) for n, (r, value) in part.held().items()
        ]
        if part.CODES_READ_BACK:
            held += [(f"DAC{c}", part.CHANNELS + c, codes[:, c]) for c in range(part.CHANNELS)]
        return held
