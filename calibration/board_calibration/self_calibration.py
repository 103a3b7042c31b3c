"""What a board can find out about itself, with nothing but its own array. docs/calibration.md says why no more."""

from __future__ import annotations

import numpy as np

from calibration.board_calibration.gates import driver_resistance
from calibration.board_calibration.measuring import (
    Array,
    CalibrationError,
    Progress,
    Steps,
    estimate,
    fit,
    mean_codes,
    silent,
    slopes,
    uniform,
    vcm_code,
    verify_codes,
)
from calibration.board_calibration.results import Findings, rest_code
from drivers import ads8324, dac
from drivers.board import Board
from drivers.correction import INL_HALF_SCALE, inl_basis
from drivers.crossbar import Crossbar
from drivers.line_control import ReadState

ZERO_REPEATS = 1024
LEVEL_REPEATS = 2048
SLOPE_REPEATS = 16
RAMP_POINTS, RAMP_REPEATS = 33, 32
USEFUL = 0.1
"""Largest standard uncertainty of a null code over the swing of a read, and of a gain over its tolerance: where rows
are too much alike, both grow without bound."""
CLEAR = 6.0
"""Factor by which the least that tells bit lines apart, a singular value of the slopes, must exceed their noise."""
DAC_INL_LSB = 1.0
"""DAC80508: INL of ±1 LSB at most (data sheet)."""
CHORD_LSB = 1.9
"""Slope at mid-range less that of the chord from 1/5 to 1/2 of the range, of a cubic INL with peak 1: at most so much
per full scale."""
INL_REACH = 0.5
"""Share of the ADC's range that a ramp must reach before a cubic drawn through it says anything of the ends."""

ROWS_OFF = ReadState(rows=())
ADCS_OPEN = ReadState(rows=(), adc_inputs="open")
ON_VCM = ReadState(bit_lines="vcm")
ON_FORM = ReadState(reference="form")

SELF = "board"
STEPS = 9


def self_calibration(crossbar: Crossbar, progress: Progress = silent) -> Findings:
    """Everything that the board alone can know, in three seconds of board time."""
    findings, steps = Findings(), Steps(progress, STEPS + crossbar.shape[0])
    measure_alone(crossbar, findings, steps)
    findings.try_to(driver_resistance, crossbar, findings, steps)
    return findings


def measure_alone(crossbar: Crossbar, findings: Findings, steps: Steps) -> None:
    """All but the resistances, which are better measured once amperes are known, `STEPS` steps."""
    offsets(crossbar, findings)
    steps.step("offsets")
    findings.try_to(bit_lines, crossbar, findings, steps)
    findings.try_to(adc_inl, crossbar, findings)
    steps.step("linearity")


def offsets(crossbar: Crossbar, findings: Findings) -> None:
    """Zero of the ADCs with nothing at their inputs, and of the amplifiers with all rows off."""
    board = crossbar.board
    wiring, rest = board.wiring, np.full(crossbar.shape[1], vcm_code(board))
    open_, amplifiers = (mean_codes(crossbar, rest, ZERO_REPEATS, state) for state in (ADCS_OPEN, ROWS_OFF))
    adc = np.array(wiring.sl_adc)
    # Every position of an open mux shows the same converter.
    shares = np.equal.outer(np.arange(wiring.n_adcs), adc) / np.bincount(adc)[:, None]
    zero, zero_error = shares @ open_.mean[0], np.sqrt(shares**2 @ open_.error[0] ** 2)
    findings.add("adc.zero_code", estimate("1", zero, zero_error, f"{SELF}: inputs open"))
    lsb_v = ads8324.lsb_v(board.adc.vref_v)
    offset_v = (amplifiers.mean[0] - zero[adc]) * lsb_v
    findings.add(
        "tia.offset_v",
        estimate(
            "V", offset_v, np.hypot(amplifiers.error[0], zero_error[adc]) * lsb_v, f"{SELF}: rows off, nominal LSB",
            shared={"adc gain": uniform(offset_v * board.tolerances.adc_gain)},
        ),
    )  # fmt: skip


