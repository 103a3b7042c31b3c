"""The streaming instructions: arrays of vectors and arrays of pulses, defined by single instructions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.instruction import (
    SOURCE,
    Codes,
    Field,
    Instruction,
    Streaming,
    Words,
    chain_words,
    conversion_words,
    popcount,
)
from firmware_bridge.singles import MAX_WIDTH, Collect, Nop, Pulse, Sample, Shift, SpiWrite, Wait, check_chain_word
from firmware_bridge.timing import SequencerTiming

Cycles = NDArray[np.int64]

_UINT16 = np.dtype(np.uint16)
MAX_DACS = 8
"""A DAC mask has eight bits."""
Channels = Literal[8, 16]
"""Channels of one DAC. A streamed vector carries a code for every channel of each DAC in its mask; the registers of the
channels begin at the address that is their number: 8 … 15, or 16 … 31."""


@dataclass(frozen=True, eq=False)
class _CodeStream(Streaming):
    """Payload: a block of DAC codes, shape (n, DACs in mask, channels of a DAC)."""

    codes: Codes
    dac_mask: int
    ldac_frame: int
    settle: int

    def __post_init__(self) -> None:
        codes, n_dacs = self.codes, self.dac_mask.bit_count()
        if codes.dtype != _UINT16 or codes.shape[1:] not in ((n_dacs, 8), (n_dacs, 16)):
            raise ProtocolError(
                f"{self.MNEMONIC}: codes have shape {self.codes.shape} and type {self.codes.dtype}; "
                f"expected (n, {n_dacs}, 8 or 16) uint16 for mask {self.dac_mask:#x}"
            )
        super().__post_init__()

    @property
    def count(self) -> int:
        return len(self.codes)

    @property
    def channels(self) -> int:
        """Channels of each DAC, and address of the first one's register."""
        return self.codes.shape[2]

    @property
    def wide(self) -> bool:
        """Whether a DAC has sixteen channels."""
        return self.channels == 16

    def _load(self, k: int, crc: bool) -> Iterator[Instruction]:
        """Frames that bring vector k into the DACs' buffers, one channel of every DAC at a time."""
        for channel in range(self.channels):
            address = (self.channels + channel) << 16
            yield SpiWrite(self.dac_mask, tuple(address | int(c) for c in self.codes[k, :, channel]), crc)

    def _ldac(self, crc: bool) -> Instruction:
        return SpiWrite(self.dac_mask, (self.ldac_frame,) * popcount(self.dac_mask), crc)


_STREAM_FIELDS = (
    Field("dac_mask", 0, 0, 8, "DACs that a vector loads"),
    Field("crc", 0, 8, 1, "frames carry CRC-8"),
    Field("wide", 0, 13, 1, "a DAC has 16 channels, in registers 10h … 1Fh; else 8, in 8h … Fh"),
    Field("count", 1, 0, 16, "number of vectors"),
    Field("settle", 2, 0, 32, "cycles from LDAC to the sample or pulse"),
    Field("ldac_frame", 3, 0, 24, "frame that makes the loaded codes active"),
)


