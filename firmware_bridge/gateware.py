"""What the gateware and its drivers share beside the instruction set: registers, memories and error codes.

`firmware_bridge/rtl/xbar_pkg.sv` is printed from this and from the instructions' layouts
(`python -m firmware_bridge.gateware`).
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import NamedTuple

from firmware_bridge.isa import INSTRUCTIONS, ISA_HASH, ISA_VERSION
from firmware_bridge.timing import SequencerTiming

GATEWARE_ID = 0x58424152
"""The register ID: XBAR in ASCII."""
N_DACS, N_ADCS = 8, 32
"""Buses that the gateware has; a board may use fewer."""
PROGRAM_WORDS = 24576
RESULT_WORDS = 24576
SAFE_FRAMES = 16
"""Frames that the gateware keeps for making the outputs safe."""


class Register(NamedTuple):
    """A register by its word address."""

    name: str
    address: int
    width: int
    doc: str


TIMING_BASE, TIMING_WIDTH, SAFE_FRAME_BASE, LIMIT_CODE_BASE = 0x10, 16, 0x20, 0x40
TIMING_FIELDS = tuple(name for name in SequencerTiming.model_fields if name != "clock_hz")
REGISTERS = (
    Register("ID", 0x00, 32, "read: XBAR in ASCII"),
    Register("VERSION", 0x01, 32, "read: version of the instruction set"),
    Register("MAP_HASH", 0x02, 32, "read: hash of the instruction set and of this map"),
    Register(
        "CONTROL", 0x03, 4, "write: bit 0 starts the program, 1 makes safe, 2 resets the sequencer, 3 latches limits"
    ),
    Register("STATUS", 0x04, 16, "read: bit 0 busy, 2 limits latched, 15:8 error code"),
    Register("ERROR_ADDRESS", 0x05, 16, "read: program word that was refused"),
    Register("RESULT_COUNT", 0x06, 16, "read: words in the result memory"),
    Register("CYCLES_LOW", 0x07, 32, "read: busy cycles since power-up, 31:0"),
    Register("CYCLES_HIGH", 0x08, 32, "read: busy cycles since power-up, 63:32"),
    Register("DAC_PRESENT", 0x09, N_DACS, "DACs that the board has"),
    Register("ADC_PRESENT", 0x0A, N_ADCS, "ADCs that the board has"),
    Register("PROGRAM_LENGTH", 0x0B, 16, "words of the program, END included"),
    Register("SAFE_WAIT", 0x0C, 32, "cycles before the safe frames"),
    Register("SAFE_COUNT", 0x0D, 5, "number of safe frames"),
    *(
        Register(name.upper(), TIMING_BASE + i, TIMING_WIDTH, f"`SequencerTiming.{name}`")
        for i, name in enumerate(TIMING_FIELDS)
    ),
    Register("SAFE_FRAME", SAFE_FRAME_BASE, 24, f"first of {SAFE_FRAMES} safe frames"),
    Register("LIMIT_GAIN", 0x30, 17, "15:0 the only GAIN value, bit 16 any"),
    Register("LIMIT_REGISTERS", 0x31, 16, "bit r: DAC register r may be written"),
    Register("LIMIT_WIDTH_LOW", 0x32, 24, "shortest pulse, cycles"),
    Register("LIMIT_WIDTH_HIGH", 0x33, 24, "longest pulse, cycles"),
    Register("LIMIT_INTERVAL", 0x34, 32, "least busy cycles between the starts of two pulses"),
    Register("LIMIT_SR_BITS", 0x35, 8, "the only length of a SHIFT, 0 any"),
    Register(
        "LIMIT_CODE", LIMIT_CODE_BASE, 32, "first of 64, one for each DAC channel: 31:16 highest code, 15:0 lowest"
    ),
)
ADDRESS = {register.name: register.address for register in REGISTERS}
PROGRAM_BASE, RESULT_BASE = 0x8000, 0x10000
"""Where the memories begin on the host's bus (word addresses)."""


class Fault(IntEnum):
    """Why the sequencer refused a word."""

    NONE = 0
    OPCODE = 1
    RESERVED = 2
    FRAME = 3
    CHAIN = 4
    WIDTH = 5
    CONNECTED = 6
    SAMPLING = 7
    NO_SAMPLE = 8
    NO_CHIP = 9
    POSITIONS = 10
    CUT_SHORT = 11
    AFTER_END = 12
    RESULTS_FULL = 13
    STOPPED = 14
    LIMIT_CODE = 15
    LIMIT_REGISTER = 16
    LIMIT_GAIN = 17
    LIMIT_WIDTH = 18
    LIMIT_INTERVAL = 19
    LIMIT_CHAIN = 20