def bit_lines(crossbar: Crossbar, findings: Findings, steps: Steps) -> None:
    """Code at which each bit line is at the common mode, and its volts per code, from two nulls.

    With the line's mux on the common mode no voltage drives the cells; with it on the DAC, at the code where currents
    are the same, neither does any. The amplifiers' reference on the forming level gives a second such code, and the
    two levels' distance is the ruler that all lines share. What counts is a difference of codes through one and the
    same cells, so their conductances drop out. They must differ from row to row, or no line can be told from another.
    """
    board, wiring = crossbar.board, crossbar.board.wiring
    levels_v = (wiring.vcm_v, wiring.vform_v)
    lsb_v = board.dac.span_v / dac.FULL_SCALE
    room = int((board.limits.read_v - board.levels.verify_v) / lsb_v) - 1
    rest = np.full(crossbar.shape[1], vcm_code(board))
    off = mean_codes(crossbar, rest, LEVEL_REPEATS, ROWS_OFF)
    zero = mean_codes(crossbar, rest, LEVEL_REPEATS, ON_VCM)
    steps.step("bit lines at the common mode")
    null, error, inverse = [], [], []
    loads: list[list[Array]] = []
    for level_v, state in zip(levels_v, (ReadState(), ON_FORM), strict=True):
        nominal = round(level_v / lsb_v)
        code = np.full(crossbar.shape[1], nominal, float)
        loads.append([])
        for _ in range(3):
            seen = mean_codes(crossbar, code, LEVEL_REPEATS, state)
            slope = slopes(crossbar, code, state, SLOPE_REPEATS)
            steps.step(f"bit lines at {level_v:g} V")
            design = slope.mean.T
            if np.linalg.svd(design, compute_uv=False)[-1] < CLEAR * slope.error.mean():
                raise CalibrationError(_alike("bl.zero_code, bl.volts_per_code"))
            # What the amplifiers' own offsets drive through the cells, whose gates do not stand quite the same.
            loads[-1].append(design.sum(axis=1))
            ratio = np.mean(loads[-1], axis=0) / np.mean(loads[0], axis=0)
            own = off.mean[0] + (zero.mean[0] - off.mean[0]) * ratio
            found = fit(design, seen.mean[0] - own, 1.0, tuple(f"BL {j}" for j in range(crossbar.shape[1])))
            tolerated = 4 * board.tolerances.dac_gain * level_v / lsb_v
            if not (np.abs(found.value) < tolerated).all():
                raise CalibrationError(_alike("bl.zero_code, bl.volts_per_code"))
            exact = code - found.value
            # Nobody knows yet where the lines stand: as far as the interlock lets a read go by nominal codes.
            code = np.clip(np.rint(exact), nominal - room, nominal + room)
        null.append(exact)
        error.append(seen.error[0])
        inverse.append(np.linalg.pinv(design))
    # The loads' own scatter, cells that fluctuate included, is that of the ratio.
    relative = np.sqrt(np.mean([np.var(each, axis=0, ddof=1) / np.mean(each, axis=0) ** 2 for each in loads]) / 1.5)
    error[1] = np.hypot(error[1], (zero.mean[0] - off.mean[0]) * relative)
    spread = inverse[0] * np.hypot(error[0], zero.error[0])
    covariance = spread @ spread.T
    scatter = np.sqrt(np.diag(covariance))
    if (scatter > USEFUL * verify_codes(board)).any():
        raise CalibrationError(_alike("bl.zero_code, bl.volts_per_code"))
    findings.add(
        "bl.zero_code",
        estimate("1", null[0], scatter, f"{SELF}: nulls at Vcm", correlation=covariance / np.outer(scatter, scatter)),
    )
    distance, between_v = null[0] - null[1], levels_v[0] - levels_v[1]
    # The zero is common to both nulls and drops out of their distance, but for the slopes' own change.
    spread = np.hstack([inverse[0] * error[0], inverse[1] * error[1], (inverse[0] - inverse[1]) * zero.error[0]])
    volts_per_code = between_v / distance
    spread *= (volts_per_code / distance)[:, None]
    # Between the two levels the mean slope is not quite that at the common mode: INL, within its data sheet's bound.
    covariance = spread @ spread.T + np.diag(
        (CHORD_LSB * DAC_INL_LSB / np.sqrt(3) * lsb_v / dac.FULL_SCALE) ** 2 * np.ones(crossbar.shape[1])
    )
    scatter = np.sqrt(np.diag(covariance))
    if (scatter > USEFUL * board.tolerances.dac_gain * lsb_v).any():
        raise CalibrationError(_alike("bl.volts_per_code"))
    tolerance = board.tolerances.reference
    findings.add(
        "bl.volts_per_code",
        estimate(
            "V", volts_per_code, scatter, f"{SELF}: Vcm − Vform nominal",
            correlation=covariance / np.outer(scatter, scatter),
            shared={
                "common mode": uniform(tolerance * levels_v[0] / distance),
                "forming level": uniform(-tolerance * levels_v[1] / distance),
            },
        ),
    )  # fmt: skip


