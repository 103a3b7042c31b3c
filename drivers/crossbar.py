"""`Crossbar`: what a user holds. Volts, siemens and seconds above; programs for the sequencer below."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers import ads8324, cd4051b, dac80508, opa4322
from drivers.board import Board
from drivers.dac80508 import Dac80508Bank
from drivers.interlock import Interlock
from drivers.pulse_table import pulse_table, real_numbers
from drivers.read_patterns import ReadPatterns
from drivers.sn74hc595 import Sn74hc595Chain
from firmware_bridge.bridge import Bridge, Result
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import DAC_CHANNELS, ISA_HASH, Codes, Mvm, Pulses, Wait, conversion_words, mask_indices
from firmware_bridge.program import Program

Array = NDArray[np.float64]

ZERO_CONVERSIONS = 256
"""Conversions averaged for the zero-input offset of each source line: 1/16 of one conversion's noise."""
MEMORY_RESERVE = 256
"""Program words kept free for what goes around a stream: its header, mux words, gate, and the return to rest."""


@dataclass(frozen=True)
class Readout:
    """One block of matrix-vector products.

    current_a: (n, n_sl) A into the source lines, zero-input offset removed.
    adc_code: (n, n_sl) raw codes.
    cycles: clock cycles that the block took, `board_time_s` the same in s.
    """

    current_a: Array
    adc_code: NDArray[np.int16]
    cycles: int
    board_time_s: float


