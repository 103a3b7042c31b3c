"""Resistance of bit-line drivers and wires from cells that are switched on and off by their gates."""

from __future__ import annotations

import numpy as np

from calibration.board_calibration.measuring import Array, CalibrationError, Steps, estimate, slopes, uniform
from calibration.board_calibration.results import Findings, rest_code
from drivers import dac
from drivers.crossbar import Crossbar
from drivers.line_control import ReadState
from drivers.line_resistance import LineResistance

PASSES_ALL, PASSES_ONE = 64, 8
SIGNIFICANT = 5.0
"""Standard uncertainties by which the mean driver must exceed zero, or nothing was seen."""
_STEPS = 8


def driver_resistance(crossbar: Crossbar, findings: Findings, steps: Steps) -> None:
    """Resistance of each bit line's driver: a row read alone against the same row read among all others.

    The other rows' cells load the line. Everything else about a cell is the same in both reads: its conductance, its
    amplifier, its DAC and its source line drop out of the ratio. Conductances come in the board's own siemens, so
    ohms are as wrong as those are: nominal gains until a reference or a bench has been there. Their product, which is
    what a correction needs, is not.
    """

    board = crossbar.board
    n_sl, n_bl = crossbar.shape
    centre = rest_code(board, findings)
    everything = slopes(crossbar, centre, ReadState(), PASSES_ALL).mean.T
    alone, noise = np.empty((n_sl, n_bl)), np.empty((n_sl, n_bl))
    for row in steps.over(range(n_sl), "resistances"):
        seen = slopes(crossbar, centre, ReadState(rows=(row,)), PASSES_ONE)
        alone[row], noise[row] = seen.mean[:, row], seen.error[:, row]
    siemens = _siemens_per_slope(crossbar, findings)
    fitted = fit_drivers(everything * siemens, alone * siemens, noise * np.abs(siemens), board.lines.bl_segment_ohm)
    value, scatter = fitted
    if not value.mean() > SIGNIFICANT * np.sqrt((scatter**2).sum()) / n_bl:
        raise CalibrationError(
            f"bl.driver_ohm: not identifiable, mean {value.mean():.2g} Ω with a standard uncertainty of "
            f"{np.sqrt((scatter**2).sum()) / n_bl:.2g} Ω; program the array to 50 µS or more, or use a bench"
        )
    tolerance, shared = board.tolerances, {}
    if "sl.amperes_per_code" not in findings.estimates:
        # Row by row, averaged over the rows that load a line.
        relative = (tolerance.rf + tolerance.adc_gain) / np.sqrt(n_sl)
        shared["gains of amplifiers and ADCs"] = uniform(value * relative)
    if "bl.volts_per_code" not in findings.estimates:
        shared["gains of DACs"] = uniform(value * tolerance.dac_gain)
    shared["bit-line segments"] = uniform(
        np.full(n_bl, -board.lines.tolerance * board.lines.bl_segment_ohm * (n_sl + 1) / 3)
    )
    findings.add("bl.driver_ohm", estimate("Ω", value, scatter, "board: rows on and off", shared=shared))
    add_design(crossbar, findings)


def add_design(crossbar: Crossbar, findings: Findings) -> None:
    """Resistances that nothing here can measure, as they were designed."""
    lines = crossbar.board.lines
    for name, value in (
        ("bl.segment_ohm", lines.bl_segment_ohm),
        ("sl.segment_ohm", lines.sl_segment_ohm),
        ("sl.series_ohm", lines.sl_series_ohm),
    ):
        if name not in findings.estimates:
            shared = {f"design of {name}": uniform(np.array([lines.tolerance * value]))}
            findings.add(name, estimate("Ω", np.array([value]), np.zeros(1), "board file: design", shared=shared))


def _siemens_per_slope(crossbar: Crossbar, findings: Findings) -> Array:
    """(n_sl, n_bl) S per ADC code and DAC code, with what is known of the gains so far."""
    board = crossbar.board
    amperes = findings.estimates.get("sl.amperes_per_code")
    volts = findings.estimates.get("bl.volts_per_code")
    per_code = np.full(crossbar.shape[0], crossbar.nominal_amperes_per_code) if amperes is None else amperes.value
    return per_code[:, None] / (board.dac.span_v / dac.FULL_SCALE if volts is None else volts.value)


def fit_drivers(everything: Array, alone: Array, noise: Array, segment_ohm: float) -> tuple[Array, Array]:
    """Drivers (n_bl,) Ω and their standard uncertainties, from transfers (n_sl, n_bl) S of rows together and alone.

    noise: (n_sl, n_bl) S, of `alone`. Residuals that exceed it widen the uncertainty: telegraph noise of cells.
    """
    n_sl, n_bl = everything.shape
    sound = (everything > 0.1 * np.median(everything)) & (alone > 0)

    def ratio(driver_ohm: Array) -> tuple[Array, Array]:
        """(n_sl, n_bl) alone over together; and the conductances behind it."""
        lines = LineResistance(driver_ohm, segment_ohm, 0.0, np.zeros(n_sl))
        cells = lines.cells(everything)
        own_ohm = driver_ohm + segment_ohm * np.arange(1, n_sl + 1)[:, None]
        return cells / (1 + own_ohm * cells) / everything, cells

    driver = np.zeros(n_bl)
    measured = alone / np.where(sound, everything, 1.0)
    weight = np.where(sound, (everything / noise) ** 2, 0.0)
    for _ in range(_STEPS):
        base, cells = ratio(driver)
        step_ohm = 1e-3 / cells.sum(axis=0)
        derivative = (ratio(driver + step_ohm)[0] - base) / step_ohm
        power = (weight * derivative**2).sum(axis=0)
        change = (weight * derivative * (measured - base)).sum(axis=0) / power
        driver = driver + change
        # A line may lose much, but not to the last: stay where cells exist.
        driver = np.minimum(driver, 0.9 / everything.sum(axis=0))
        if np.abs(change).max() < 1e-4 * max(float(np.abs(driver).max()), 1e-3):
            break
    else:
        raise CalibrationError("bl.driver_ohm: the fit did not converge; read the array (xbar doctor), and try again")
    residual = weight * (measured - base) ** 2
    chi2 = residual.sum() / max(int(sound.sum()) - n_bl, 1)
    return driver, np.sqrt(max(float(chi2), 1.0) / power)
