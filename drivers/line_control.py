"""What the board's lines are put through, as programs: codes in, codes out. `Crossbar` stands above, in volts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivers import ads8324, cd4051b, opa4322
from drivers.board import Board
from drivers.dac import DacBank, volts_to_code, write_frame
from drivers.interlock import Interlock
from drivers.ledger import Ledger
from drivers.sn74hc595 import Sn74hc595Chain
from firmware_bridge.bridge import Bridge, Result
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.isa import (
    ISA_HASH,
    Codes,
    Mvm,
    Pulses,
    Wait,
    conversion_words,
    mask_indices,
)
from firmware_bridge.journal import Resumed
from firmware_bridge.program import Program

MEMORY_RESERVE = 256
"""Program words kept free for what goes around a stream: its header, mux words, gate, and the return to rest."""

AdcCodes = NDArray[np.int16]


@dataclass(frozen=True)
class ReadState:
    """What stands around a conversion.

    rows: word lines that are on; None for all.
    reference: what the amplifiers hold the source lines at. On the forming level the gates are lowered by as much.
    bit_lines: what their muxes select: the DACs, or the common mode.
    adc_inputs: the amplifiers, or nothing: inhibited muxes leave the converters at their reference.
    gate_v: of rows that are on, absolute, V; None for ``levels.wl_on_v``.
    """

    rows: tuple[int, ...] | None = None
    reference: Literal["vcm", "form"] = "vcm"
    bit_lines: Literal["dac", "vcm"] = "dac"
    adc_inputs: Literal["tia", "open"] = "tia"
    gate_v: float | None = None


READ = ReadState()
"""That of reads and products: all rows on, bit lines on their DACs, around the common mode."""


class LineControl:
    """The sequencer's programs for one board, behind its interlock.

    After any error the outputs are safe and the next operation initialises the board again.

    Attributes
    ----------
    cycles: clock cycles spent by all programs so far.
    changes: counts what may have changed cells or their offsets: pulses, and everything made safe.
    """

    def __init__(self, bridge: Bridge, board: Board, ledger: Ledger | None = None) -> None:
        """Check that the bridge fits this software and the board file, configure it, and bring all lines to rest."""
        self.identity = bridge.identify()
        self._refuse_foreign(board)
        wiring = board.wiring
        self.cycles = self.changes = 0
        self.interlock = Interlock(bridge, board, ledger)
        self._dac = DacBank(board.dac, wiring.n_dacs)
        self._chain = Sn74hc595Chain(wiring.sr_devices)
        self._muxes = cd4051b.Cd4051bMuxes(wiring)
        self._bl = np.array(wiring.bl_dac)
        self._wl = np.array(wiring.wl_dac)
        self._bl_mask = wiring.dac_mask(wiring.bl_dac)
        self._dac_channels = n = wiring.dac_channels
        # Where the streamed results hold each source line: (position, ADC).
        self._order = np.array(
            [wiring.positions.index(m) * wiring.n_adcs + a for a, m in zip(wiring.sl_adc, wiring.sl_mux, strict=True)]
        )
        self._n_adcs = wiring.n_adcs
        self._adc_mask = (1 << wiring.n_adcs) - 1
        self._ldac_frame = write_frame(*board.dac.LDAC)
        self._sl = np.arange(wiring.n_sl)
        self._full_scale_a = opa4322.full_scale_a(board.tia.rf_ohm, board.adc.vref_v)
        self._settle = board.timing.cycles(board.settle.dac_s)
        self._mux_settle = board.timing.cycles(board.settle.mux_s)
        self._vcm_code = int(volts_to_code(wiring.vcm_v, board.dac.span_v))
        # Where the codes of the chips that drive bit lines hold each of them.
        chips = mask_indices(self._bl_mask)
        self._bl_channels = n * len(chips)
        self._bl_columns = np.array([chips.index(c // n) * n + c % n for c in wiring.bl_dac])
        self._bl_in_order = np.array_equal(self._bl_columns, np.arange(self._bl_channels))
        self._block = min(
            (self.identity.program_words - MEMORY_RESERVE) // (self._bl_channels // 2),
            self.identity.result_words // (len(wiring.positions) * conversion_words(self._adc_mask)),
        )
        self._codes = np.zeros(wiring.n_channels, np.uint16)
        self._state: ReadState | None = None
        self._scans: dict[ReadState, tuple[int, ...]] = {}
        self.interlock.configure(board.sequencer())
        self._initialise()

    @property
    def board(self) -> Board:
        """The board description, with limits as they are now."""
        return self.interlock.board

    def _refuse_foreign(self, board: Board) -> None:
        identity, wiring = self.identity, board.wiring
        name = f"{identity.kind} board {identity.serial}"
        if identity.isa_hash != ISA_HASH:
            raise ProtocolError(
                f"{name} speaks instruction set {identity.isa_hash:#010x}, this software {ISA_HASH:#010x}; load the "
                "gateware of this release"
            )
        for what, has, needs in (
            ("DACs", identity.n_dacs, wiring.n_dacs),
            ("channels to a DAC", identity.dac_channels, wiring.dac_channels),
            ("ADCs", identity.n_adcs, wiring.n_adcs),
            ("shift-register bits", identity.sr_bits, wiring.sr_bits),
        ):
            if has != needs:
                raise ProtocolError(f"{name} has {has} {what}, the board file says {needs}")

    def close(self) -> None:
        """Make the outputs safe and let go of the board."""
        self.interlock.close()

    def safe(self) -> None:
        """Disconnect all lines and reset the DACs, now."""
        self.interlock.safe()
        self._state = None
        self.changes += 1
        self._codes[:] = 0
        self._initialised = False

    # -- conversions -------------------------------------------------------------------------------------------------
    def convert(self, codes: NDArray[np.uint16], state: ReadState = READ) -> AdcCodes:
        """ADC codes (n, n_sl), none clipped, of bit lines at DAC codes (n, n_bl), in as many programs as the board's
        memories need. Raises `LimitError` when an ADC's range is exceeded."""
        self._prepare_read(state)
        scan = self._scans.get(state)
        if scan is None:
            scan = self._scans[state] = tuple(
                self._muxes.word(
                    bl=state.bit_lines, reference=state.reference, adc_input=p if state.adc_inputs == "tia" else None
                )
                for p in self.board.wiring.positions
            )
        wiring = self.board.wiring
        if not self._bl_in_order:
            lines, codes = codes, np.full((len(codes), self._bl_channels), self._vcm_code, np.uint16)
            codes[:, self._bl_columns] = lines
        blocks = codes.reshape(len(codes), self._bl_channels // self._dac_channels, self._dac_channels)
        out = np.empty((len(codes), wiring.n_sl), np.int16)
        for start in range(0, len(codes), self._block):
            part = slice(start, start + self._block)
            mvm = Mvm(
                blocks[part],
                self._bl_mask,
                self._ldac_frame,
                self._settle,
                scan,
                wiring.sr_bits,
                self._adc_mask,
                self._mux_settle,
            )
            program = Program([cd4051b.CONNECT, mvm, cd4051b.DISCONNECT])
            results = ads8324.unpack(self.run(program).words, self._n_adcs)
            np.take(results.reshape(len(out[part]), -1), self._order, axis=1, out=out[part])
        try:
            ads8324.refuse_clipped(out, self._sl, self._full_scale_a)
        except LimitError:
            self.safe()
            raise
        return out

    @contextmanager
    def held(self, codes: Sequence[NDArray[np.uint16]], *, connect: bool = False) -> Iterator[Iterator[None]]:
        """Hold all DAC channels at each of `codes` (channels,) in turn, for somebody to measure: an iterator that goes
        on to the next when asked. connect: bit lines to their DACs; rows stand where the codes put them.

        The lines are at rest afterwards, whatever happened.
        """
        self._prepare_read(READ)
        self._state = None

        def steps() -> Iterator[None]:
            for each in codes:
                program = Program()
                self._codes[:] = each
                self._write_codes(program)
                program.append(Wait(self._settle))
                if connect:
                    program.append(cd4051b.CONNECT)
                self.run(program)
                yield

        try:
            yield steps()
        finally:
            if self._initialised:
                program = Program([cd4051b.DISCONNECT])
                self._rest(program)
                self.run(program)

    def wrong_registers(self) -> list[tuple[int, str, int, int]]:
        """Registers of the DACs that do not hold what they were sent: (chip, name, expected, read).

        Raises `ProtocolError` for a chip that does not echo a read.
        """
        if not self._initialised:
            self._initialise()
        expected = self._dac.held(self.interlock.codes.reshape(-1, self._dac_channels))
        program = Program()
        for _, register, _ in expected:
            self._dac.read(program, register)
        answers = self.run(program).words.reshape(len(expected), -1)
        wrong = []
        for words, (name, register, value) in zip(answers, expected, strict=True):
            read = self._dac.parse_read(words, register)
            held = np.broadcast_to(np.asarray(value), read.shape)
            wrong += [(int(c), name, int(held[c]), int(read[c])) for c in np.flatnonzero(read != held)]
        return wrong

    def wait(self, seconds: float) -> None:
        """Let board time pass."""
        self.run(Program([Wait(self.board.timing.cycles(seconds))]))

    # -- pulses ------------------------------------------------------------------------------------------------------
    def pulse(self, codes: Codes, widths: NDArray[np.uint32], forming: bool) -> None:
        """Pulses of `widths` (n,) cycles with all DACs at `codes` (n, chips, channels); none if one is refused."""
        if not self._initialised:
            self._initialise()
        block = (self.identity.program_words - MEMORY_RESERVE) // (1 + codes[0].size // 2)
        self._state = None
        self.changes += 1
        programs = []
        for start in range(0, len(codes), block):
            part = slice(start, start + block)
            program = Program()
            self._chain.write(program, self._muxes.word(reference="form" if forming else "vcm"))
            program.append(Pulses(codes[part], self._dac.mask, self._ldac_frame, self._settle, widths[part]))
            self._rest(program)
            programs.append(program)
        try:
            self.interlock.check(programs)
        except BaseException:
            self.safe()
            raise
        for program in programs:
            self.run(program)

    # -- states of the lines -----------------------------------------------------------------------------------------
    def _initialise(self) -> None:
        """From any state to rest: bit lines disconnected, DACs set up, muxes defined before they are enabled."""
        self._rest_codes()
        self.run(self._bring_up())
        self._initialised = True

    def _restore(self) -> None:
        """From any state to the one that this object believes in, when a run goes on that another process began.

        Not counted in `cycles`, since a run that was resumed twice must count as one that was resumed once.
        """
        program = self._bring_up()
        program.append(Wait(self._settle))
        self.interlock.run(program)

    def _bring_up(self) -> Program:
        """From any state to the DACs at `_codes`, bit lines disconnected and muxes at rest."""
        program = Program()
        program.append(cd4051b.DISCONNECT)
        self._dac.initialise(program, self.board.timing, self._codes.reshape(-1, self._dac_channels))
        self._chain.write(program, self._muxes.word())
        self._chain.enable(program, True)
        return program

    def _rest(self, program: Program) -> None:
        """Bit lines at the common mode, rows off, reference at the common mode."""
        self._rest_codes()
        self._write_codes(program)
        self._chain.write(program, self._muxes.word())

    def _rest_codes(self) -> None:
        self._codes[self._bl] = self._vcm_code
        self._codes[self._wl] = 0

    def _prepare_read(self, state: ReadState) -> None:
        """Rows on and settled, if they are not."""
        if not self._initialised:
            self._initialise()
        if self._state == state:
            return
        board, before = self.board, self._state or READ
        level_v = board.wiring.vform_v if state.reference == "form" else board.wiring.vcm_v
        on_v = board.levels.wl_on_v + level_v - board.wiring.vcm_v if state.gate_v is None else state.gate_v
        program = Program()
        self._codes[self._bl] = volts_to_code(level_v, board.dac.span_v)
        rows = slice(None) if state.rows is None else list(state.rows)
        self._codes[self._wl] = 0
        self._codes[self._wl[rows]] = volts_to_code(on_v, board.dac.span_v)
        self._write_codes(program)
        if (state.bit_lines, state.reference) != (before.bit_lines, before.reference):
            self._chain.write(program, self._muxes.word(bl=state.bit_lines, reference=state.reference))
        program.append(Wait(self._settle))
        self.run(program)
        self._state = state

    def _write_codes(self, program: Program) -> None:
        self._dac.load(program, self._codes.reshape(-1, self._dac_channels))
        self._dac.ldac(program)

    def run(self, program: Program) -> Result:
        """Run a program. Whatever happens, the lines are safe before anyone hears of an error."""
        try:
            try:
                result = self.interlock.run(program)
            except Resumed:
                self._restore()
                result = self.interlock.run(program)
            if len(result.words) != program.n_results:
                raise ProtocolError(
                    f"{self.identity.kind} board {self.identity.serial} returned {len(result.words)} words, "
                    f"the program asks for {program.n_results}"
                )
        except BaseException:
            self.safe()
            raise
        self.cycles += result.cycles
        return result
