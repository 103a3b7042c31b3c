"""`Crossbar`: what a user holds. Volts, siemens and seconds; codes and programs are below, in `LineControl`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from drivers import ads8324, dac, opa4322
from drivers.board import Board
from drivers.calibration_record import CalibrationRecord
from drivers.correction import Correction
from drivers.doses import Doses
from drivers.ledger import Ledger
from drivers.line_control import READ, AdcCodes, LineControl, ReadState
from drivers.pulse_table import pulse_table, real_numbers
from drivers.read_patterns import ReadPatterns
from firmware_bridge.bridge import Bridge
from firmware_bridge.errors import LimitError, ProtocolError, asking
from firmware_bridge.extremes import extremes
from firmware_bridge.isa import Codes

Array = NDArray[np.float64]

ZERO_CONVERSIONS = 256
"""Conversions averaged for the zero-input offset of each source line: 1/16 of one conversion's noise."""

LOAD_PASSES = 4
"""Reads of the array from which the loads of the bit lines' drivers are worked out."""


@dataclass(frozen=True, eq=False)
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
    identity: what the board says of itself.
    shape: (n_sl, n_bl).
    calibration: the record that corrects this board, or None.
    patterns: of signs, that a read of the array drives.
    nominal_amperes_per_code: A, what one ADC code is by the board file.
    on_read: what is called with the conductances (n_sl, n_bl) S of each read, for who looks on; or None.

    With a record, `volts` are what the bit lines carry at the edge of the array, and currents are in true amperes.
    Without one both are what the board file says they should be.
    """

    def __init__(
        self,
        bridge: Bridge,
        board: Board,
        calibration: CalibrationRecord | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        """Check that the bridge fits this software and the board file, configure it, and bring all lines to rest.

        `calibration` and `ledger` are taken as they are: `open_crossbar` checks that they are this board's.
        """
        self.shape = board.shape
        self.on_read: Callable[[Array], None] | None = None
        if calibration is not None:
            # What cannot correct this board is told before anything is sent.
            Correction.of(calibration, board)
        self._lines = LineControl(bridge, board, ledger)
        self.correct_by(calibration)
        self.identity = self._lines.identity
        self.nominal_amperes_per_code = float(
            opa4322.output_to_current(ads8324.lsb_v(board.adc.vref_v), board.tia.rf_ohm)
        )
        self.patterns = ReadPatterns.of(board.shape[1])

    def correct_by(self, calibration: CalibrationRecord | None) -> None:
        """Use another record from now on, or none. The record is taken as it is."""
        self.calibration = calibration
        self._correction = None if calibration is None else Correction.of(calibration, self.board)
        self._driver_gain = np.ones(self.shape[1])
        self._zero_code = np.zeros(self.shape[0])
        self._zero_since = -1

    # -- life ----------------------------------------------------------------------------------------------------------
    def __enter__(self) -> Crossbar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Make the outputs safe and let go of the board."""
        self._lines.close()

    def safe(self) -> None:
        """Disconnect all lines and reset the DACs, now. The next operation initialises the board again."""
        self._lines.safe()

    @property
    def board(self) -> Board:
        """The board description, with limits as they are now."""
        return self._lines.board

    def tighten(self, **limits: Any) -> None:
        """Hold the board to closer limits from now on, by their keys in ``[limits]`` of the board file; of a kind of
        pulse those that change: ``crossbar.tighten(pulses_per_cell=100, set={"amplitude_v": (0.0, 1.8)})``.

        There is no way back but to open the board anew. Raises `LimitError` for a limit that would be looser, and
        `ProtocolError` for one that there is not, or that the board's levels do not keep within.
        """
        self._lines.interlock.tighten(**limits)

    @property
    def cycles(self) -> int:
        """Clock cycles spent by all programs so far."""
        return self._lines.cycles

    @property
    def board_time_s(self) -> float:
        """Time that all programs took on the board, s."""
        return self.cycles * self.board.timing.period_s

    @property
    def pulse_count(self) -> NDArray[np.int64]:
        """Programming pulses that each cell has received through this object, (n_sl, n_bl)."""
        return self._lines.interlock.pulses

    @property
    def doses(self) -> Doses:
        """What the array has been given over its life, as far as its ledger knows."""
        return self._lines.interlock.doses

    @property
    def forming_left(self) -> NDArray[np.int64]:
        """Forming pulses that each cell may still be given, (n_sl, n_bl)."""
        return self.board.limits.forming_per_cell - self.doses.forming

    @asking("Crossbar.wait")
    def wait(self, seconds: float) -> None:
        """Let board time pass, with all lines disconnected. The mock does not take that long."""
        if not 0 <= seconds < 1e9:
            raise LimitError("wait", seconds, (0.0, 1e9), "s")
        self._lines.wait(seconds)

    # -- reading -----------------------------------------------------------------------------------------------------
    @asking("Crossbar.mvm")
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

    @asking("Crossbar.measure")
    def measure(self, volts: ArrayLike) -> Readout:
        """Like `mvm` for a block (n, n_bl), with raw codes and cost, that of new zero-input offsets included."""
        volts = real_numbers("measure: inputs", volts)
        if volts.ndim != 2 or volts.shape[1] != self.shape[1]:
            raise ProtocolError(f"measure: inputs have shape {volts.shape}; expected (n, {self.shape[1]})")
        return self._measure(volts)

    def _measure(self, volts: Array) -> Readout:
        self._refuse_beyond_range(volts)
        before, correction = self.cycles, self._correction
        if self._zero_since != self._lines.changes:
            if correction is not None and correction.resistance is not None:
                # The zero of a line does not depend on this; what its driver must add does.
                transfer_s = self._read_transfer(LOAD_PASSES)
                self._driver_gain = correction.resistance.driver_gain(transfer_s)
            rest = self._lines.convert(self._bl_codes(np.zeros((ZERO_CONVERSIONS, self.shape[1]))))
            self._zero_code, self._zero_since = self._linear(rest.mean(axis=0)), self._lines.changes
        if correction is None:
            codes = self._lines.convert(self._bl_codes(volts))
            current = np.multiply(codes, self.nominal_amperes_per_code, dtype=np.float64)
            current -= self._zero_code * self.nominal_amperes_per_code
        else:
            codes = self._lines.convert(self._bl_codes(volts * self._driver_gain))
            current = self._linear(codes) - self._zero_code
            current *= correction.amperes_per_code
        cycles = self.cycles - before
        return Readout(current, codes, cycles, cycles * self.board.timing.period_s)

    def _refuse_beyond_range(self, volts: Array) -> None:
        limit = self.board.levels.input_v
        # To half a DAC code, which rounding may add anyway: 0.1 V in single precision is a little more than 0.1 V.
        bound = limit + self.board.dac.span_v / dac.FULL_SCALE / 2
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

    def _bl_codes(self, volts: Array) -> NDArray[np.uint16]:
        """DAC codes (n, n_bl) of DAC voltages (n, n_bl) relative to the common mode."""
        span_v = self.board.dac.span_v
        if self._correction is not None:
            return dac.volts_to_code(self._correction.bl_code(volts) * (span_v / dac.FULL_SCALE), span_v)
        return dac.volts_to_code(volts + self.board.wiring.vcm_v, span_v)

    def _linear(self, codes: NDArray) -> Array:
        """ADC codes (…, n_sl) without the INL that is known."""
        return np.asarray(codes, float) if self._correction is None else self._correction.linear_code(codes)

    @asking("Crossbar.read_conductance")
    def read_conductance(self, *, repeats: int = 1, cells: bool = False) -> Array:
        """Conductances (n_sl, n_bl) S that products see, from `repeats` passes of patterns of ±``levels.verify_v``.

        Of these `mvm` makes its products: a cell together with what the wires to it lose. cells: those of the cells
        alone, which needs a calibration record with the lines' resistances (`ProtocolError` without).

        The patterns (`drivers.read_patterns`) drive all bit lines at once, so every cell is seen by all conversions of
        a pass: the ADC's noise falls by √n_bl against one line at a time. Each source line's offset is solved for
        beside its cells, so that a read after a pulse needs no new zero-input offsets.

        Raises `LimitError` for fewer than one pass, and when an ADC's range is exceeded.
        """
        if repeats < 1:
            raise LimitError("repeats", repeats, 1)
        resistance = None if self._correction is None else self._correction.resistance
        if cells and resistance is None:
            raise ProtocolError(
                "conductances of cells alone need the resistances of their lines; load a calibration record that has "
                "them (xbar calibrate), or read what products see: cells=False"
            )
        conductance_s = self._read_transfer(repeats)
        if resistance is not None:
            conductance_s = (
                resistance.cells(conductance_s) if cells else conductance_s * resistance.driver_gain(conductance_s)
            )
        if self.on_read is not None:
            self.on_read(conductance_s)
        return conductance_s

    def _read_transfer(self, repeats: int) -> Array:
        """Source-line currents over the voltages of the DACs, (n_sl, n_bl) S."""
        signs, verify_v = self.patterns.signs, self.board.levels.verify_v
        pattern = self._bl_codes(verify_v * signs)
        codes = self._lines.convert(np.tile(pattern, (repeats, 1)))
        mean_code = codes.reshape(repeats, len(signs), self.shape[0]).mean(axis=0)
        if self._correction is None:
            return (self.patterns.solution @ mean_code).T * (self.nominal_amperes_per_code / verify_v)
        # A line has two codes; half their distance is what it really moved.
        moved_v = np.ptp(pattern.astype(float), axis=0) / 2 * self._correction.bl_volts_per_code
        slopes = (self.patterns.solution @ self._linear(mean_code)).T
        return slopes * self._correction.amperes_per_code[:, None] / moved_v

    # -- below volts, for calibration ----------------------------------------------------------------------------------
    @asking("Crossbar.convert")
    def convert(self, bl_code: Codes, state: ReadState = READ) -> AdcCodes:
        """ADC codes (n, n_sl) of bit lines at DAC codes (n, n_bl) uint16, neither of them corrected.

        state: rows that are on, the amplifiers' reference, what bit lines and ADCs hang on.
        Raises `LimitError` beyond the board's limits, and when an ADC's range is exceeded.
        """
        if bl_code.ndim != 2 or bl_code.shape[1] != self.shape[1] or bl_code.dtype != np.uint16:
            raise ProtocolError(
                f"convert: codes are {bl_code.dtype} of shape {bl_code.shape}; expected uint16, (n, {self.shape[1]})"
            )
        return self._lines.convert(bl_code, state)

    def held(self, dac_code: Sequence[Codes], *, connect: bool = False) -> AbstractContextManager[Iterator[None]]:
        """Hold all DAC channels (channels · chips,) at one set of codes after the other, for somebody to measure:

            with crossbar.held(codes) as steps:
                for _ in steps:
                    ...

        connect: bit lines to their DACs, at read voltages only. Lines are at rest afterwards.
        """
        return self._lines.held(dac_code, connect=connect)

    def wrong_registers(self) -> list[tuple[int, str, int, int]]:
        """Registers of the DACs that do not hold what they were sent: (chip, name, expected, read).

        Raises `ProtocolError` for a chip that does not echo a read. Most callers want `drivers.self_test`.
        """
        return self._lines.wrong_registers()

    # -- programming -------------------------------------------------------------------------------------------------
    @asking("Crossbar.apply_pulses")
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
            self._lines.pulse(codes, widths, forming)
        return len(codes)
