"""Calibration against one resistor of known value, hung between a bit line and each source line in turn."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from calibration.board_calibration.gates import driver_resistance
from calibration.board_calibration.measuring import (
    Array,
    CalibrationError,
    Notes,
    Progress,
    Steps,
    estimate,
    mean_codes,
    silent,
    uniform,
)
from calibration.board_calibration.results import Findings, rest_code
from calibration.board_calibration.self_calibration import ROWS_OFF, STEPS, measure_alone, unknown_rest_v
from drivers import dac
from drivers.board import Board
from drivers.correction import INL_HALF_SCALE, Correction
from drivers.crossbar import Crossbar
from drivers.estimate import Shared
from firmware_bridge.errors import LimitError

REPEATS = 256
INL_MAX_CODE = 3.0
"""ADS8324: INL of ±3 LSB at most (recalled): what is assumed of a converter whose own is not known."""
MAX_DRIFT = 0.01
"""Largest change of the reference during a calibration, relative, that is still believed."""


class Resistor(Protocol):
    """Whoever moves the resistor: a person, or the mock's bench."""

    def connect_resistor(self, sl: int, bl: int, ohm: float) -> None:
        """Hang it between the test points of a source line and a bit line, away from where it was."""


def reference_calibration(
    crossbar: Crossbar,
    resistor: Resistor,
    ohm: float,
    expanded_ohm: float,
    progress: Progress = silent,
    notes: Notes | None = None,
) -> Findings:
    """What the board alone can know, and amperes per code of every source line from a resistor of `ohm` Ω.

    expanded_ohm: Ω, its uncertainty as certificates state it (k = 2, normal).
    notes: of an earlier attempt on the same board with the same resistor.

    Raises `LimitError` for a resistor that the amplifiers cannot bear or hardly see, `CalibrationError` for one that is
    not where it should be, or drifts.
    """
    board, n_sl = crossbar.board, crossbar.shape[0]
    least = board.levels.verify_v / (0.8 * board.adc.vref_v / board.tia.rf_ohm)
    if not least <= ohm <= 100e3:
        raise LimitError(
            "ohm", ohm, (least, 100e3), "Ω", advice="choose a resistor whose current fills the ADC's range"
        )
    if not 0 < expanded_ohm < 0.1 * ohm:
        raise LimitError("uncertainty", expanded_ohm, (0.0, 0.1 * ohm), "Ω", advice="that of its certificate, k = 2")
    findings, steps = Findings(), Steps(progress, STEPS + 2 * n_sl, notes)
    measure_alone(crossbar, findings, steps)
    _amperes(crossbar, resistor, ohm, expanded_ohm, findings, steps)
    findings.try_to(driver_resistance, crossbar, findings, steps)
    return findings


def _amperes(
    crossbar: Crossbar, resistor: Resistor, ohm: float, expanded_ohm: float, findings: Findings, steps: Steps
) -> None:
    board = crossbar.board
    n_sl, n_bl = crossbar.shape
    lsb_v = board.dac.span_v / dac.FULL_SCALE
    known = findings.estimates.get("bl.volts_per_code")
    volts_per_code = np.full(n_bl, lsb_v) if known is None else known.value
    rest, swing = np.rint(rest_code(board, findings)), np.rint(_swing_v(board, ohm, findings) / volts_per_code)
    correction = Correction.of(findings.record(crossbar, ("self",)), board)
    bl = np.arange(n_sl) % n_bl

    def codes_moved(line: int) -> Array:
        """Codes by which a source line moves, and their standard error."""
        resistor.connect_resistor(line, int(bl[line]), ohm)
        pair = np.tile(rest, (2, 1))
        pair[:, bl[line]] += (swing[bl[line]], -swing[bl[line]])
        seen = mean_codes(crossbar, pair, REPEATS, ROWS_OFF)
        linear = correction.linear_code(seen.mean)[:, line]
        return np.array([linear[0] - linear[1], seen.error[0, line] * np.sqrt(2)])

    moved = steps.noted(range(n_sl), "resistor at source lines", codes_moved)
    again, error = codes_moved(0)
    resistor.connect_resistor(0, 0, np.inf)
    drift = abs(again / moved[0, 0] - 1)
    if drift > MAX_DRIFT:
        raise CalibrationError(
            f"sl.amperes_per_code: the reference changed by {100 * drift:.2g} % between its first and its last "
            "visit to source line 0; check its contacts, let it settle, and begin anew"
        )
    volts = 2 * swing[bl] * volts_per_code[bl]
    design_ohm = board.lines.bl_driver_ohm
    value = volts / ((ohm + design_ohm) * moved[:, 0])
    _refuse_stray(crossbar, value)
    relative = np.hypot(moved[:, 1] / moved[:, 0], 0.0 if known is None else (known.scatter / known.value)[bl])
    shared = {
        "reference resistor": Shared(distribution="normal", effect=-value * expanded_ohm / 2 / ohm),
        "driver at the resistor": uniform(-value * board.lines.tolerance * design_ohm / ohm),
    }
    if known is None:
        shared["gains of DACs"] = uniform(value * board.tolerances.dac_gain)
    else:
        for name, each in known.shared.items():
            shared[name] = Shared(distribution=each.distribution, effect=value * (each.effect / known.value)[bl])
    if "adc.inl_ess_code" not in findings.estimates:
        # Around zero an S-shaped INL is a gain; a bow is none, with plus and minus alike.
        reach = np.abs(moved[:, 0]) / 2 / INL_HALF_SCALE
        slope = 1.5 * np.sqrt(3) * INL_MAX_CODE / INL_HALF_SCALE * (1 - reach**2)
        shared["INL of the ADCs"] = uniform(value * slope)
    if drift > 4 * np.hypot(error, moved[0, 1]) / abs(moved[0, 0]):
        shared["drift of the reference"] = uniform(value * drift)
    findings.add(
        "sl.amperes_per_code", estimate("A", value, np.abs(value) * relative, "reference resistor", shared=shared)
    )


def _swing_v(board: Board, ohm: float, findings: Findings) -> float:
    """Voltage to put over the resistor, V: that of reads, or less where lines may stand elsewhere than at rest, as
    nobody has found their codes."""
    off_v = unknown_rest_v(board, findings)
    widest = (1 + board.tolerances.rf) * (1 + board.tolerances.adc_gain)
    room_v = 0.9 * board.adc.vref_v / widest * ohm / board.tia.rf_ohm - off_v
    if room_v < 0.1 * board.levels.verify_v:
        raise CalibrationError(
            f"sl.amperes_per_code: bit lines may stand {off_v * 1e3:.0f} mV off the common mode, as bl.zero_code was "
            f"not found, and {ohm:g} Ω would take the ADCs beyond their range; use a larger resistor, or program the "
            "array to rows that differ"
        )
    return min(board.levels.verify_v, room_v)


def _refuse_stray(crossbar: Crossbar, value: Array) -> None:
    board = crossbar.board
    nominal = crossbar.nominal_amperes_per_code
    widest = 1.2 * (1 + board.tolerances.rf) * (1 + board.tolerances.adc_gain) * (1 + board.tolerances.dac_gain)
    ratio = value / nominal
    if not ((ratio > 1 / widest) & (ratio < widest)).all():
        line = int(np.argmax(np.abs(np.log(np.maximum(np.abs(ratio), 1e-9)))))
        raise CalibrationError(
            f"sl.amperes_per_code: that of source line {line} is {ratio[line]:.3g} of what the board file says; "
            f"check that the resistor hangs between BL{line % crossbar.shape[1]} and SL{line}, and its value"
        )
