"""The sequencer's instruction set: the one source of encoding, decoding, cost and documentation.

Each instruction is a class with a bit layout. `encode` and `decode` follow the layout; `docs/instruction-set.md` is
printed from it (`python -m firmware_bridge.isa`), and so is the hash that a gateware must report (`ISA_HASH`).

Cost. Fetching takes one clock cycle per instruction word; the action follows. Conversions run beside the sequencer:
SAMPLE returns when the sampling window closes and COLLECT waits for the rest, so whatever stands between the two
costs nothing while it is shorter than the conversion. A streaming instruction is *defined* by `expand()`: the same
single instructions, in the same order, with the same cost; so every bridge that implements the single ones has its
meaning for free, and a fast implementation can be proved.

Words are 32 bits, little-endian. Two 16-bit codes share a word, the lower index in the lower half.
"""

from __future__ import annotations

import hashlib

from firmware_bridge.errors import BoardError, ProtocolError
from firmware_bridge.instruction import (
    Codes,
    Field,
    Instruction,
    Streaming,
    Words,
    conversion_words,
    mask_indices,
    popcount,
)
from firmware_bridge.singles import (
    Collect,
    End,
    Gate,
    Nop,
    OutputEnable,
    Pulse,
    Sample,
    Shift,
    SpiRead,
    SpiWrite,
    Wait,
)
from firmware_bridge.streams import MAX_DACS, Channels, Mvm, Pulses

__all__ = [
    "BY_MNEMONIC", "BY_OPCODE", "INSTRUCTIONS", "ISA_HASH", "ISA_VERSION", "MAX_DACS", "Channels", "Codes", "Collect",
    "End", "Field", "Gate", "Instruction", "Mvm", "Nop", "OutputEnable", "Pulse", "Pulses", "Sample", "Shift",
    "SpiRead", "SpiWrite", "Streaming", "Wait", "Words", "conversion_words", "decode", "mask_indices", "popcount",
    "table",
]  # fmt: skip

ISA_VERSION = 1

INSTRUCTIONS: tuple[type[Instruction], ...] = (
    Nop, End, Wait, SpiWrite, SpiRead, Shift, OutputEnable, Gate, Pulse, Sample, Collect, Mvm, Pulses,
)  # fmt: skip
BY_OPCODE = {cls.OPCODE: cls for cls in INSTRUCTIONS}
BY_MNEMONIC = {cls.MNEMONIC: cls for cls in INSTRUCTIONS}


def decode(words: Words, position: int) -> tuple[Instruction, int]:
    """The instruction at `position` and the position after it.

    Raises `ProtocolError`, naming the address, for an unknown opcode, bits set outside the layout, a payload cut
    short, or one that does not fit the header.
    """
    opcode = int(words[position]) >> 24
    cls = BY_OPCODE.get(opcode)
    if cls is None:
        raise ProtocolError(
            f"word {position}: unknown opcode {opcode:#04x}; the program is corrupt or for another version"
        )
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
            f"word {position}: {cls.MNEMONIC} announces {end - payload_at} payload words, "
            f"the program has {len(words) - payload_at}"
        )
    try:
        return cls.build(header, words[payload_at:end]), end
    except BoardError as error:
        raise ProtocolError(f"word {position}: {error}") from error


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
    print(table(), end="")