FAULT_TEXT = {
    Fault.OPCODE: "unknown opcode; the program is corrupt or for another version",
    Fault.RESERVED: "reserved bits are set",
    Fault.FRAME: "a frame has more than 24 bits",
    Fault.CHAIN: "a chain word has no bits, or more than it announces",
    Fault.WIDTH: "a pulse's width must be 1 … 2^24 − 1 cycles",
    Fault.CONNECTED: "PULSE while the bit lines are connected; GATE 0 first",
    Fault.SAMPLING: "not while a conversion is running; COLLECT first",
    Fault.NO_SAMPLE: "COLLECT without a SAMPLE before it",
    Fault.NO_CHIP: "the mask names a chip that the board does not have",
    Fault.POSITIONS: "MVM without a mux position",
    Fault.CUT_SHORT: "the program ends without END",
    Fault.AFTER_END: "words follow END",
    Fault.RESULTS_FULL: "the result memory is full; cut the program into several",
    Fault.STOPPED: "stopped on request",
}
LIMIT_FAULTS = frozenset(fault for fault in Fault if fault.name.startswith("LIMIT_"))
"""Faults that `firmware_bridge.limit_check` explains."""


def _hash() -> int:
    text = repr((ISA_HASH, REGISTERS, PROGRAM_BASE, RESULT_BASE, PROGRAM_WORDS, RESULT_WORDS, list(Fault)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


MAP_HASH = _hash()


def package() -> str:
    """The SystemVerilog package."""
    lines = ["// Printed by `python -m firmware_bridge.gateware`; do not edit.", ""]
    # A table: not every constant in it has a use.
    lines += ["/* verilator lint_off UNUSEDPARAM */", "package xbar_pkg;"]

    def constant(name: str, value: int, width: int = 32) -> None:
        lines.append(f"  localparam logic [{width - 1}:0] {name} = {width}'h{value:x};")

    for name, value in (("N_DACS", N_DACS), ("N_ADCS", N_ADCS), ("N_SAFE_FRAMES", SAFE_FRAMES)):
        lines.append(f"  localparam int {name} = {value};")
    for name, value in (("PROGRAM_WORDS", PROGRAM_WORDS), ("RESULT_WORDS", RESULT_WORDS)):
        lines.append(f"  localparam int {name} = {value};")
    lines.append(f"  localparam int TIMING_WIDTH = {TIMING_WIDTH};")
    for name, value in (("ID_VALUE", GATEWARE_ID), ("VERSION_VALUE", ISA_VERSION), ("MAP_HASH_VALUE", MAP_HASH)):
        constant(name, value)
    lines += ["", "  // Registers, by word address on the host's bus"]
    for register in REGISTERS:
        constant(f"REG_{register.name}", register.address, 8)
    lines += ["", "  // Why a word is refused"]
    for fault in Fault:
        constant(f"FAULT_{fault.name}", fault, 8)
    lines += ["", "  // Instructions, and where their fields are"]
    for cls in INSTRUCTIONS:
        constant(f"OP_{cls.MNEMONIC}", cls.OPCODE, 8)
        for field in cls.LAYOUT:
            prefix = f"{cls.MNEMONIC}_{field.name.upper()}"
            lines.append(f"  localparam int {prefix}_LSB = {field.lsb}, {prefix}_WIDTH = {field.width};")
    lines += [
        "",
        "  // Bits of header word `index` that an instruction leaves unused and that must be zero; an unknown",
        "  // opcode leaves all unused.",
        "  function automatic logic [31:0] reserved_bits(logic [7:0] opcode, logic [2:0] index);",
        "    case ({opcode, index})",
    ]
    for cls in INSTRUCTIONS:
        for word in range(cls.HEADER_WORDS):
            used = 0xFF000000 if word == 0 else 0
            for field in cls.LAYOUT:
                used |= (((1 << field.width) - 1) << field.lsb) if field.word == word else 0
            lines.append(f"      {{OP_{cls.MNEMONIC}, 3'd{word}}}: return 32'h{~used & 0xFFFFFFFF:08x};")
    lines += ["      default: return 32'hffffffff;", "    endcase", "  endfunction", "endpackage"]
    lines += ["/* verilator lint_on UNUSEDPARAM */"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(package(), end="")
