"""Mock boards that differ from their board file as much as a careless one would, and what is true of them."""

from __future__ import annotations

import numpy as np

from drivers.correction import inl_basis
from firmware_bridge.mock.ads8324 import AdcParams
from firmware_bridge.mock.array_params import ArrayParams, InitialParams, WireParams
from firmware_bridge.mock.board import MockBoard, MockParams, ReferenceParams
from firmware_bridge.mock.dac80508 import DacParams
from firmware_bridge.mock.opa4322 import TiaParams

LSB_V = 5.0 / 65536


def spread_board(**array: object) -> MockParams:
    """Gains ±5 %, offsets ±10 LSB, INL of 1 LSB (DAC) and 2 LSB (ADC), references ±0.4 %, resistances ±20 %."""
    return MockParams(
        dac=DacParams(offset_sigma_v=5 * LSB_V, offset_max_v=10 * LSB_V, gain_sigma=0.025, gain_max=0.05, inl_lsb=1.0),
        tia=TiaParams(rf_tolerance=0.05, v_os_sigma_v=1e-3),
        adc=AdcParams(offset_sigma_lsb=5.0, gain_sigma=0.025, inl_lsb=2.0),
        reference=ReferenceParams(tolerance=0.004),
        array=ArrayParams(wires=WireParams(line_spread=0.2, segment_spread=0.1)).model_copy(update=array),
    )


CONDUCTING = {"initial": InitialParams(g_median_s=50e-6, log_spread=0.3)}
"""An array that conducts as a programmed one does."""


def truth(board: MockBoard) -> dict[str, np.ndarray]:
    """True values of a calibration record's quantities, by the definitions of docs/calibration.md."""
    adcs, sl_adc = board.adcs, np.array(board.wiring.sl_adc)
    dac = np.concatenate([chip.coefficients() for chip in board.dacs])
    bl = dac[np.array(board.wiring.bl_dac)]
    zero = np.full(len(bl), 32768.0)
    for _ in range(20):
        c0, c1, c2, c3 = bl.T
        slope = c1 + zero * (2 * c2 + 3 * zero * c3)
        zero -= (c0 + zero * (c1 + zero * (c2 + zero * c3)) - board.vcm_v) / slope
    # Code against input of each converter in the basis of the model: o + s V + bow B(code) + ess E(code).
    volts = np.linspace(-0.9, 0.9, 401)
    lines = []
    for chip in adcs:
        code = np.polynomial.polynomial.polyval(volts, chip.coefficients())
        design = np.column_stack([np.ones_like(volts), volts, *inl_basis(code)])
        lines.append(np.linalg.lstsq(design, code, rcond=None)[0])
    offset, codes_per_volt, bow, ess = np.array(lines).T
    x = np.linspace(0, 65535, 401)
    t = x / 65535
    design = np.column_stack([np.ones_like(x), x, 4 * t * (1 - t), 6 * np.sqrt(3) * t * (1 - t) * (1 - 2 * t)])
    output = np.stack([np.polynomial.polynomial.polyval(x, c) for c in dac], axis=1)
    dac_fit = np.linalg.lstsq(design, output, rcond=None)[0]
    lsb_v = adcs[0].lsb_v
    return {
        "adc.zero_code": np.array([chip.coefficients()[0] for chip in adcs]),
        "adc.offset_code": offset,
        "adc.gain": codes_per_volt * lsb_v - 1,
        "adc.inl_bow_code": bow,
        "adc.inl_ess_code": ess,
        "tia.offset_v": board.tia.v_os_v,
        "tia.rf_ohm": board.tia.rf_ohm,
        "sl.amperes_per_code": -1 / (board.tia.rf_ohm * codes_per_volt[sl_adc]),
        "bl.zero_code": zero,
        "bl.volts_per_code": slope,
        "dac.offset_v": dac_fit[0],
        "dac.gain": dac_fit[1] / LSB_V - 1,
        "dac.inl_bow_code": dac_fit[2] / LSB_V,
        "dac.inl_ess_code": dac_fit[3] / LSB_V,
        "bl.driver_ohm": board.array.wires.bl_source_ohm,
        "sl.series_ohm": board.array.wires.sl_series_ohm,
        "reference.vcm_v": np.array([board.vcm_v]),
        "mux.bl_ohm": board.bl_mux.r_on_ohm,
        "mux.reference_ohm": board.reference_mux.r_on_ohm,
    }
