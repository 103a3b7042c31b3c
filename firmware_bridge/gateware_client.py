"""The gateware's registers as a `Bridge`: once, for the Verilated model and for the board alike.

What carries the accesses is a `RegisterBus`. Programs and results lie in buffers that the gateware reads and writes
itself; what goes over the bus is a handful of registers for each program.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.bridge import NOT_CONFIGURED, Identity, Result, SequencerConfig, SequencerLimits, latch
from firmware_bridge.errors import BoardError, LimitError, ProtocolError
from firmware_bridge.gateware import (
    ADDRESS,
    BURST_WORDS,
    FAULT_TEXT,
    GATEWARE_ID,
    LIMIT_FAULTS,
    MAP_HASH,
    N_ADCS,
    N_DACS,
    PROGRAM_FAULTS,
    PROGRAM_WORDS,
    RESULT_WORDS,
    SAFE_FRAMES,
    TIMING_FIELDS,
    TIMING_WIDTH,
    Control,
    Event,
    Fault,
    Status,
)
from firmware_bridge.isa import ISA_HASH, ISA_VERSION, Words
from firmware_bridge.limit_check import LimitCheck
from firmware_bridge.limit_registers import held_limits, limit_registers
from firmware_bridge.program import Program
from firmware_bridge.wiring import Wiring


class Buffer(Protocol):
    """Memory that the gateware reaches, as pynq's `allocate` gives it: an array, and where it lies for a device."""

    device_address: int

    def flush(self) -> None:
        """What was written becomes visible to the gateware."""

    def invalidate(self) -> None:
        """What the gateware has written becomes visible here."""

    def __getitem__(self, index: slice, /) -> NDArray[np.uint32]: ...

    def __setitem__(self, index: slice, words: Words, /) -> None: ...


class RegisterBus(Protocol):
    """Carries accesses to the gateware's registers, by byte address, and lends it memory."""

    def read(self, address: int) -> int:
        """Word of a register."""

    def write(self, address: int, word: int) -> None:
        """Write a register."""

    def allocate(self, n_words: int) -> Buffer:
        """A buffer of 32-bit words that begins where a burst may begin."""

    def wait(self) -> None:
        """Let time pass before the next look at a gateware that is busy."""


