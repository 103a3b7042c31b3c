"""The sequencer's instruction set: the one source of encoding, decoding, cost and documentation.

Each instruction is a class with a bit layout. `encode` and `decode` follow the layout; `docs/instruction-set.md` is printed from it
(`python -m firmware_bridge.isa`), and so is the hash that a gateware must report (`ISA_HASH`).

Cost. Fetching takes one clock cycle per instruction word; the action follows. Conversions run beside the sequencer: SAMPLE returns
when the sampling window closes and COLLECT waits for the rest, so whatever stands between the two costs nothing while it is shorter
than the conversion. A streaming instruction is *defined* by `expand()`: the same single instructions, in the same order, with the
same cost; so every bridge that implements the single ones has its meaning for free, and a fast implementation can be proved.

Words are 32 bits, little-endian. Two 16-bit codes share a word, the lower index in the lower half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.timing import SequencerTiming

Words = NDArray[np.uint32]
Codes = NDArray[np.uint16]

ISA_VERSION = 1
DAC_CHANNELS = 8
"""Channels of one DAC chip; a streamed vector carries all eight codes of each chip in its mask."""


@dataclass(frozen=True)
class Field:
    """`width` bits from bit `lsb` of header word `word`; `name` is the attribute that holds the value."""

    name: str
    word: int
    lsb: int
    width: int
    doc: str


class Instruction:
    """One instruction. Subclasses are frozen dataclasses whose attributes are the layout's fields plus, where they carry one, a payload."""

    MNEMONIC: ClassVar[str]
    OPCODE: ClassVar[int]
    LAYOUT: ClassVar[tuple[Field, ...]] = ()
    PAYLOAD: ClassVar[str] = ""
    COST: ClassVar[str]
    HEADER_WORDS: ClassVar[int] = 1

    # -- payload: overridden by the instructions that carry one ------------------------------------------------
    def payload(self) -> Words:
        """The words after the header."""
        return np.empty(0, np.uint32)

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        """Length of the payload that a decoded header announces."""
        return 0

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Instruction:
        """The instruction of a decoded header and payload."""
        return cls(**header)

    # -- what a program and a bridge ask for ---------------------------------------------------------------------
    def words(self) -> Words:
        """Encoded form; raises `LimitError` if a field does not fit its bits."""
        header = np.zeros(self.HEADER_WORDS, np.uint32)
        header[0] = self.OPCODE << 24
        for field in self.LAYOUT:
            value = int(getattr(self, field.name))
            if value < 0 or value >> field.width:
                raise LimitError(
                    f"{self.MNEMONIC}.{field.name}", value, (0, (1 << field.width) - 1), source="instruction set"
                )
            header[field.word] |= np.uint32(value << field.lsb)
        payload = self.payload()
        return np.concatenate([header, payload]) if payload.size else header

    @property
    def n_words(self) -> int:
        """Length of the encoded form in words."""
        return self.HEADER_WORDS

    @property
    def n_results(self) -> int:
        """Number of result words that the instruction pushes."""
        return 0

    def action_cycles(self, timing: SequencerTiming) -> int:
        """Clock cycles after the fetch, where they depend on nothing but the operands (all but SAMPLE and COLLECT: see `Clock`)."""
        return 0

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and np.array_equal(self.words(), other.words())  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self.words().tobytes())


class Streaming(Instruction):
    """An instruction that stands for many single ones."""

    def expand(self) -> Iterator[Instruction]:
        """The single instructions that this one stands for, in order; fetching the header counts as one NOP per word."""
        raise NotImplementedError


def popcount(mask: int) -> int:
    """Number of set bits."""
    return bin(mask).count("1")


def mask_indices(mask: int) -> list[int]:
    """Indices of the set bits, ascending: the order of frames, codes and result words."""
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


# -- control -----------------------------------------------------------------------------------------------------


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
        if len(self.frames) != popcount(self.dac_mask):
            raise ProtocolError(
                f"{self.MNEMONIC}: {len(self.frames)} frames for {popcount(self.dac_mask)} DACs in mask {self.dac_mask:#x}; "
                "give one frame per set bit"
            )
        for frame in self.frames:
            if frame < 0 or frame >> 24:
                raise LimitError(f"{self.MNEMONIC}.frame", frame, (0, 0xFFFFFF), source="instruction set")

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
    """Send one frame to each DAC at the read clock and push what each shifts out meanwhile (the answer to the *previous* command)."""

    MNEMONIC = "SPI_READ"
    OPCODE = 0x11
    COST = "1 + n + frame(read) + n"

    @property
    def n_results(self) -> int:
        return len(self.frames)

    def action_cycles(self, timing: SequencerTiming) -> int:
        return timing.spi_frame_cycles(self.frame_bits, read=True) + len(self.frames)


