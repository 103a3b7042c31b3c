"""A `Program`: the unit of work that goes down to a board."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from firmware_bridge.errors import BoardError, ProtocolError
from firmware_bridge.isa import (
    BY_MNEMONIC,
    Collect,
    End,
    Instruction,
    Sample,
    Streaming,
    Words,
    conversion_words,
    decode,
)
from firmware_bridge.timing import SequencerTiming


@dataclass
class Program:
    """A list of instructions. Drivers append to it; a bridge runs it. END is implied and written by `words()`.

    >>> from firmware_bridge.isa import Nop
    >>> program = Program()
    >>> program.append(Nop())
    >>> Program.from_words(program.words()) == program
    True
    """

    instructions: list[Instruction] = field(default_factory=list)

    def __post_init__(self) -> None:
        for instruction in self.instructions:
            _refuse_end(instruction)

    def append(self, *instructions: Instruction) -> None:
        """Add instructions at the end. Raises `ProtocolError` for END."""
        for instruction in instructions:
            _refuse_end(instruction)
        self.instructions.extend(instructions)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    def __len__(self) -> int:
        return len(self.instructions)

    # -- assembler -------------------------------------------------------------------------------------------
    def words(self) -> Words:
        """The binary form, END included."""
        return np.concatenate([i.words() for i in (*self.instructions, End())])

    @property
    def n_words(self) -> int:
        """Length of the binary form, END included."""
        return sum(i.n_words for i in self.instructions) + 1

    @property
    def n_results(self) -> int:
        """Number of result words that the program brings back."""
        total, adc_mask = 0, 0
        for instruction in self.instructions:
            if isinstance(instruction, Sample):
                adc_mask = instruction.adc_mask
            total += conversion_words(adc_mask) if isinstance(instruction, Collect) else instruction.n_results
        return total

    @classmethod
    def from_words(cls, words: Words) -> Program:
        """The inverse of `words()`. Raises `ProtocolError` with the address of the first word that makes no sense."""
        words = np.ascontiguousarray(words, np.uint32)
        position = 0
        instructions: list[Instruction] = []
        while position < len(words):
            instruction, position = decode(words, position)
            if isinstance(instruction, End):
                if position != len(words):
                    raise ProtocolError(f"word {position}: {len(words) - position} words follow END")
                return cls(instructions)
            instructions.append(instruction)
        raise ProtocolError(f"word {len(words)}: the program has no END; it is cut short")

    # -- text ------------------------------------------------------------------------------------------------
    def text(self) -> str:
        """One line per instruction: mnemonic, header fields, payload words in hexadecimal."""
        lines = []
        for i in self.instructions:
            parts = [i.MNEMONIC] + [f"{f.name}={int(getattr(i, f.name)):#x}" for f in i.LAYOUT]
            if len(payload := i.payload()):
                parts += [":"] + [f"{int(w):08x}" for w in payload]
            lines.append(" ".join(parts))
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Program:
        """The inverse of `text()`; skips empty lines and `#` comments. Raises `ProtocolError` with the line number."""
        program = cls()
        for number, line in enumerate(text.splitlines(), 1):
            line = line.partition("#")[0].strip()
            if line:
                program.append(_parse(line, number))
        return program

    # -- cost ------------------------------------------------------------------------------------------------
    def expanded(self) -> Program:
        """The same program with every streaming instruction spelled out in single ones."""
        return Program([s for i in self.instructions for s in (i.expand() if isinstance(i, Streaming) else (i,))])

    def cycles(self, timing: SequencerTiming) -> int:
        """Exact duration in clock cycles, END included."""
        clock = Clock(timing)
        for instruction in (*self.instructions, End()):
            clock.issue(instruction)
        return clock.now


class Clock:
    """Walks a program's instructions in time: the one place where SAMPLE and COLLECT overlap with the rest."""

    def __init__(self, timing: SequencerTiming, now: int = 0) -> None:
        self.timing = timing
        self.now = now
        self.sampling: Sample | None = None
        """The conversion that is running, until COLLECT."""
        self._cs_fall = 0

    def issue(self, instruction: Instruction) -> int:
        """Advance over one instruction; returns the cycle at which its action begins, after its fetch."""
        if self.sampling is not None and isinstance(instruction, Sample | Streaming | End):
            raise ProtocolError(f"{instruction.MNEMONIC} while a conversion is running; COLLECT first")
        if isinstance(instruction, Streaming):
            # The payload of a stream is fetched by the operations that it stands for.
            begin = self.now + instruction.HEADER_WORDS
            self.now += instruction.cycles(self.timing)
            return begin
        begin = self.now + instruction.n_words
        if isinstance(instruction, Collect):
            if self.sampling is None:
                raise ProtocolError("COLLECT without a SAMPLE before it")
            begin = max(begin, self._cs_fall + self.timing.adc_conversion_cycles)
            self.now = begin + conversion_words(self.sampling.adc_mask)
            self.sampling = None
            return begin
        if isinstance(instruction, Sample):
            self.sampling, self._cs_fall = instruction, begin
        self.now = begin + instruction.action_cycles(self.timing)
        return begin


def _parse(line: str, number: int) -> Instruction:
    head, _, tail = line.partition(":")
    mnemonic, *assignments = head.split()
    cls = BY_MNEMONIC.get(mnemonic)
    if cls is None:
        raise ProtocolError(f"line {number}: unknown instruction {mnemonic!r}; there are {', '.join(BY_MNEMONIC)}")
    try:
        given = [(name, int(value, 0)) for name, value in (a.split("=") for a in assignments)]
        payload = np.array([_word(w) for w in tail.split()], np.uint32)
    except ValueError as error:
        raise ProtocolError(f"line {number}: {line!r}: {error}") from error
    if sorted(name for name, _ in given) != sorted(f.name for f in cls.LAYOUT):
        fields = ", ".join(f.name for f in cls.LAYOUT) or "none"
        raise ProtocolError(f"line {number}: {mnemonic} takes each of these fields once: {fields}")
    header = dict(given)
    try:
        for layout in cls.LAYOUT:
            layout.check(mnemonic, header[layout.name])
        if len(payload) != (needs := cls.payload_words(header)):
            raise ProtocolError(f"{mnemonic} needs {needs} payload words, got {len(payload)}")
        instruction = cls.build(header, payload)
        _refuse_end(instruction)
    except BoardError as error:
        raise ProtocolError(f"line {number}: {error}") from error
    return instruction


def _word(text: str) -> int:
    word = int(text, 16)
    if word >> 32:
        raise ValueError(f"{text} is not a 32-bit word")
    return word


def _refuse_end(instruction: Instruction) -> None:
    if isinstance(instruction, End):
        raise ProtocolError("END is implied at the end of a program and may stand nowhere else; leave it out")
