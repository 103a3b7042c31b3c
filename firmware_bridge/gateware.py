"""What the gateware and its drivers share beside the instruction set: registers, memories and error codes.

`firmware_bridge/rtl/xbar_pkg.sv` is printed from this and from the instructions' layouts
(`python -m firmware_bridge.gateware`), and so is the table of docs/gateware.md (`… registers`).
"""

from __future__ import annotations

import hashlib
import sys
from enum import IntEnum, IntFlag
from typing import Literal, NamedTuple

from firmware_bridge.bridge import MAX_FIXED
from firmware_bridge.isa import INSTRUCTIONS, ISA_HASH, ISA_VERSION, MAX_DACS
from firmware_bridge.timing import SequencerTiming

GATEWARE_ID = 0x58424152
"""The register ID: XBAR in ASCII."""
N_DACS, N_ADCS = MAX_DACS, 32
"""Buses that the gateware has; a board may use fewer."""
PROGRAM_WORDS = 24576
RESULT_WORDS = 24576
SAFE_FRAMES = 16
"""Frames that the gateware keeps for making the outputs safe."""


class Register(NamedTuple):
    """A register, or `count` of them in a row, by the word address; the host's bus counts bytes, four to a word."""

    name: str
    address: int
    width: int
    access: Literal["r", "w", "rw"]
    doc: str
    repeat: int = 1


class Control(IntFlag):
    """Bits of CONTROL: what the host asks for."""

    START = 1
    SAFE = 2
    RESET = 4
    LATCH = 8
    STORE = 16


class Status(IntFlag):
    """Bits of STATUS; the error code is in 15:8."""

    BUSY = 1
    RUNNING = 2
    LATCHED = 4
    WATCHDOG = 8
    ACCESS = 16


class Event(IntFlag):
    """Bits of EVENTS. They stay until a one is written to them."""

    OVER = 1
    REFUSED = 2
    WATCHDOG = 4
    ACCESS = 8