# -- shift-register chain ---------------------------------------------------------------------------------------------


def _chain_words(bits: int) -> int:
    return (bits + 31) // 32


@dataclass(frozen=True, eq=False)
class Shift(Instruction):
    """Shift `bits` bits into the SN74HC595 chain, highest first, and latch them: bit i of `word` appears at output i."""

    MNEMONIC = "SHIFT"
    OPCODE = 0x20
    LAYOUT = (Field("bits", 0, 0, 8, "number of bits"),)
    PAYLOAD = "⌈bits/32⌉ words, lowest bits first"
    COST = "1 + ⌈bits/32⌉ + shift(bits)"
    bits: int
    word: int

    def __post_init__(self) -> None:
        if not 0 < self.bits < 256 or self.word < 0 or self.word >> self.bits:
            raise LimitError("SHIFT.word", self.word, (0, 2.0**self.bits - 1), source="instruction set")

    def payload(self) -> Words:
        return np.array([self.word >> 32 * i & 0xFFFFFFFF for i in range(_chain_words(self.bits))], np.uint32)

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        return _chain_words(header["bits"])

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Shift:
        return cls(header["bits"], sum(int(w) << 32 * i for i, w in enumerate(payload)))

    @property
    def n_words(self) -> int:
        return 1 + _chain_words(self.bits)

    def action_cycles(self, timing: SequencerTiming) -> int:
        return timing.shift_cycles(self.bits)


@dataclass(frozen=True, eq=False)
class OutputEnable(Instruction):
    """Drive the chain's outputs (`enable` = 1, OE̅ low) or release them (0, OE̅ high: every mux is inhibited by its pull-up)."""

    MNEMONIC = "OUTPUT_ENABLE"
    OPCODE = 0x21
    LAYOUT = (Field("enable", 0, 0, 1, "1 drives the outputs"),)
    COST = "1"
    enable: bool

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> OutputEnable:
        return cls(bool(header["enable"]))


# -- pulse gate ---------------------------------------------------------------------------------------------------------


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
    """Connect the bit lines for exactly `width` cycles. Refused while they are connected already."""

    MNEMONIC = "PULSE"
    OPCODE = 0x31
    LAYOUT = (Field("width", 0, 0, 24, "clock cycles"),)
    COST = "1 + width"
    width: int

    def action_cycles(self, timing: SequencerTiming) -> int:
        return self.width


# -- conversions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sample(Instruction):
    """Start a conversion on each ADC of the mask; returns when the sampling window closes. COLLECT must follow before the next SAMPLE."""

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


# -- streams ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _CodeStream(Streaming):
    """Payload: a block of DAC codes, shape (n, DACs in mask, 8)."""

    codes: Codes
    dac_mask: int
    ldac_frame: int
    settle: int

    def _check_codes(self) -> None:
        expected = (popcount(self.dac_mask), DAC_CHANNELS)
        if self.codes.dtype != np.uint16 or self.codes.ndim != 3 or self.codes.shape[1:] != expected:
            raise ProtocolError(
                f"{self.MNEMONIC}: codes have shape {self.codes.shape} and type {self.codes.dtype}; "
                f"expected (n, {expected[0]}, {expected[1]}) uint16 for mask {self.dac_mask:#x}"
            )

    @property
    def count(self) -> int:
        return len(self.codes)

    def _load(self, k: int, crc: bool) -> Iterator[Instruction]:
        """Frames that bring vector k into the DACs' buffers, one channel of every DAC at a time."""
        for channel in range(DAC_CHANNELS):
            address = (8 + channel) << 16
            yield SpiWrite(self.dac_mask, tuple(address | int(c) for c in self.codes[k, :, channel]), crc)

    def _ldac(self, crc: bool) -> Instruction:
        return SpiWrite(self.dac_mask, (self.ldac_frame,) * popcount(self.dac_mask), crc)

    def _load_cycles(self, timing: SequencerTiming, crc: bool) -> tuple[int, int]:
        """Cycles of loading one vector, and of the LDAC frame."""
        frame = 1 + popcount(self.dac_mask) + timing.spi_frame_cycles(32 if crc else 24, read=False)
        return DAC_CHANNELS * frame, frame


