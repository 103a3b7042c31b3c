"""From a calibration record to what `Crossbar` does with it: volts to codes that bring them about, codes to amperes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers import ads8324, dac, opa4322
from drivers.board import Board
from drivers.calibration_record import CalibrationRecord
from drivers.line_resistance import LineResistance

Array = NDArray[np.float64]

INL_HALF_SCALE = 8192
"""Code at either end of the ADC's range, where the INL of `inl_code` vanishes."""


def inl_basis(code: Array) -> tuple[Array, Array]:
    """Bow and S of an ADC's integral non-linearity, each of peak 1, at codes of any shape."""
    t = 0.5 + np.asarray(code, float) / (2 * INL_HALF_SCALE)
    bow = 4 * t * (1 - t)
    return bow, bow * (1.5 * np.sqrt(3.0)) * (1 - 2 * t)


@dataclass(frozen=True, eq=False)
class Correction:
    """Numbers of one board; where a record lacks a quantity, what the board file says.

    bl_zero_code: (n_bl,) DAC code, not rounded, at which a bit line is at the common mode.
    bl_volts_per_code: (n_bl,) V around it. amperes_per_code: (n_sl,) A, negative.
    bow_code, ess_code: (n_sl,) INL of the converter that a source line goes to, codes.
    resistance: of drivers and wires; None if the record has no driver's.
    """

    bl_zero_code: Array
    bl_volts_per_code: Array
    amperes_per_code: Array
    bow_code: Array
    ess_code: Array
    resistance: LineResistance | None

    @classmethod
    def of(cls, record: CalibrationRecord, board: Board) -> Correction:
        n_sl, n_bl = board.shape
        lsb_v = board.dac.span_v / dac.FULL_SCALE
        adc = np.array(board.wiring.sl_adc)
        nominal_a = float(opa4322.output_to_current(ads8324.lsb_v(board.adc.vref_v), board.tia.rf_ohm))

        def values(name: str, nominal: float, n: int) -> Array:
            found = record.value(name)
            return np.full(n, nominal) if found is None else np.broadcast_to(found, n)

        resistance = None
        if "bl.driver_ohm" in record.estimates:
            resistance = LineResistance(
                values("bl.driver_ohm", 0.0, n_bl),
                float(values("bl.segment_ohm", 0.0, 1)[0]),
                float(values("sl.segment_ohm", 0.0, 1)[0]),
                values("sl.series_ohm", 0.0, n_sl),
            )
        return cls(
            values("bl.zero_code", board.wiring.vcm_v / lsb_v, n_bl),
            values("bl.volts_per_code", lsb_v, n_bl),
            values("sl.amperes_per_code", nominal_a, n_sl),
            values("adc.inl_bow_code", 0.0, board.wiring.n_adcs)[adc],
            values("adc.inl_ess_code", 0.0, board.wiring.n_adcs)[adc],
            resistance,
        )

    def bl_code(self, volts: Array) -> Array:
        """DAC codes (…, n_bl), not rounded, that put bit lines at `volts` (…, n_bl) V over the common mode."""
        return self.bl_zero_code + volts / self.bl_volts_per_code

    def linear_code(self, code: Array) -> Array:
        """Codes (…, n_sl) without the converters' INL."""
        bow, ess = inl_basis(code)
        return code - self.bow_code * bow - self.ess_code * ess
