"""DAC80508 (TI SLASEL1): eight 16-bit voltage outputs. Register names and fields as in the datasheet.

The board has several, each on its own SPI bus, so one instruction sends a frame to all of them at once: `Dac80508Bank`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import DAC_CHANNELS, Codes, SpiRead, SpiWrite, Wait, Words
from firmware_bridge.program import Program
from firmware_bridge.timing import SequencerTiming

# Registers (SLASEL1, register map).
NOP = 0x0
DEVICE_ID = 0x1
SYNC = 0x2  # 15:8 BRDCAST-EN, 7:0 SYNC-EN (1: a DAC waits for LDAC)
CONFIG = 0x3  # 13 ALM-SEL, 12 ALM-EN, 11 CRC-EN, 10 FSDO, 9 DSDO, 8 REF-PWDWN, 7:0 DACx-PWDWN
GAIN = 0x4  # 8 REFDIV-EN, 7:0 BUFFx-GAIN (1: ×2)
TRIGGER = 0x5  # 4 LDAC, 3:0 SOFT-RESET
BRDCAST = 0x6
STATUS = 0x7  # 0 REF-ALM
DAC0 = 0x8

READ = 1 << 23
TRIGGER_LDAC = 1 << 4
TRIGGER_SOFT_RESET = 0b1010
SYNC_RESET = 0xFF00
SYNC_ALL_WAIT = 0xFFFF
GAIN_REFDIV_EN = 1 << 8
STATUS_REF_ALM = 1 << 0
DEVICE_ID_RESOLUTION = 0b111 << 12  # 0: 16 bit
DEVICE_ID_8_CHANNELS = 1 << 11

FULL_SCALE = 65536
RESET_WAIT_S = 250e-6
"""No access after power-up or a soft reset for this long."""


def write_frame(register: int, data: int) -> int:
    """24-bit frame that writes `data` (16 bits) to `register`."""
    if data < 0 or data >> 16:
        raise LimitError(f"DAC80508 register {register:#x}", data, (0, 0xFFFF), source="SLASEL1")
    return register << 16 | data


def read_frame(register: int) -> int:
    """24-bit frame that asks for `register`; the answer comes out during the next frame."""
    return READ | register << 16


def gain_code(*, gain: int, ref_divide: int) -> int:
    """GAIN register for the same gain (1, 2) on every channel and the reference over `ref_divide` (1, 2)."""
    return (GAIN_REFDIV_EN if ref_divide == 2 else 0) | (0xFF if gain == 2 else 0)


def span_v(*, vref_v: float = 2.5, ref_divide: int = 1, gain: int = 2) -> float:
    """Full-scale output VREF / DIV · GAIN, V."""
    return vref_v / ref_divide * gain


def volts_to_code(volts: ArrayLike, span_v: float) -> Codes:
    """Nearest code of an output voltage, same shape. Raises `LimitError` outside [0, span − ½ LSB], and for NaN."""
    volts = np.asarray(volts, float)
    code = np.rint(volts * (FULL_SCALE / span_v))
    low, high = extremes(code) if code.size else (0.0, 0.0)
    if not (low >= 0 and high < FULL_SCALE):  # NaN fails too
        worst = volts.flat[np.argmax(np.where(np.isfinite(volts), np.abs(volts - span_v / 2), np.inf))]
        raise LimitError(
            "DAC80508 output",
            float(worst),
            (0.0, span_v * (1 - 1 / FULL_SCALE)),
            "V",
            source="VREF / DIV · GAIN of the board",
        )
    return code.astype(np.uint16)


def code_to_volts(code: ArrayLike, span_v: float) -> NDArray[np.float64]:
    """Nominal output voltage of a code, V, same shape."""
    return np.asarray(code) * (span_v / FULL_SCALE)


class Dac80508Bank:
    """The board's DACs. Methods append to a `Program`; codes are (chips, 8) arrays."""

    def __init__(self, n_chips: int, *, gain: int, ref_divide: int) -> None:
        self.n_chips = n_chips
        self.mask = (1 << n_chips) - 1
        self.gain_code = gain_code(gain=gain, ref_divide=ref_divide)

    def broadcast(self, program: Program, register: int, data: int) -> None:
        """Write the same data to a register of every chip."""
        program.append(SpiWrite(self.mask, (write_frame(register, data),) * self.n_chips))

    def initialise(self, program: Program, timing: SequencerTiming, codes: Codes) -> None:
        """From any state to: soft reset, spans set, every channel waiting for LDAC, outputs at `codes` (chips, 8)."""
        reset_wait = Wait(timing.cycles(RESET_WAIT_S))
        program.append(reset_wait)
        self.broadcast(program, TRIGGER, TRIGGER_SOFT_RESET)
        program.append(reset_wait)
        self.broadcast(program, GAIN, self.gain_code)
        self.broadcast(program, SYNC, SYNC_ALL_WAIT)
        self.load(program, codes)
        self.ldac(program)

    def load(self, program: Program, codes: Codes) -> None:
        """Bring codes (chips, 8) into the buffers; `ldac` makes them active."""
        for channel in range(DAC_CHANNELS):
            program.append(SpiWrite(self.mask, tuple(write_frame(DAC0 + channel, int(c)) for c in codes[:, channel])))

    def ldac(self, program: Program) -> None:
        """Make the buffers of all chips active at once."""
        self.broadcast(program, TRIGGER, TRIGGER_LDAC)

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