TIMING_BASE, TIMING_WIDTH, SAFE_FRAME_BASE, LIMIT_CODE_BASE = 0x10, 16, 0x20, 0x80
TIMING_FIELDS = tuple(name for name in SequencerTiming.model_fields if name != "clock_hz")
REGISTERS = (
    Register("ID", 0x00, 32, "r", "XBAR in ASCII"),
    Register("VERSION", 0x01, 32, "r", "version of the instruction set"),
    Register("MAP_HASH", 0x02, 32, "r", "hash of the instruction set and of this map"),
    Register(
        "CONTROL",
        0x03,
        5,
        "w",
        "bit 0 fetches and runs a program, 1 makes safe, 2 resets the sequencer, 3 latches limits, 4 stores results",
    ),
    Register(
        "STATUS",
        0x04,
        16,
        "r",
        "bit 0 busy, 1 sequencer runs, 2 limits latched, 3 watchdog and 4 refused access of EVENTS, 15:8 error code",
    ),
    Register("ERROR_ADDRESS", 0x05, 16, "r", "program word that was refused"),
    Register("RESULT_COUNT", 0x06, 16, "r", "words in the result memory"),
    Register("CYCLES_LOW", 0x07, 32, "r", "busy cycles of the sequencer since power-up, 31:0"),
    Register("CYCLES_HIGH", 0x08, 32, "r", "busy cycles of the sequencer since power-up, 63:32"),
    Register("DAC_PRESENT", 0x09, N_DACS, "rw", "DACs that the board has"),
    Register("ADC_PRESENT", 0x0A, N_ADCS, "rw", "ADCs that the board has"),
    Register("PROGRAM_LENGTH", 0x0B, 16, "rw", "words of the program, END included"),
    Register("SAFE_WAIT", 0x0C, 32, "rw", "cycles before the safe frames"),
    Register("SAFE_COUNT", 0x0D, 5, "rw", "number of safe frames"),
    *(
        Register(name.upper(), TIMING_BASE + i, TIMING_WIDTH, "rw", f"`SequencerTiming.{name}`")
        for i, name in enumerate(TIMING_FIELDS)
    ),
    Register("SAFE_FRAME", SAFE_FRAME_BASE, 24, "rw", "frames that make safe", SAFE_FRAMES),
    Register("LIMIT_WIDE", 0x30, 1, "rw", "1: a DAC has 16 channels, in registers 10h … 1Fh; 0: 8, in 8h … Fh"),
    Register("LIMIT_REGISTERS", 0x31, 32, "rw", "bit r: DAC register r may be written"),
    Register("LIMIT_WIDTH_LOW", 0x32, 24, "rw", "shortest pulse, cycles"),
    Register("LIMIT_WIDTH_HIGH", 0x33, 24, "rw", "longest pulse, cycles"),
    Register("LIMIT_INTERVAL", 0x34, 32, "rw", "least busy cycles between the starts of two pulses"),
    Register("LIMIT_SR_BITS", 0x35, 8, "rw", "the only length of a SHIFT, 0 any"),
    Register("LIMIT_FIXED", 0x38, 25, "rw", "bit 24: DAC register 22:16 may be given the value 15:0 only", MAX_FIXED),
    Register(
        "EVENTS",
        0x40,
        4,
        "rw",
        "bit 0 program or transfer over, 1 something refused, 2 watchdog, 3 refused access; 1 clears",
    ),
    Register("EVENT_ENABLE", 0x41, 4, "rw", "events that raise the interrupt"),
    Register("WATCHDOG", 0x42, 32, "rw", "cycles without an access after which outputs are made safe, 0 never"),
    Register("CLOCK_HZ", 0x43, 32, "r", "frequency of the clock, Hz"),
    Register(
        "BAD_ACCESS", 0x44, 13, "r", "first access refused since the event was cleared: 11:0 byte, bit 12 a write"
    ),
    Register("PROGRAM_ADDRESS", 0x45, 32, "rw", "device address of the program"),
    Register("RESULT_ADDRESS", 0x46, 32, "rw", "device address of the buffer for results"),
    Register("RESULT_SIZE", 0x47, 16, "rw", "words that the buffer for results holds"),
    Register(
        "LIMIT_CODE",
        LIMIT_CODE_BASE,
        32,
        "rw",
        "of each DAC channel: 31:16 highest code, 15:0 lowest",
        16 * N_DACS,
    ),
)
ADDRESS = {register.name: register.address for register in REGISTERS}
BUS_BYTES = 4096
"""Window of the host's bus."""
BURST_WORDS = 16
"""Longest burst to and from the buffers, which begin at multiples of it."""


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
    LIMIT_FIXED = 17
    LIMIT_WIDTH = 18
    LIMIT_INTERVAL = 19
    LIMIT_CHAIN = 20
    LOCKED = 21
    BUFFER = 22
    FETCH = 23
    STORE = 24
    WATCHDOG = 25


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
    Fault.LOCKED: "limits are not latched, or the watchdog has made safe since; configure() first",
    Fault.BUFFER: "a buffer begins between bursts, or is longer than its memory",
    Fault.FETCH: "the program's buffer could not be read; its device address is no memory",
    Fault.STORE: "the results' buffer could not be written; its device address is no memory",
    Fault.WATCHDOG: "the host was silent for longer than the watchdog allows",
}
LIMIT_FAULTS = frozenset(fault for fault in Fault if fault.name.startswith("LIMIT_"))
"""Faults that `firmware_bridge.limit_check` explains."""
PROGRAM_FAULTS = frozenset({Fault.LOCKED, Fault.BUFFER, Fault.FETCH, Fault.STORE, Fault.WATCHDOG})
"""Faults that are no word's."""


def _hash() -> int:
    registers = [(r.name, r.address, r.width, r.access, r.repeat) for r in REGISTERS]
    bits = [[(member.name, int(member)) for member in kind] for kind in (Control, Status, Event, Fault)]
    text = repr((ISA_HASH, registers, bits, BURST_WORDS, PROGRAM_WORDS, RESULT_WORDS))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


