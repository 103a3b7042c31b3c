"""Calibration with a source-measure unit and a multimeter at the board's test points: absolute volts and amperes."""

from __future__ import annotations

import numpy as np

from calibration.board_calibration.bench_bit_lines import bit_line_drivers, dac_channels, mux_resistances
from calibration.board_calibration.bench_source_lines import SourceLines
from calibration.board_calibration.measuring import CalibrationError, Notes, Progress, Steps, estimate, silent, uniform
from calibration.board_calibration.probes import LEVEL_RANGE_V, Bench, Common
from calibration.board_calibration.results import Findings
from calibration.board_calibration.self_calibration import offsets
from drivers.crossbar import Crossbar
from drivers.instruments.accuracy import Span
from drivers.instruments.dmm import DC_VOLTAGE, RESISTANCE

DMM_VOLTS, DMM_OHMS = DC_VOLTAGE.span_for(LEVEL_RANGE_V), RESISTANCE.span_for(10e3)


VCM_SAMPLES = 16


def bench_calibration(
    crossbar: Crossbar, bench: Bench, progress: Progress = silent, notes: Notes | None = None
) -> Findings:
    """Everything that the two instruments can tell, on a board at rest and with currents into its source lines.

    notes: of an earlier attempt on the same board, whose probes need not be moved again.
    """
    n_sl, n_bl = crossbar.shape
    steps = Steps(progress, n_sl + crossbar.board.wiring.n_channels + 2 * n_bl + 1, notes)
    findings = Findings()
    # Noted too: what follows is measured against it, however long it takes.
    before = Common(*steps.keep("common mode", lambda: np.array(common_mode(bench))))
    offsets(crossbar, findings)
    SourceLines(crossbar, bench).measure(findings, before, steps)
    dac_channels(crossbar, bench, findings, steps)
    drift_v = common_mode(bench).volts - before.volts
    _add_common_mode(crossbar, findings, before, drift_v)
    bit_line_drivers(crossbar, bench, findings, steps)
    mux_resistances(crossbar, bench, findings, steps)
    for name in ("dmm", "smu"):
        bench.probes.connect(name, None)
    return findings


def common_mode(bench: Bench) -> Common:
    """Of the amplifiers."""
    seen = bench.volts("VCM", nplc=10, samples=VCM_SAMPLES)
    return Common(seen.value, seen.standard_deviation / np.sqrt(seen.samples))


def _add_common_mode(crossbar: Crossbar, findings: Findings, before: Common, drift_v: float) -> None:
    """Common mode, and its drift while all else was measured against it: wider by it, or refused."""
    nominal_v = crossbar.board.wiring.vcm_v
    largest_v = crossbar.board.tolerances.reference * nominal_v
    if abs(drift_v) > largest_v:
        raise CalibrationError(
            f"reference.vcm_v: moved by {drift_v * 1e3:.3g} mV during the calibration, more than the "
            f"{largest_v * 1e3:.3g} mV of tolerances.reference; let the board warm up, and begin anew"
        )
    shared = dmm_errors(np.array([before.volts]), DMM_VOLTS)
    if abs(drift_v) > 4 * before.error:
        shared["common mode drift"] = uniform(np.array([abs(drift_v)]))
    findings.add(
        "reference.vcm_v", estimate("V", np.array([before.volts]), np.array([before.error]), "DMM", shared=shared)
    )


def dmm_errors(volts: np.ndarray, span: Span, *, offset: float = 1.0) -> dict:
    """What the multimeter's gain and offset do to voltages on one range; offset 0 for differences."""
    shared = {"dmm volts gain": uniform(span.of_reading * volts)}
    if offset:
        shared["dmm volts offset"] = uniform(np.full(np.shape(volts), offset * span.offset))
    return shared