class GatewareBridge:
    """A `Bridge` to gateware behind a bus.

    wiring: of the board, which says what the gateware has at its pins.

    Raises `ProtocolError` for other gateware than this software's, and `LimitError` for a board that it has too few
    pins for. What an earlier host has left is made safe.
    """

    def __init__(self, bus: RegisterBus, wiring: Wiring, *, kind: str, serial: str) -> None:
        self._bus = bus
        for name, there_are, most in (("DACs", wiring.n_dacs, N_DACS), ("ADCs", wiring.n_adcs, N_ADCS)):
            if there_are > most:
                raise LimitError(name, there_are, most, source="gateware")
        wanted = {"ID": GATEWARE_ID, "VERSION": ISA_VERSION, "MAP_HASH": MAP_HASH}
        found = {name: self._read(name) for name in wanted}
        for name, value in wanted.items():
            if found[name] != value:
                raise ProtocolError(
                    f"register {name} reads {found[name]:#010x}, this software expects {value:#010x}: the gateware is "
                    "of another release; load the bitstream that was built from these sources"
                )
        self._identity = Identity(
            kind=kind,
            serial=serial,
            isa_version=ISA_VERSION,
            isa_hash=ISA_HASH,
            n_dacs=wiring.n_dacs,
            n_adcs=wiring.n_adcs,
            sr_bits=wiring.sr_bits,
            program_words=PROGRAM_WORDS,
            result_words=RESULT_WORDS,
            dac_channels=wiring.dac_channels,
        )
        self._config: SequencerConfig | None = None
        self._limits = LimitCheck(SequencerLimits())
        self._write("EVENTS", Event.ACCESS)
        self._write("DAC_PRESENT", (1 << wiring.n_dacs) - 1)
        self._write("ADC_PRESENT", (1 << wiring.n_adcs) - 1)
        self.safe()
        self._program, self._results = bus.allocate(PROGRAM_WORDS), bus.allocate(RESULT_WORDS)
        for name, buffer in (("PROGRAM_ADDRESS", self._program), ("RESULT_ADDRESS", self._results)):
            if buffer.device_address % (4 * BURST_WORDS):
                raise ProtocolError(f"a buffer at {buffer.device_address:#x} does not begin where a burst may begin")
            self._write(name, buffer.device_address)
        self._write("RESULT_SIZE", RESULT_WORDS)

    # -- Bridge -------------------------------------------------------------------------------------------------------
    def identify(self) -> Identity:
        return self._identity

    def configure(self, config: SequencerConfig) -> None:
        """Write the sequencer's registers, read them back, and latch the limits.

        Raises `ProtocolError` for limits other than those latched, by whomever, a clock other than the gateware's, and
        for a register that does not hold what was written; `LimitError` for a value that a register cannot hold.
        """
        timing = config.timing
        if (clock_hz := self._read("CLOCK_HZ")) != round(timing.clock_hz):
            raise ProtocolError(
                f"clock_hz = {timing.clock_hz:g} Hz, but the gateware runs at {clock_hz:g} Hz; give the board file its "
                "clock and open it anew"
            )
        held = self._latched_limits()
        if held is not None:
            latch(held, config.limits)
        values = {name: getattr(timing, name) for name in TIMING_FIELDS}
        for name, value, most in (
            *((name, value, (1 << TIMING_WIDTH) - 1) for name, value in values.items()),
            ("safe_wait_cycles", config.safe_wait_cycles, (1 << 31) - 1),
            ("safe_frames", len(config.safe_frames), SAFE_FRAMES),
        ):
            if value > most:
                raise LimitError(name, value, most, source="gateware registers")
        registers = {ADDRESS[name.upper()]: value for name, value in values.items()}
        registers[ADDRESS["SAFE_WAIT"]] = config.safe_wait_cycles
        registers[ADDRESS["SAFE_COUNT"]] = len(config.safe_frames)
        registers |= {ADDRESS["SAFE_FRAME"] + i: frame for i, frame in enumerate(config.safe_frames)}
        registers[ADDRESS["WATCHDOG"]] = config.watchdog_cycles
        self._write_verified(registers)
        if held is None:
            self._write_verified(limit_registers(config.limits))
            self._write("CONTROL", Control.LATCH)
        if self._config is None:
            self._limits = LimitCheck(config.limits)
        self._config = config
        # Whoever configures begins with safe outputs: what the watchdog did before is past.
        self._write("EVENTS", Event.WATCHDOG)

    def run(self, program: Program) -> Result:
        try:
            for what, has, holds in (
                ("has", program.n_words, PROGRAM_WORDS),
                ("would return", program.n_results, RESULT_WORDS),
            ):
                if has > holds:
                    raise ProtocolError(
                        f"the program {what} {has} words, the memory holds {holds}; cut it into several"
                    )
            words = program.words()
        except BaseException:
            self.safe()
            raise
        start = self._cycle
        self._runs(program)
        result = self.run_words(words)
        if self._config is not None:
            self._limits.follow(program, self._config.timing, start)
        return result

    def run_words(self, words: Words) -> Result:
        """Execute a program's binary form, whatever it holds: the gateware checks it. Raises as `run` does."""
        results = np.empty(0, np.uint32)
        try:
            if self._config is None:
                raise ProtocolError(NOT_CONFIGURED)
            start = self._cycle
            held = words[:PROGRAM_WORDS]
            self._program[: len(held)] = held
            self._program.flush()
            # As much as the register holds, which is more than the memory: the gateware refuses it.
            self._write("PROGRAM_LENGTH", min(len(words), 0xFFFF))
            fault = self._command(Control.START)
            cycles = self._cycle - start
            if fault is Fault.NONE and (n := self._read("RESULT_COUNT")):
                fault = self._command(Control.STORE)
                self._results.invalidate()
                results = np.array(self._results[:n])
            self._check_accesses()
        except BaseException:
            self.safe()
            raise
        # The gateware has made itself safe where it refuses a word.
        if fault is not Fault.NONE:
            self._made_safe()
            raise self._refusal(fault, words, start)
        return Result(results, cycles)

    def reset(self) -> None:
        """The sequencer as after power-up, the outputs safe; the chips' power is not in the gateware's hands."""
        self._write("CONTROL", Control.RESET)
        self.safe()

    def safe(self) -> None:
        self._command(Control.SAFE)

    def close(self) -> None:
        self.safe()

    # -- for a bridge that keeps a record of what is sent -----------------------------------------------------------
    def _runs(self, program: Program) -> None:
        """A program is about to run."""

    def _made_safe(self) -> None:
        """The gateware has made itself safe."""

    # -- registers --------------------------------------------------------------------------------------------------
    def _read(self, name: str) -> int:
        return self._bus.read(4 * ADDRESS[name])

    def _write(self, name: str, word: int) -> None:
        self._bus.write(4 * ADDRESS[name], int(word))

    def _write_verified(self, registers: dict[int, int]) -> None:
        """Write words by their word addresses and read them back. Raises `ProtocolError`."""
        for address, word in registers.items():
            self._bus.write(4 * address, word)
        for address, word in registers.items():
            if (found := self._bus.read(4 * address)) != word:
                raise ProtocolError(
                    f"the register at {4 * address:#x} was given {word:#x} and holds {found:#x}; check the bus"
                )

    def _command(self, command: Control) -> Fault:
        """Write CONTROL and wait until the gateware is idle; what it refused, if anything, since it last began."""
        self._write("CONTROL", command)
        while (status := self._read("STATUS")) & Status.BUSY:
            self._bus.wait()
        return Fault(status >> 8)

    def _check_accesses(self) -> None:
        if not self._read("STATUS") & Status.ACCESS:
            return
        where = self._read("BAD_ACCESS")
        self._write("EVENTS", Event.ACCESS)
        what, access = ("a write to", "read-only or ") if where >> 12 else ("a read of", "")
        raise ProtocolError(
            f"{what} byte {where & 0xFFF:#x} of the gateware's bus was refused: it is {access}no whole register; "
            "nothing but this software may use the gateware, and one process at a time"
        )

    def _latched_limits(self) -> SequencerLimits | None:
        if not self._read("STATUS") & Status.LATCHED:
            return None
        return held_limits(lambda address: self._bus.read(4 * address))

    @property
    def _cycle(self) -> int:
        return self._read("CYCLES_HIGH") << 32 | self._read("CYCLES_LOW")

    def _refusal(self, fault: Fault, words: Words, start: int) -> BoardError:
        assert self._config is not None
        if fault in LIMIT_FAULTS:
            return self._limits.explain(Program.from_words(words), self._config.timing, start)
        if fault is Fault.WATCHDOG or (fault is Fault.LOCKED and self._read("STATUS") & Status.WATCHDOG):
            silence_s = self._config.watchdog_cycles * self._config.timing.period_s
            return ProtocolError(
                f"the watchdog has made the outputs safe: the host was silent for {silence_s:g} s; open the board anew"
            )
        where = "" if fault in PROGRAM_FAULTS else f"word {self._read('ERROR_ADDRESS')}: "
        return ProtocolError(where + FAULT_TEXT[fault])
