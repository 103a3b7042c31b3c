"""The single instructions of the sequencer: one action of one kind of chip each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.instruction import SOURCE, Field, Instruction, Words, chain_words, popcount
from firmware_bridge.timing import SequencerTiming

MAX_WAIT = (1 << 56) - 1
MAX_WIDTH = (1 << 24) - 1
MAX_CHAIN_BITS = 255


# -- control -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Nop(Instruction):
    """Do nothing for one cycle."""

    MNEMONIC = "NOP"
    OPCODE = 0x00
    COST = "1"


@dataclass(frozen=True, eq=False)
class End(Instruction):
    """End of the program; the last word of every program, and only there."""

    MNEMONIC = "END"
    OPCODE = 0x01
    COST = "1"


@dataclass(frozen=True, eq=False)
class Wait(Instruction):
    """Wait `cycles` clock cycles (56 bits: 22 years at 100 MHz)."""

    MNEMONIC = "WAIT"
    OPCODE = 0x02
    LAYOUT = (Field("high", 0, 0, 24, "cycles[55:32]"), Field("low", 1, 0, 32, "cycles[31:0]"))
    COST = "2 + cycles"
    HEADER_WORDS = 2
    cycles: int

    def __post_init__(self) -> None:
        if self.cycles >> 56:
            raise LimitError("WAIT.cycles", self.cycles, (0, MAX_WAIT), source=SOURCE)

    @property
    def high(self) -> int:
        return self.cycles >> 32

    @property
    def low(self) -> int:
        return self.cycles & 0xFFFFFFFF

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Wait:
        return cls(header["high"] << 32 | header["low"])

    def action_cycles(self, timing: SequencerTiming) -> int:
        return self.cycles


# -- SPI to the DACs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _SpiFrame(Instruction):
    LAYOUT = (
        Field("dac_mask", 0, 0, 8, "DACs that receive a frame, each on its own bus, at once"),
        Field("crc", 0, 8, 1, "append CRC-8 (0x07) to the 24 bits: DACs in CRC mode"),
    )
    PAYLOAD = "one 24-bit frame per set bit of `dac_mask`, ascending"
    dac_mask: int
    frames: tuple[int, ...]
    crc: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.frames) != popcount(self.dac_mask):
            raise ProtocolError(
                f"{self.MNEMONIC}: {len(self.frames)} frames for {popcount(self.dac_mask)} DACs in mask "
                f"{self.dac_mask:#x}; give one frame per set bit"
            )
        for frame in self.frames:
            if frame >> 24:
                raise LimitError(f"{self.MNEMONIC}.frame", frame, (0, 0xFFFFFF), source=SOURCE)

    def payload(self) -> Words:
        return np.array(self.frames, np.uint32)

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        return popcount(header["dac_mask"])

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> _SpiFrame:
        return cls(header["dac_mask"], tuple(int(w) for w in payload), bool(header["crc"]))

    @property
    def n_words(self) -> int:
        return 1 + len(self.frames)

    @property
    def frame_bits(self) -> int:
        """Bits of one frame on the wire."""
        return 32 if self.crc else 24


@dataclass(frozen=True, eq=False)
class SpiWrite(_SpiFrame):
    """Send one frame to each DAC of the mask at the write clock."""

    MNEMONIC = "SPI_WRITE"
    OPCODE = 0x10
    COST = "1 + n + frame(write)"

    def action_cycles(self, timing: SequencerTiming) -> int:
        return timing.spi_frame_cycles(self.frame_bits, read=False)


@dataclass(frozen=True, eq=False)
class SpiRead(_SpiFrame):
    """Send frames at the read clock and push what each DAC shifts out meanwhile: its answer to the *previous* frame."""

    MNEMONIC = "SPI_READ"
    OPCODE = 0x11
    COST = "1 + n + frame(read) + n"

    @property
    def n_results(self) -> int:
        return len(self.frames)

    def action_cycles(self, timing: SequencerTiming) -> int:
        return timing.spi_frame_cycles(self.frame_bits, read=True) + len(self.frames)


# -- shift-register chain ---------------------------------------------------------------------------------------------


def check_chain_word(mnemonic: str, bits: int, word: int) -> None:
    """Raise `LimitError` for a number of bits that no chain has, or a word that has more."""
    if not 0 < bits <= MAX_CHAIN_BITS:
        raise LimitError(f"{mnemonic} bits", bits, (1, MAX_CHAIN_BITS), source=SOURCE)
    if word >> bits:
        raise LimitError(f"{mnemonic} word of {bits} bits", word, (0, 2.0**bits - 1), source=SOURCE)


@dataclass(frozen=True, eq=False)
class Shift(Instruction):
    """Shift bits into the SN74HC595 chain, highest first, and latch them: bit i of `word` appears at output i."""

    MNEMONIC = "SHIFT"
    OPCODE = 0x20
    LAYOUT = (Field("bits", 0, 0, 8, "number of bits"),)
    PAYLOAD = "⌈bits/32⌉ words, lowest bits first"
    COST = "1 + ⌈bits/32⌉ + shift(bits)"
    bits: int
    word: int

    def __post_init__(self) -> None:
        check_chain_word(self.MNEMONIC, self.bits, self.word)

    def payload(self) -> Words:
        return np.array([self.word >> 32 * i & 0xFFFFFFFF for i in range(chain_words(self.bits))], np.uint32)

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        return chain_words(header["bits"])

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Shift:
        return cls(header["bits"], sum(int(w) << 32 * i for i, w in enumerate(payload)))

    @property
    def n_words(self) -> int:
        return 1 + chain_words(self.bits)

    def action_cycles(self, timing: SequencerTiming) -> int:
        return timing.shift_cycles(self.bits)


@dataclass(frozen=True, eq=False)
class OutputEnable(Instruction):
    """Drive the chain's outputs (1, OE̅ low) or release them (0, OE̅ high: every mux is inhibited by its pull-up)."""

    MNEMONIC = "OUTPUT_ENABLE"
    OPCODE = 0x21
    LAYOUT = (Field("enable", 0, 0, 1, "1 drives the outputs"),)
    COST = "1"
    enable: bool

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> OutputEnable:
        return cls(bool(header["enable"]))


