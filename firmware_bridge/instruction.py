"""What every instruction of the sequencer is: a bit layout, a payload, results, a cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import LimitError
from firmware_bridge.timing import SequencerTiming

Words = NDArray[np.uint32]
Codes = NDArray[np.uint16]

SOURCE = "instruction set"
"""Who sets a limit that a value's bits impose, in messages."""


@dataclass(frozen=True)
class Field:
    """`width` bits from bit `lsb` of header word `word`; `name` is the attribute that holds the value."""

    name: str
    word: int
    lsb: int
    width: int
    doc: str

    def check(self, mnemonic: str, value: int) -> None:
        """Raise `LimitError` if `value` does not fit."""
        if value >> self.width:  # −1 for a negative value
            raise LimitError(f"{mnemonic}.{self.name}", value, (0, (1 << self.width) - 1), source=SOURCE)


class Instruction:
    """One instruction. Subclasses are frozen dataclasses of the layout's fields and, where they carry one, a payload.

    Making one raises `LimitError` for a field that does not fit its bits and `ProtocolError` for a payload that does
    not fit the fields, so that whatever exists can be encoded.
    """

    MNEMONIC: ClassVar[str]
    OPCODE: ClassVar[int]
    LAYOUT: ClassVar[tuple[Field, ...]] = ()
    PAYLOAD: ClassVar[str] = ""
    COST: ClassVar[str]
    HEADER_WORDS: ClassVar[int] = 1

    def __post_init__(self) -> None:
        # mypy takes the hash of an instance for that of the class.
        check_fields(type(self), tuple([getattr(self, field.name) for field in self.LAYOUT]))  # type: ignore[arg-type]

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
        """Encoded form."""
        header = np.zeros(self.HEADER_WORDS, np.uint32)
        header[0] = self.OPCODE << 24
        for field in self.LAYOUT:
            header[field.word] |= np.uint32(int(getattr(self, field.name)) << field.lsb)
        payload = self.payload()
        return np.concatenate([header, payload]) if payload.size else header

    @property
    def n_words(self) -> int:
        """Length of the encoded form in words."""
        return self.HEADER_WORDS

    @property
    def n_results(self) -> int:
        """Number of result words that the instruction pushes (COLLECT: see `Program.n_results`)."""
        return 0

    def action_cycles(self, timing: SequencerTiming) -> int:
        """Clock cycles after the fetch, from the operands alone: all but COLLECT and streams, for which see `Clock`."""
        return 0

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Instruction) and type(self) is type(other) and np.array_equal(self.words(), other.words())
        )

    def __hash__(self) -> int:
        return hash(self.words().tobytes())


@lru_cache(maxsize=256)
def check_fields(cls: type[Instruction], values: tuple[int, ...]) -> None:
    """Raise `LimitError` if a field of the layout does not fit its bits. Drivers use few values, again and again."""
    for field, value in zip(cls.LAYOUT, values, strict=True):
        field.check(cls.MNEMONIC, value)


class Streaming(Instruction):
    """An instruction that stands for many single ones."""

    def expand(self) -> Iterator[Instruction]:
        """The single instructions that this one stands for, in order; each word of its header counts as a NOP."""
        raise NotImplementedError

    def cycles(self, timing: SequencerTiming) -> int:
        """Length in clock cycles, fetch included: that of the single instructions."""
        raise NotImplementedError


def popcount(mask: int) -> int:
    """Number of set bits."""
    return mask.bit_count()


def mask_indices(mask: int) -> list[int]:
    """Indices of the set bits, ascending: the order of frames, codes and result words."""
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def conversion_words(adc_mask: int) -> int:
    """Result words of one conversion of the ADCs in a mask: two codes to a word."""
    return (adc_mask.bit_count() + 1) // 2


def chain_words(bits: int) -> int:
    """Words that a shift-register word of `bits` bits takes."""
    return (bits + 31) // 32