class Crossbar:
    """An array with its converters, behind any bridge. A context manager that leaves the outputs safe on every way out.

    Rows are source lines (with their word lines), columns are bit lines: ``I = G · V`` with G of shape (n_sl, n_bl).
    All voltages are relative to the source lines' reference; all values are SI.

    Attributes
    ----------
    board: the board description.
    shape: (n_sl, n_bl).
    cycles: clock cycles spent by all programs so far.
    """

    def __init__(self, bridge: Bridge, board: Board) -> None:
        """Check that the bridge fits this software and the board file, configure it, and bring all lines to rest."""
        identity = bridge.identify()
        if identity.isa_hash != ISA_HASH:
            raise ProtocolError(
                f"{identity.kind} board {identity.serial} speaks instruction set {identity.isa_hash:#010x}, this "
                f"software {ISA_HASH:#010x}; load the gateware of this release"
            )
        wiring = board.wiring
        for what, has, needs in (
            ("DACs", identity.n_dacs, wiring.n_dacs),
            ("ADCs", identity.n_adcs, wiring.n_adcs),
            ("shift-register bits", identity.sr_bits, wiring.sr_bits),
        ):
            if has != needs:
                raise ProtocolError(
                    f"{identity.kind} board {identity.serial} has {has} {what}, the board file says {needs}"
                )
        self.board = board
        self.identity = identity
        self.shape = board.shape
        self.cycles = 0
        self._interlock = Interlock(bridge, board)
        self._dac = Dac80508Bank(wiring.n_dacs, gain=board.dac.gain, ref_divide=board.dac.ref_divide)
        self._chain = Sn74hc595Chain(wiring.sr_devices)
        self._muxes = cd4051b.Cd4051bMuxes(wiring)
        self._scan = self._muxes.scan()
        self._span_v = board.dac.span_v
        self._bl = np.array(wiring.bl_dac)
        self._wl = np.array(wiring.wl_dac)
        self._bl_mask = sum(1 << d for d in sorted({c // DAC_CHANNELS for c in wiring.bl_dac}))
        # Where the streamed results hold each source line: (position, ADC).
        self._order = np.array(
            [wiring.positions.index(m) * wiring.n_adcs + a for a, m in zip(wiring.sl_adc, wiring.sl_mux, strict=True)]
        )
        self._n_adcs = wiring.n_adcs
        self._adc_mask = (1 << wiring.n_adcs) - 1
        self._ldac_frame = dac80508.write_frame(dac80508.TRIGGER, dac80508.TRIGGER_LDAC)
        self._current_per_code = opa4322.output_to_current(ads8324.lsb_v(board.adc.vref_v), board.tia.rf_ohm)
        self._sl = np.arange(wiring.n_sl)
        self._patterns = ReadPatterns.of(wiring.n_bl)
        self._full_scale_a = opa4322.full_scale_a(board.tia.rf_ohm, board.adc.vref_v)
        self._settle = board.timing.cycles(board.settle.dac_s)
        self._mux_settle = board.timing.cycles(board.settle.mux_s)
        self._vcm_code = int(dac80508.volts_to_code(wiring.vcm_v, self._span_v))
        # Where the codes of the chips that drive bit lines hold each of them.
        chips = mask_indices(self._bl_mask)
        self._bl_channels = DAC_CHANNELS * len(chips)
        self._bl_columns = np.array(
            [chips.index(c // DAC_CHANNELS) * DAC_CHANNELS + c % DAC_CHANNELS for c in wiring.bl_dac]
        )
        self._bl_in_order = np.array_equal(self._bl_columns, np.arange(self._bl_channels))
        self._block = min(
            (identity.program_words - MEMORY_RESERVE) // (self._bl_channels // 2),
            identity.result_words // (len(wiring.positions) * conversion_words(self._adc_mask)),
        )
        self._codes = np.zeros(DAC_CHANNELS * wiring.n_dacs, np.uint16)
        self._reading = False
        self._zero_code: Array | None = None
        self._interlock.configure(board.sequencer())
        self._initialise()

    # -- life ----------------------------------------------------------------------------------------------------------
    def __enter__(self) -> Crossbar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Make the outputs safe and let go of the board."""
        self._interlock.close()

    def safe(self) -> None:
        """Disconnect all lines and reset the DACs, now. The next operation initialises the board again."""
        self._interlock.safe()
        self._reading, self._zero_code = False, None
        self._codes[:] = 0
        self._initialised = False

    @property
    def board_time_s(self) -> float:
        """Time that all programs took on the board, s."""
        return self.cycles * self.board.timing.period_s

    @property
    def pulse_count(self) -> NDArray[np.int64]:
        """Programming pulses that each cell has received, (n_sl, n_bl)."""
        return self._interlock.pulses

    def wait(self, seconds: float) -> None:
        """Let board time pass, with all lines disconnected. The mock does not take that long."""
        if not 0 <= seconds < 1e9:
            raise LimitError("wait", seconds, (0.0, 1e9), "s")
        self._run(Program([Wait(self.board.timing.cycles(seconds))]))

    # -- reading -----------------------------------------------------------------------------------------------------
    def mvm(self, volts: ArrayLike) -> Array:
        """Multiply: bit lines at `volts` (…, n_bl) V give source-line currents (…, n_sl) A.

        Raises `LimitError` for an input beyond ``levels.input_v`` or not finite, and when an ADC's range is exceeded.
        """
        volts = real_numbers("mvm: inputs", volts)
        if volts.ndim == 0 or volts.shape[-1] != self.shape[1]:
            raise ProtocolError(
                f"mvm: inputs have shape {volts.shape}; expected (…, {self.shape[1]}), one voltage per bit line"
            )
        readout = self._measure(volts.reshape(-1, self.shape[1]))
        return readout.current_a.reshape(*volts.shape[:-1], self.shape[0])

    def measure(self, volts: ArrayLike) -> Readout:
        """Like `mvm` for a block (n, n_bl), with raw codes and cost, that of new zero-input offsets included."""
        volts = real_numbers("measure: inputs", volts)
        if volts.ndim != 2 or volts.shape[1] != self.shape[1]:
            raise ProtocolError(f"measure: inputs have shape {volts.shape}; expected (n, {self.shape[1]})")
        return self._measure(volts)

    def _measure(self, volts: Array) -> Readout:
        limit = self.board.levels.input_v
        # To half a DAC code, which rounding may add anyway: 0.1 V in single precision is a little more than 0.1 V.
        bound = limit + self._span_v / dac80508.FULL_SCALE / 2
        low, high = extremes(volts) if volts.size else (0.0, 0.0)
        if not (low >= -bound and high <= bound):  # NaN fails the comparison
            worst = volts.flat[np.argmax(np.where(np.isfinite(volts), np.abs(volts), np.inf))]
            raise LimitError(
                "input voltage",
                float(worst),
                (-limit, limit),
                "V",
                source=f"levels.input_v of board {self.board.name}",
                advice="scale the inputs; cells are linear within this range",
            )
        before = self.cycles
        if self._zero_code is None:
            self._prepare_read()
            self._zero_code = self._convert(np.zeros((ZERO_CONVERSIONS, self.shape[1]))).mean(axis=0)
        codes = self._convert(volts)
        current = codes * self._current_per_code
        current -= self._zero_code * self._current_per_code
        cycles = self.cycles - before
        return Readout(current, codes, cycles, cycles * self.board.timing.period_s)

    def read_conductance(self, *, repeats: int = 1) -> Array:
        """Conductance of every cell, (n_sl, n_bl) S, from `repeats` passes of patterns of ±``levels.verify_v``.

        The patterns (`drivers.read_patterns`) drive all bit lines at once, so every cell is seen by all conversions of
        a pass: the ADC's noise falls by √n_bl against one line at a time. Each source line's offset is solved for
        beside its cells, so that a read after a pulse needs no new zero-input offsets.

        Raises `LimitError` for fewer than one pass, and when an ADC's range is exceeded.
        """
        if repeats < 1:
            raise LimitError("repeats", repeats, 1)
        signs, verify_v = self._patterns.signs, self.board.levels.verify_v
        codes = self._convert(np.tile(verify_v * signs, (repeats, 1)))
        mean_code = codes.reshape(repeats, len(signs), self.shape[0]).mean(axis=0)
        return (self._patterns.solution @ mean_code).T * (self._current_per_code / verify_v)

    def _convert(self, volts: Array) -> NDArray[np.int16]:
        """Codes (n, n_sl), none clipped, of inputs (n, n_bl), in as many programs as the board's memories need."""
        self._prepare_read()
        wiring = self.board.wiring
        codes = self._bl_codes(volts)
        out = np.empty((len(codes), self.shape[0]), np.int16)
        for start in range(0, len(codes), self._block):
            part = slice(start, start + self._block)
            mvm = Mvm(
                codes[part],
                self._bl_mask,
                self._ldac_frame,
                self._settle,
                self._scan,
                wiring.sr_bits,
                self._adc_mask,
                self._mux_settle,
            )
            program = Program([cd4051b.CONNECT, mvm, cd4051b.DISCONNECT])
            results = ads8324.unpack(self._run(program).words, self._n_adcs)
            np.take(results.reshape(len(out[part]), -1), self._order, axis=1, out=out[part])
        ads8324.refuse_clipped(out, self._sl, self._full_scale_a)
        return out

    def _bl_codes(self, volts: Array) -> Codes:
        """DAC codes (n, chips, 8) of bit-line voltages (n, n_bl) relative to the common mode."""
        codes = dac80508.volts_to_code(volts + self.board.wiring.vcm_v, self._span_v)
        if not self._bl_in_order:
            lines, codes = codes, np.full((len(volts), self._bl_channels), self._vcm_code, np.uint16)
            codes[:, self._bl_columns] = lines
        return codes.reshape(len(volts), self._bl_channels // DAC_CHANNELS, DAC_CHANNELS)

    # -- programming -------------------------------------------------------------------------------------------------
    def apply_pulses(
        self, amplitude_v: ArrayLike, gate_v: ArrayLike, width_s: ArrayLike, *, forming: bool = False
    ) -> int:
        """One programming pulse on each cell that has an amplitude. Returns how many pulses the lines carried.

        amplitude_v: V across the cell, bit line minus source line: positive SETs, negative RESETs, NaN leaves it alone.
        gate_v: V, word line minus source line. width_s: s. Each of the three is (n_sl, n_bl) or a scalar.
        forming: lower the source lines to the forming level, which allows amplitudes above the bit lines' usual range.

        A pulse drives one bit line, so all cells of a column that share amplitude and width are pulsed at once, each
        row at its own gate voltage. Rows without a pulse are off and the other bit lines rest at the reference, so
        nothing else is biased. Raises `ProtocolError` for a wrong shape, and `LimitError` for a value that is not
        finite or outside the board's limits; nothing is pulsed then.
        """
        reference_v = self.board.wiring.vform_v if forming else self.board.wiring.vcm_v
        codes, widths = pulse_table(self.board, amplitude_v, gate_v, width_s, reference_v)
        if len(codes):
            self._pulse(codes, widths, forming)
        return len(codes)

    def _pulse(self, codes: Codes, widths: NDArray[np.uint32], forming: bool) -> None:
        if not self._initialised:
            self._initialise()
        block = (self.identity.program_words - MEMORY_RESERVE) // (1 + codes[0].size // 2)
        self._reading, self._zero_code = False, None
        programs = []
        for start in range(0, len(codes), block):
            part = slice(start, start + block)
            program = Program()
            self._chain.write(program, self._muxes.word(reference="form" if forming else "vcm"))
            program.append(Pulses(codes[part], self._dac.mask, self._ldac_frame, self._settle, widths[part]))
            self._rest(program)
            programs.append(program)
        self._run_all(programs)

    # -- states of the lines -----------------------------------------------------------------------------------------
    def _initialise(self) -> None:
        """From any state to rest: bit lines disconnected, DACs set up, muxes defined before they are enabled."""
        program = Program()
        program.append(cd4051b.DISCONNECT)
        self._rest_codes()
        self._dac.initialise(program, self.board.timing, self._codes.reshape(-1, DAC_CHANNELS))
        self._chain.write(program, self._muxes.word())
        self._chain.enable(program, True)
        self._run(program)
        self._initialised = True

    def _rest(self, program: Program) -> None:
        """Bit lines at the common mode, rows off, reference at the common mode."""
        self._rest_codes()
        self._write_codes(program)
        self._chain.write(program, self._muxes.word())

    def _rest_codes(self) -> None:
        self._codes[self._bl] = self._vcm_code
        self._codes[self._wl] = 0

    def _prepare_read(self) -> None:
        """Rows on and settled, if they are not."""
        if not self._initialised:
            self._initialise()
        if self._reading:
            return
        program = Program()
        self._codes[self._wl] = dac80508.volts_to_code(self.board.levels.wl_on_v, self._span_v)
        self._write_codes(program)
        program.append(Wait(self._settle))
        self._run(program)
        self._reading = True

    def _write_codes(self, program: Program) -> None:
        self._dac.load(program, self._codes.reshape(-1, DAC_CHANNELS))
        self._dac.ldac(program)

    def _run_all(self, programs: list[Program]) -> None:
        """Run programs one after the other, or none of them if one would be refused."""
        try:
            self._interlock.check(programs)
        except BaseException:
            self.safe()
            raise
        for program in programs:
            self._run(program)

    def _run(self, program: Program) -> Result:
        try:
            result = self._interlock.run(program)
            if len(result.words) != program.n_results:
                raise ProtocolError(
                    f"{self.identity.kind} board {self.identity.serial} returned {len(result.words)} words, "
                    f"the program asks for {program.n_results}"
                )
        except BaseException:
            # Whatever happened, the lines are safe before anyone hears of it; the next operation starts from power-up.
            self.safe()
            raise
        self.cycles += result.cycles
        return result