# -- pulse gate ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Gate(Instruction):
    """Connect (1) or disconnect (0) all bit lines: the INH pin of the BL muxes."""

    MNEMONIC = "GATE"
    OPCODE = 0x30
    LAYOUT = (Field("connect", 0, 0, 1, "1 connects the bit lines"),)
    COST = "1"
    connect: bool

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Gate:
        return cls(bool(header["connect"]))


@dataclass(frozen=True, eq=False)
class Pulse(Instruction):
    """Connect the bit lines for exactly `width` ≥ 1 cycles. Refused while they are connected already."""

    MNEMONIC = "PULSE"
    OPCODE = 0x31
    LAYOUT = (Field("width", 0, 0, 24, "clock cycles"),)
    COST = "1 + width"
    width: int

    def __post_init__(self) -> None:
        if not 0 < self.width <= MAX_WIDTH:
            raise LimitError("PULSE.width", self.width, (1, MAX_WIDTH), source=SOURCE)

    def action_cycles(self, timing: SequencerTiming) -> int:
        return self.width


# -- conversions -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sample(Instruction):
    """Start a conversion on each ADC of the mask and wait until the sampling window closes. COLLECT must follow."""

    MNEMONIC = "SAMPLE"
    OPCODE = 0x40
    LAYOUT = (Field("adc_mask", 1, 0, 32, "ADCs that convert"),)
    COST = "2 + window"
    HEADER_WORDS = 2
    adc_mask: int

    def action_cycles(self, timing: SequencerTiming) -> int:
        return timing.adc_window_cycles


@dataclass(frozen=True, eq=False)
class Collect(Instruction):
    """Wait until the running conversion is over and push its codes, two to a word, sign-extended to 16 bits."""

    MNEMONIC = "COLLECT"
    OPCODE = 0x41
    COST = "1 + (what is left of the conversion) + ⌈ADCs/2⌉"