@dataclass(frozen=True, eq=False)
class Mvm(_CodeStream):
    """Apply a block of input vectors and convert the source lines for each: matrix-vector products, reads of an array.

    For each vector: load, LDAC, settle, then one conversion per mux position. The next vector is loaded while the
    first position converts; it becomes active once the last position has been sampled. Results are
    (count, positions, ⌈ADCs/2⌉) words.
    """

    MNEMONIC = "MVM"
    OPCODE = 0x50
    HEADER_WORDS = 6
    LAYOUT = (
        *_STREAM_FIELDS,
        Field("n_positions", 0, 9, 4, "mux positions per vector"),
        Field("sr_bits", 0, 16, 8, "length of a mux word"),
        Field("adc_mask", 4, 0, 32, "ADCs that convert"),
        Field("mux_settle", 5, 0, 32, "cycles from a new mux word to the sample"),
    )
    PAYLOAD = "mux words (positions × ⌈sr_bits/32⌉), then codes (count × DACs × channels, two to a word)"
    COST = "that of `expand()`: ≈ count × positions × conversion"

    positions: tuple[int, ...]
    sr_bits: int
    adc_mask: int
    mux_settle: int
    crc: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.positions:
            raise ProtocolError("MVM: no mux position given; at least one is needed")
        _check_positions(self.sr_bits, self.positions)

    @property
    def n_positions(self) -> int:
        """Mux positions per vector."""
        return len(self.positions)

    def payload(self) -> Words:
        mux = [w >> 32 * i & 0xFFFFFFFF for w in self.positions for i in range(chain_words(self.sr_bits))]
        return np.concatenate([np.array(mux, np.uint32), np.ascontiguousarray(self.codes).reshape(-1).view(np.uint32)])

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        mux = header["n_positions"] * chain_words(header["sr_bits"])
        return mux + header["count"] * popcount(header["dac_mask"]) * _channels(header) // 2

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Mvm:
        per = chain_words(header["sr_bits"])
        n_mux = header["n_positions"] * per
        positions = tuple(
            sum(int(payload[p * per + i]) << 32 * i for i in range(per)) for p in range(header["n_positions"])
        )
        return cls(
            codes=payload[n_mux:]
            .view(np.uint16)
            .reshape(header["count"], popcount(header["dac_mask"]), _channels(header)),
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
        return self.HEADER_WORDS + self.n_positions * chain_words(self.sr_bits) + self.codes.size // 2

    @property
    def n_results(self) -> int:
        return self.count * self.n_positions * conversion_words(self.adc_mask)

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

    def schedule(self, timing: SequencerTiming) -> MvmSchedule:
        """When things happen, without expanding the instruction."""
        n, n_dacs, channels = self.codes.shape
        n_adcs, p = self.adc_mask.bit_count(), len(self.positions)
        load = _load_cycles(timing, n_dacs, channels, self.crc)
        return _mvm_schedule(n, load, p, self.sr_bits, self.settle, self.mux_settle, n_adcs, timing)

    def cycles(self, timing: SequencerTiming) -> int:
        return self.schedule(timing).end


@lru_cache(maxsize=64)
def _check_positions(sr_bits: int, positions: tuple[int, ...]) -> None:
    for word in positions:
        check_chain_word(Mvm.MNEMONIC, sr_bits, word)


class MvmSchedule(NamedTuple):
    """Cycles from the start of an MVM; the arrays are read-only."""

    sample: Cycles
    """(count, positions): when each sampling window closes."""
    active: Cycles
    """(count,): when each vector becomes active."""
    first: tuple[int, int]
    """When the first vector becomes active, and its first window closes; 0 without any."""
    last: tuple[int, int]
    """When the last vector becomes active, and its last window closes; 0 without any."""
    rest: int
    """Least distance from a vector becoming active to its first window closing."""
    end: int
    """Length of the instruction."""


def _channels(header: dict[str, int]) -> int:
    """Channels of each DAC that a decoded header announces."""
    return 16 if header["wide"] else 8


@lru_cache(maxsize=64)
def _load_cycles(timing: SequencerTiming, n_dacs: int, channels: int, crc: bool) -> tuple[int, int]:
    """Cycles of loading one vector into `n_dacs` chips, and of the LDAC frame."""
    frame = 1 + n_dacs + timing.spi_frame_cycles(32 if crc else 24, read=False)
    return channels * frame, frame


@lru_cache(maxsize=64)
def _mvm_schedule(
    n: int,
    load_ldac: tuple[int, int],
    p: int,
    sr_bits: int,
    settle: int,
    mux_settle: int,
    n_adcs: int,
    timing: SequencerTiming,
) -> MvmSchedule:
    """`Mvm.schedule` for n vectors that take `_load_cycles`, p positions and `n_adcs` converters."""
    if not n:
        return MvmSchedule(np.empty((0, p), np.int64), np.empty(0, np.int64), (0, 0), (0, 0), 0, Mvm.HEADER_WORDS)
    load, ldac = load_ldac
    shift = 1 + chain_words(sr_bits) + timing.shift_cycles(sr_bits)
    push = (n_adcs + 1) // 2
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
    return MvmSchedule(
        sample,
        active,
        (int(active[0]), int(sample[0, 0])),
        (int(active[-1]), int(sample[-1, -1])),
        int((sample[:, 0] - active).min()),
        int(begin[-1] + tail.sum()),
    )


@dataclass(frozen=True, eq=False)
class Pulses(_CodeStream):
    """Apply a table of pulses: for each, load all lines, LDAC, settle, connect the bit lines for exactly its width."""

    MNEMONIC = "PULSES"
    OPCODE = 0x51
    HEADER_WORDS = 4
    LAYOUT = _STREAM_FIELDS
    PAYLOAD = "widths (count words), then codes (count × DACs × channels, two to a word)"
    COST = "that of `expand()`: count × (load + LDAC + settle + width)"

    widths: NDArray[np.uint32]
    crc: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.widths.dtype != np.uint32 or self.widths.shape != (self.count,):
            raise ProtocolError(
                f"PULSES: widths have shape {self.widths.shape} and type {self.widths.dtype}; "
                f"expected ({self.count},) uint32"
            )
        for width in (self.widths.min(initial=1), self.widths.max(initial=1)):
            if not 0 < width <= MAX_WIDTH:
                raise LimitError("PULSES.width", int(width), (1, MAX_WIDTH), source=SOURCE)

    def payload(self) -> Words:
        return np.concatenate([self.widths, np.ascontiguousarray(self.codes).reshape(-1).view(np.uint32)])

    @classmethod
    def payload_words(cls, header: dict[str, int]) -> int:
        return header["count"] * (1 + popcount(header["dac_mask"]) * _channels(header) // 2)

    @classmethod
    def build(cls, header: dict[str, int], payload: Words) -> Pulses:
        n = header["count"]
        return cls(
            codes=payload[n:].view(np.uint16).reshape(n, popcount(header["dac_mask"]), _channels(header)),
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

    def schedule(self, timing: SequencerTiming) -> PulseSchedule:
        """When things happen, without expanding the instruction."""
        load, ldac = _load_cycles(timing, *self.codes.shape[1:], self.crc)
        period = load + ldac + 2 + self.settle + 1 + self.widths.astype(np.int64)
        end = self.HEADER_WORDS + np.cumsum(period)
        start = end - self.widths
        active = start - 1 - self.settle - 2 - timing.spi_cs_high_cycles
        return PulseSchedule(start, active, int(end[-1]) if self.count else self.HEADER_WORDS)

    def cycles(self, timing: SequencerTiming) -> int:
        return self.schedule(timing).end


class PulseSchedule(NamedTuple):
    """Cycles from the start of a PULSES."""

    start: Cycles
    """(count,): when each gate opens."""
    active: Cycles
    """(count,): when each entry's codes become active."""
    end: int
    """Length of the instruction."""