def unknown_rest_v(board: Board, findings: Findings) -> float:
    """How far a bit line may stand off the common mode at the code that is taken for it, V."""
    if "bl.zero_code" in findings.estimates:
        return 0.0
    return (board.tolerances.dac_gain + board.tolerances.reference) * board.wiring.vcm_v


def _alike(what: str) -> str:
    return (
        f"{what}: not identifiable, the array's rows conduct too little or are too alike to tell bit lines apart; "
        "program a pattern that differs from row to row (xbar program AI4S), or use a bench"
    )


def adc_inl(crossbar: Crossbar, findings: Findings) -> None:
    """INL of the ADCs from a ramp on all bit lines: DACs within ±0.1 V and cells are linear, so what bends is the ADC.

    Raises `CalibrationError` if the array conducts too little for the ramp to get anywhere.
    """
    board, adc = crossbar.board, np.array(crossbar.board.wiring.sl_adc)
    off_v = unknown_rest_v(board, findings)
    if off_v > 0.1 * board.levels.verify_v:
        raise CalibrationError(
            f"adc.inl: not identifiable, bit lines may stand {off_v * 1e3:.0f} mV off the common mode as bl.zero_code "
            "was not found, and cells are not linear there; program rows that differ, or use a bench"
        )
    centre, step = rest_code(board, findings), verify_codes(board)
    slope = slopes(crossbar, centre, ReadState(), 2).mean.sum(axis=0)
    reach = np.abs(slope).max() * step
    if reach < INL_REACH * INL_HALF_SCALE:
        raise CalibrationError(
            f"adc.inl: not identifiable, all bit lines at {board.levels.verify_v:g} V reach code {reach:.0f} of "
            f"{INL_HALF_SCALE}; program the array to 50 µS or more, or use a bench"
        )
    # Lines that are not quite at rest, where their codes are not known, leave less room.
    room = 0.9 * INL_HALF_SCALE - np.abs(mean_codes(crossbar, centre, RAMP_REPEATS).mean[0])
    largest = min(step, int((room / np.abs(slope)).min()))
    if largest < INL_REACH * step:
        raise CalibrationError("adc.inl: not identifiable, bit lines at rest leave no room for a ramp; use a bench")
    ramp = np.rint(np.linspace(-largest, largest, RAMP_POINTS))
    seen = mean_codes(crossbar, centre + ramp[:, None], RAMP_REPEATS)
    bow, ess = np.zeros((2, board.wiring.n_adcs)), np.zeros((2, board.wiring.n_adcs))
    for a in range(board.wiring.n_adcs):
        lines = np.flatnonzero(adc == a)
        code = seen.mean[:, lines]
        columns = [np.zeros((*code.shape, 2 * len(lines))), *(x[..., None] for x in inl_basis(code))]
        for k in range(len(lines)):
            columns[0][:, k, 2 * k], columns[0][:, k, 2 * k + 1] = 1.0, ramp / step
        design = np.concatenate(columns, axis=-1).reshape(code.size, -1)
        names = (*(f"{what} of SL {i}" for i in lines for what in ("zero", "slope")), "adc.inl_bow", "adc.inl_ess")
        found = fit(design, code.ravel(), seen.error[:, lines].ravel(), names)
        (bow[0, a], ess[0, a]), (bow[1, a], ess[1, a]) = found.value[-2:], found.error[-2:]
    for name, (value, scatter) in (("adc.inl_bow_code", bow), ("adc.inl_ess_code", ess)):
        findings.add(name, estimate("1", value, scatter, f"{SELF}: cells Ohmic in ±0.1 V"))