_STREAM_FIELDS = (
    Field("dac_mask", 0, 0, 8, "DACs that a vector loads"),
    Field("crc", 0, 8, 1, "frames carry CRC-8"),
    Field("count", 1, 0, 16, "number of vectors"),
    Field("settle", 2, 0, 32, "cycles from LDAC to the sample or pulse"),
    Field("ldac_frame", 3, 0, 24, "frame that makes the loaded codes active"),
)


@dataclass(frozen=True, eq=False)
class Mvm(_CodeStream):
    """Apply a block of input vectors and convert every source line for each: matrix-vector products, and reads of a whole array.

    For each vector: load, LDAC, settle, then one conversion per mux position. The next vector is loaded while the first position
    converts; it becomes active once the last position has been sampled. Results: (count, positions, ⌈ADCs/2⌉) words.
    """

    MNEMONIC = "MVM"
    OPCODE = 0x50
    HEADER_WORDS = 6
    LAYOUT = _STREAM_FIELDS + (
        Field("n_positions", 0, 9, 4, "mux positions per vector"),
        Field("sr_bits", 0, 16, 8, "length of a mux word"),
        Field("adc_mask", 4, 0, 32, "ADCs that convert"),
        Field("mux_settle", 5, 0, 32, "cycles from a new mux word to the sample"),
    )
    PAYLOAD = "mux words (positions × ⌈sr_bits/32⌉), then codes (count × DACs × 8, two to a word)"
    COST = "that of `expand()`: ≈ count × positions × conversion"

    positions: tuple[int, ...]
    sr_bits: int
    adc_mask: int
    mux_settle: int
    crc: bool = False

    def __post_init__(self) -> None:
        self._check_codes()
        if not self.positions:
            raise ProtocolError("MVM: no mux position given; at least one is needed")

    @property
    def n_positions(self) -> int:
        return len(self.positions)

    def payload(self) -> Words:
        mux = [w >> 32 * i & 0xFFFFFFFF for w in self.positions for i in range(_chain_words(self.sr_bits))]
        return np.concatenate([np.array(mux, np.uint32), np.ascontiguousarray(self.codes).reshape(-1).view(np.uint32)])

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        mux = header["n_positions"] * _chain_words(header["sr_bits"])
        return mux + header["count"] * popcount(header["dac_mask"]) * DAC_CHANNELS // 2

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Mvm:
        per = _chain_words(header["sr_bits"])
        n_mux = header["n_positions"] * per
        positions = tuple(
            sum(int(payload[p * per + i]) << 32 * i for i in range(per)) for p in range(header["n_positions"])
        )
        return cls(
            codes=payload[n_mux:].view(np.uint16).reshape(header["count"], popcount(header["dac_mask"]), DAC_CHANNELS),
            dac_mask=header["dac_mask"],
            ldac_frame=header["ldac_frame"],
            settle=header["settle"],
            positions=positions,
            sr_bits=header["sr_bits"],
            adc_mask=header["adc_mask"],
            mux_settle=header["mux_settle"],
            crc=bool(header["crc"]),
        )

    @property
    def n_words(self) -> int:
        return self.HEADER_WORDS + self.n_positions * _chain_words(self.sr_bits) + self.codes.size // 2

    @property
    def n_results(self) -> int:
        return self.count * self.n_positions * self.words_per_conversion

    @property
    def words_per_conversion(self) -> int:
        return (popcount(self.adc_mask) + 1) // 2

    def expand(self) -> Iterator[Instruction]:
        for _ in range(self.HEADER_WORDS):
            yield Nop()
        if not self.count:
            return
        last_position, last_vector = self.n_positions - 1, self.count - 1
        yield from self._load(0, self.crc)
        yield self._ldac(self.crc)
        yield Shift(self.sr_bits, self.positions[0])
        yield Wait(self.settle)
        for k in range(self.count):
            for p in range(self.n_positions):
                yield Sample(self.adc_mask)
                if p == 0 and k < last_vector:
                    yield from self._load(k + 1, self.crc)
                if p < last_position:
                    yield Shift(self.sr_bits, self.positions[p + 1])
                    yield Wait(self.mux_settle)
                elif k < last_vector:
                    yield self._ldac(self.crc)
                    yield Shift(self.sr_bits, self.positions[0])
                    yield Wait(self.settle)
                yield Collect()

    def schedule(self, timing: SequencerTiming) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """When things happen, in cycles from the start of the instruction, without expanding it.

        Returns ``(sample, ldac, end)``: the cycle at which each sampling window closes, shape (count, positions); the cycle at
        which each vector becomes active, shape (count,); and the length of the instruction. The arrays are read-only.
        """
        load, ldac = self._load_cycles(timing, self.crc)
        shift = 1 + _chain_words(self.sr_bits) + timing.shift_cycles(self.sr_bits)
        return _mvm_schedule(
            self.count, self.n_positions, load, ldac, shift, self.settle, self.mux_settle, self.words_per_conversion, timing
        )

    def action_cycles(self, timing: SequencerTiming) -> int:
        return self.schedule(timing)[2] - self.n_words


