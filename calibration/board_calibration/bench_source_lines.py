"""Source lines on a bench: a current into each, its amplifier's output on the multimeter, and codes beside them."""

from __future__ import annotations

import numpy as np

from calibration.board_calibration.measuring import (
    Array,
    CalibrationError,
    Fit,
    Steps,
    estimate,
    fit,
    mean_codes,
    uniform,
    vcm_code,
)
from calibration.board_calibration.probes import Bench, Common
from calibration.board_calibration.results import Findings
from calibration.board_calibration.self_calibration import ROWS_OFF
from drivers import ads8324
from drivers.correction import inl_basis
from drivers.crossbar import Crossbar
from drivers.instruments.accuracy import Span
from drivers.instruments.dmm import DC_VOLTAGE

CURRENT_STEPS = (-1.0, -0.65, -0.3, 0.3, 0.65, 1.0)
"""Currents into a source line, over the largest that every amplifier and converter bears."""
REACH = 0.93
"""Share of the ADC's range that the largest current fills at the widest gains."""
LEVEL_REPEATS, ZERO_SAMPLES = 64, 4
LIMIT_V = 4.0
"""Compliance of the current source, V: a source line stands at the common mode."""
MISFIT = 25.0
"""Largest χ² per degree of freedom that is still scatter; beyond, the model does not hold or a probe is elsewhere."""
VOLTS = DC_VOLTAGE.span_for(10.0)
DMM, SMU = "DMM", "SMU"