MAP_HASH = _hash()


def _runs(registers: list[Register]) -> str:
    """SystemVerilog: whether `address` is one of them."""
    addresses = sorted(a for r in registers for a in range(r.address, r.address + r.repeat))
    starts = [a for a in addresses if a - 1 not in addresses]
    ends = [a for a in addresses if a + 1 not in addresses]
    terms = [f"address <= 10'h{e:x}" if s == 0 else f"(address >= 10'h{s:x} && address <= 10'h{e:x})"
             for s, e in zip(starts, ends, strict=True)]  # fmt: skip
    return "\n        || ".join(terms)


def package() -> str:
    """The SystemVerilog package."""
    lines = ["// Printed by `python -m firmware_bridge.gateware`; do not edit.", ""]
    # A table: not every constant in it has a use.
    lines += ["/* verilator lint_off UNUSEDPARAM */", "package xbar_pkg;"]

    def constant(name: str, value: int, width: int = 32) -> None:
        lines.append(f"  localparam logic [{width - 1}:0] {name} = {width}'h{value:x};")

    for name, value in (("N_DACS", N_DACS), ("N_ADCS", N_ADCS), ("N_SAFE_FRAMES", SAFE_FRAMES)):
        lines.append(f"  localparam int {name} = {value};")
    for name, value in (
        ("PROGRAM_WORDS", PROGRAM_WORDS), ("RESULT_WORDS", RESULT_WORDS), ("BURST_WORDS", BURST_WORDS),
    ):  # fmt: skip
        lines.append(f"  localparam int {name} = {value};")
    lines.append(f"  localparam int TIMING_WIDTH = {TIMING_WIDTH};")
    for name, value in (("ID_VALUE", GATEWARE_ID), ("VERSION_VALUE", ISA_VERSION), ("MAP_HASH_VALUE", MAP_HASH)):
        constant(name, value)
    lines += ["", "  // Registers, by word address on the host's bus"]
    for register in REGISTERS:
        constant(f"REG_{register.name}", register.address, 8)
    for function, access in (("is_register", "rw"), ("is_writable", "w")):
        which = [register for register in REGISTERS if set(access) & set(register.access)]
        lines += [
            "",
            f"  function automatic logic {function}(logic [9:0] address);",
            f"    return {_runs(which)};",
            "  endfunction",
        ]
    lines += ["", "  // Timing at power-up, so that making safe before the first configuration works"]
    lines += [f"  function automatic logic [{TIMING_WIDTH - 1}:0] timing_reset(logic [3:0] index);", "    case (index)"]
    fastest = SequencerTiming()
    for i, name in enumerate(TIMING_FIELDS):
        lines.append(f"      4'd{i}: return {TIMING_WIDTH}'d{getattr(fastest, name)};")
    lines += ["      default: return '0;", "    endcase", "  endfunction"]
    for title, kind in (("Bits of CONTROL", Control), ("Bits of STATUS", Status), ("Bits of EVENTS", Event)):
        lines += ["", f"  // {title}"]
        for member in kind:
            bit = int(member).bit_length() - 1
            lines.append(f"  localparam int {kind.__name__.upper()}_{member.name}_BIT = {bit};")
    lines += ["", "  // Why a word, or a program, is refused"]
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


def register_table() -> str:
    """The registers as a table in Markdown, for docs/gateware.md."""
    lines = ["| byte | register | bits | | |", "|---|---|---|---|---|"]
    access = {"r": "read", "w": "write", "rw": "read, write"}
    for r in REGISTERS:
        first, last = 4 * r.address, 4 * (r.address + r.repeat - 1)
        where = f"`{first:03X}`" if r.repeat == 1 else f"`{first:03X}` … `{last:03X}`"
        lines.append(f"| {where} | `{r.name}` | {r.width} | {access[r.access]} | {r.doc} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(register_table() if sys.argv[1:] == ["registers"] else package(), end="")