@lru_cache(maxsize=64)
def _mvm_schedule(
    n: int, p: int, load: int, ldac: int, shift: int, settle: int, mux_settle: int, push: int, timing: SequencerTiming
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """`Mvm.schedule` for n vectors and p positions; `load`, `ldac`, `shift`, `push` are the cycles of those operations."""
    if not n:
        return np.empty((0, p), np.int64), np.empty(0, np.int64), Mvm.HEADER_WORDS
    start = Mvm.HEADER_WORDS + load + ldac + shift + 2 + settle
    window = timing.adc_window_cycles
    # Work hidden behind the conversion of each position: for every vector but the last, and for the last.
    hidden = np.full(p, shift + 2 + mux_settle, np.int64)
    hidden[-1] = ldac + shift + 2 + settle
    hidden[0] += load
    hidden_last = np.full(p, shift + 2 + mux_settle, np.int64)
    hidden_last[-1] = 0

    def slots(work: NDArray[np.int64]) -> NDArray[np.int64]:
        return 2 + np.maximum(window + work + 1, timing.adc_conversion_cycles) + push

    body, tail = slots(hidden), slots(hidden_last)
    before = np.concatenate([[0], np.cumsum(body)])
    begin = start + before[-1] * np.arange(n, dtype=np.int64)
    sample = begin[:, None] + before[None, :-1] + 2 + window
    sample[-1] = begin[-1] + np.concatenate([[0], np.cumsum(tail)])[:-1] + 2 + window
    # The LDAC frame acts when its chip select rises.
    rise = timing.spi_cs_high_cycles
    active = np.empty(n, np.int64)
    active[0] = Mvm.HEADER_WORDS + load + ldac - rise
    active[1:] = sample[:-1, -1] + (load if p == 1 else 0) + ldac - rise
    sample.flags.writeable = active.flags.writeable = False
    return sample, active, int(begin[-1] + tail.sum())


@dataclass(frozen=True, eq=False)
class Pulses(_CodeStream):
    """Apply a table of pulses: for each entry load all lines, LDAC, settle, and connect the bit lines for exactly its width."""

    MNEMONIC = "PULSES"
    OPCODE = 0x51
    HEADER_WORDS = 4
    LAYOUT = _STREAM_FIELDS
    PAYLOAD = "widths (count words), then codes (count × DACs × 8, two to a word)"
    COST = "that of `expand()`: count × (load + LDAC + settle + width)"

    widths: NDArray[np.uint32]
    crc: bool = False

    def __post_init__(self) -> None:
        self._check_codes()
        if self.widths.dtype != np.uint32 or self.widths.shape != (self.count,):
            raise ProtocolError(
                f"PULSES: widths have shape {self.widths.shape} and type {self.widths.dtype}; expected ({self.count},) uint32"
            )
        if self.count and int(self.widths.max()) >> 24:
            raise LimitError("PULSES.width", int(self.widths.max()), (0, 0xFFFFFF), source="instruction set")

    def payload(self) -> Words:
        return np.concatenate([self.widths, np.ascontiguousarray(self.codes).reshape(-1).view(np.uint32)])

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        return header["count"] * (1 + popcount(header["dac_mask"]) * DAC_CHANNELS // 2)

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Pulses:
        n = header["count"]
        return cls(
            codes=payload[n:].view(np.uint16).reshape(n, popcount(header["dac_mask"]), DAC_CHANNELS),
            dac_mask=header["dac_mask"],
            ldac_frame=header["ldac_frame"],
            settle=header["settle"],
            widths=payload[:n],
            crc=bool(header["crc"]),
        )

    @property
    def n_words(self) -> int:
        return self.HEADER_WORDS + self.count + self.codes.size // 2

    def expand(self) -> Iterator[Instruction]:
        for _ in range(self.HEADER_WORDS):
            yield Nop()
        for k in range(self.count):
            yield from self._load(k, self.crc)
            yield self._ldac(self.crc)
            yield Wait(self.settle)
            yield Pulse(int(self.widths[k]))

    def schedule(self, timing: SequencerTiming) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """``(start, ldac, end)`` in cycles from the start of the instruction: when each gate opens, when each entry becomes active,
        and the length of the instruction. Shapes (count,)."""
        load, ldac = self._load_cycles(timing, self.crc)
        period = load + ldac + 2 + self.settle + 1 + self.widths.astype(np.int64)
        end = self.HEADER_WORDS + np.cumsum(period)
        start = end - self.widths
        active = start - 1 - self.settle - 2 - timing.spi_cs_high_cycles
        return start, active, int(end[-1]) if self.count else self.HEADER_WORDS

    def action_cycles(self, timing: SequencerTiming) -> int:
        return self.schedule(timing)[2] - self.n_words


INSTRUCTIONS: tuple[type[Instruction], ...] = (
    Nop, End, Wait, SpiWrite, SpiRead, Shift, OutputEnable, Gate, Pulse, Sample, Collect, Mvm, Pulses,
)  # fmt: skip
BY_OPCODE = {cls.OPCODE: cls for cls in INSTRUCTIONS}
BY_MNEMONIC = {cls.MNEMONIC: cls for cls in INSTRUCTIONS}


def decode(words: Words, position: int) -> tuple[Instruction, int]:
    """The instruction at `position` and the position after it.

    Raises `ProtocolError`, naming the address, for an unknown opcode, bits set outside the layout, or a payload cut short.
    """
    opcode = int(words[position]) >> 24
    cls = BY_OPCODE.get(opcode)
    if cls is None:
        raise ProtocolError(f"word {position}: unknown opcode {opcode:#04x}; the program is corrupt or for another version")
    payload_at = position + cls.HEADER_WORDS
    if payload_at > len(words):
        raise ProtocolError(f"word {position}: {cls.MNEMONIC} is cut short: the program ends inside its header")
    used = [0xFF000000] + [0] * (cls.HEADER_WORDS - 1)
    header: dict[str, int] = {}
    for field in cls.LAYOUT:
        mask = (1 << field.width) - 1
        used[field.word] |= mask << field.lsb
        header[field.name] = int(words[position + field.word]) >> field.lsb & mask
    for i, mask in enumerate(used):
        if stray := int(words[position + i]) & ~mask:
            raise ProtocolError(f"word {position + i}: {cls.MNEMONIC} has reserved bits {stray:#x} set")
    end = payload_at + cls.payload_words(header)
    if end > len(words):
        raise ProtocolError(
            f"word {position}: {cls.MNEMONIC} announces {end - payload_at} payload words, the program has {len(words) - payload_at}"
        )
    return cls.build(header, words[payload_at:end]), end


def table() -> str:
    """The instruction set as a Markdown page."""
    lines = [
        "# Instruction set",
        "",
        f"Version {ISA_VERSION}, hash `{ISA_HASH:#010x}`. Printed by `python -m firmware_bridge.isa`; do not edit.",
        "",
        (__doc__ or "").split("\n\n", 2)[2].strip(),
        "",
    ]
    for cls in INSTRUCTIONS:
        lines += [f"## {cls.MNEMONIC} · `{cls.OPCODE:#04x}`", "", " ".join((cls.__doc__ or "").split()), ""]
        lines += [f"Header: {cls.HEADER_WORDS} word{'s' * (cls.HEADER_WORDS > 1)}. Cost in cycles: {cls.COST}.", ""]
        if cls.LAYOUT:
            lines += ["| word | bits | field | meaning |", "|---|---|---|---|"]
            for f in sorted(cls.LAYOUT, key=lambda f: (f.word, -f.lsb)):
                lines.append(f"| {f.word} | {f.lsb + f.width - 1}:{f.lsb} | `{f.name}` | {f.doc} |")
            lines.append("")
        if cls.PAYLOAD:
            lines += [f"Payload: {cls.PAYLOAD}.", ""]
    return "\n".join(lines)


def _hash() -> int:
    """32 bits that change whenever the encoding or the meaning of an instruction does."""
    text = repr([(c.MNEMONIC, c.OPCODE, c.HEADER_WORDS, c.LAYOUT, c.PAYLOAD, c.COST) for c in INSTRUCTIONS])
    return int.from_bytes(hashlib.sha256(f"{ISA_VERSION}{text}".encode()).digest()[:4], "big")


ISA_HASH = _hash()

if __name__ == "__main__":
    print(table())