class SourceLines:
    """Amplifiers and converters: currents from the SMU, the amplifiers' outputs on the DMM, codes beside them."""

    def __init__(self, crossbar: Crossbar, bench: Bench) -> None:
        self._crossbar, self._bench = crossbar, bench
        board = crossbar.board
        widest = (1 + board.tolerances.rf) * (1 + board.tolerances.adc_gain)
        self._currents = np.array(CURRENT_STEPS) * REACH * board.adc.vref_v / (board.tia.rf_ohm * widest)
        self._range_a = float(np.abs(self._currents).max())

    def measure(self, findings: Findings, vcm: Common, steps: Steps) -> None:
        """sl.amperes_per_code, tia.*, adc.* and sl.series_ohm."""
        seen = steps.noted(range(self._crossbar.shape[0]), "source lines", self._line)
        zero_v, zero_deviation_v, error = seen[:, :3].T
        current, sense_v, output_v, code = seen[:, 3:].reshape(len(seen), 4, -1).transpose(1, 0, 2)
        span = self._bench.smu.CURRENT.span_for(self._range_a)
        smu, dmm = "smu current gain", "dmm volts gain"
        self._converters(findings, current, output_v - vcm.volts, code, error, span)
        rf, rf_error = _slopes(current, output_v, "tia.rf_ohm")
        findings.add(
            "tia.rf_ohm",
            estimate("Ω", -rf, rf_error, f"{SMU}, {DMM}", shared={
                smu: uniform(rf * span.of_reading), dmm: uniform(-rf * VOLTS.of_reading),
            }),
        )  # fmt: skip
        offset_v = zero_v - vcm.volts
        scatter = np.hypot(np.sqrt(np.mean(zero_deviation_v**2) / ZERO_SAMPLES), vcm.error)
        findings.add(
            "tia.offset_v",
            estimate("V", offset_v, scatter, DMM, shared={dmm: uniform(offset_v * VOLTS.of_reading)}),
        )
        series, series_error = _slopes(current, sense_v, "sl.series_ohm")
        findings.add(
            "sl.series_ohm",
            estimate("Ω", series, series_error, SMU, shared={
                smu: uniform(-series * span.of_reading),
                "smu volts gain": uniform(series * self._bench.smu.VOLTAGE.span_for(LIMIT_V).of_reading),
            }),
        )  # fmt: skip

    def _line(self, line: int) -> Array:
        """Output without current from outside and its deviation, V; the error of the codes; then for each current what
        flows, A, the voltages at the line and at the output, V, and the code."""
        crossbar, bench = self._crossbar, self._bench
        rest = np.full(crossbar.shape[1], vcm_code(crossbar.board))
        bench.probes.connect("smu", f"SL{line}")
        zero = bench.volts(f"TIA{line}", nplc=10, samples=ZERO_SAMPLES)
        current, sense_v, output_v, code, error = [], [], [], [], []
        for k, level in enumerate(self._currents):
            bench.smu.source_current(float(level), limit_v=LIMIT_V, range_a=self._range_a)
            if k == 0:
                bench.smu.output_on()
            seen = bench.smu.measure()
            current.append(seen.current.value)
            sense_v.append(seen.voltage.value)
            output_v.append(bench.dmm.dc_voltage(VOLTS.full_scale, nplc=1).value)
            codes = mean_codes(crossbar, rest, LEVEL_REPEATS, ROWS_OFF)
            code.append(codes.mean[0, line])
            error.append(codes.error[0, line])
        bench.smu.output_off()
        bench.probes.connect("smu", None)
        self._refuse_stray(line, np.array(current), np.array(output_v))
        deviation = float(np.sqrt(np.mean(np.square(error))))
        return np.array([zero.value, zero.standard_deviation, deviation, *current, *sense_v, *output_v, *code])

    def _refuse_stray(self, line: int, current: Array, output_v: Array) -> None:
        rf = -float(np.polynomial.polynomial.polyfit(current, output_v, 1)[1])
        nominal = self._crossbar.board.tia.rf_ohm
        if not 0.5 * nominal < rf < 2 * nominal:
            raise CalibrationError(
                f"tia.rf_ohm: output of amplifier {line} moves by {rf:.4g} V per ampere into source line {line}, the "
                f"board file says {nominal:g} Ω; check that the SMU is at SL{line} and the DMM at TIA{line}"
            )

    def _converters(
        self, findings: Findings, current: Array, output_v: Array, code: Array, error: Array, span: Span
    ) -> None:
        """Converter by converter: code against volts, and code against amperes."""
        board = self._crossbar.board
        wiring, n_levels = board.wiring, len(self._currents)
        by_volts, by_amperes = [], []
        amperes, amperes_error = np.empty((2, wiring.n_sl))
        for a in range(wiring.n_adcs):
            lines = [i for i in range(wiring.n_sl) if wiring.sl_adc[i] == a]
            c, v, errors = code[lines].ravel(), output_v[lines].ravel(), np.repeat(error[lines], n_levels)
            bend = np.column_stack(inl_basis(c))
            names = (f"offset of ADC {a}", "gain", "inl_bow", "inl_ess")
            by_volts.append(
                _checked(fit(np.column_stack([np.ones_like(v), v, bend]), c, errors, names), errors, f"ADC {a}")
            )
            one = np.kron(np.eye(len(lines)), np.ones((n_levels, 1)))
            design = np.column_stack([one, one * current[lines].ravel()[:, None], bend])
            unknown = [f"{what} of SL {i}" for what in ("zero", "gain") for i in lines]
            value, deviation = _checked(
                fit(design, c, errors, (*unknown, "inl_bow", "inl_ess")), errors, f"source lines {lines}"
            )
            slope = slice(len(lines), 2 * len(lines))
            amperes[lines], amperes_error[lines] = value[slope], deviation[slope]
            by_amperes.append((value[-2:], deviation[-2:]))
        volts, volts_error = np.array(by_volts).transpose(1, 2, 0)
        bend_value, bend_error = np.array(by_amperes).transpose(1, 2, 0)
        lsb_v = ads8324.lsb_v(board.adc.vref_v)
        gain = volts[1] * lsb_v
        findings.add("adc.offset_code", estimate("1", volts[0], volts_error[0], DMM))
        findings.add(
            "adc.gain",
            estimate("1", gain - 1, volts_error[1] * lsb_v, DMM, shared={
                "dmm volts gain": uniform(-gain * VOLTS.of_reading)
            }),
        )  # fmt: skip
        for k, name in enumerate(("adc.inl_bow_code", "adc.inl_ess_code")):
            findings.add(name, estimate("1", bend_value[k], bend_error[k], SMU))
        findings.add(
            "sl.amperes_per_code",
            estimate("A", 1 / amperes, amperes_error / amperes**2, SMU, shared={
                "smu current gain": uniform(span.of_reading / amperes)
            }),
        )  # fmt: skip


def _checked(found: Fit, error: Array, what: str) -> tuple[Array, Array]:
    """Values and standard uncertainties of a fit, widened by what scatters more than it should, refused if it cannot be
    scatter."""
    chi2 = float(((found.residual / error) ** 2).sum() / found.dof)
    if chi2 > MISFIT:
        raise CalibrationError(
            f"{what}: codes miss the model by {np.sqrt(chi2):.1f} standard errors; the converter is worse than a "
            "cubic, or a probe has moved"
        )
    return found.value, found.error * max(1.0, np.sqrt(chi2))


def _slopes(x: Array, y: Array, what: str) -> tuple[Array, Array]:
    """Slopes (lines,) of y (lines, points) over x, with standard errors from the residuals of all lines together."""
    dx, dy = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    power = (dx**2).sum(axis=1)
    slope = (dx * dy).sum(axis=1) / power
    residual = dy - slope[:, None] * dx
    dof = residual.size - 2 * len(x)
    return slope, np.sqrt((residual**2).sum() / dof / power)
