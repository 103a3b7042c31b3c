"""DAC channels, drivers and muxes on a bench: the multimeter at each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration.board_calibration.gates import add_design
from calibration.board_calibration.measuring import Array, CalibrationError, Steps, estimate, mean_codes, uniform
from calibration.board_calibration.probes import Bench
from calibration.board_calibration.results import Findings
from drivers import dac
from drivers.correction import Correction
from drivers.crossbar import Crossbar
from drivers.instruments.dmm import DC_VOLTAGE, RESISTANCE
from firmware_bridge.isa import Codes

DAC_SHARES = (0.03, 0.2, 0.4, 0.6, 0.8, 0.97)
"""Codes at which a DAC channel is measured, over full scale: clear of the rails."""
LINE_REPEATS, DRIVER_SAMPLES = 32, 4
OHMS_RANGE = 10e3
STRAY = 0.01
"""Largest disagreement, relative, of a channel's slope at read voltages with that of its whole range."""
VOLTS, OHMS = DC_VOLTAGE.span_for(10.0), RESISTANCE.span_for(OHMS_RANGE)
DMM, SMU = "DMM", "SMU"


def dac_channels(crossbar: Crossbar, bench: Bench, findings: Findings, steps: Steps) -> None:
    """dac.*: offset, gain and INL of every channel, at its output, bit lines disconnected."""
    board, n = crossbar.board, crossbar.board.wiring.n_channels
    codes = np.rint(np.array(DAC_SHARES) * (dac.FULL_SCALE - 1))
    held = [np.full(n, code, np.uint16) for code in codes]

    def at(channel: int) -> Array:
        bench.probes.connect("dmm", f"DAC{channel}")
        with crossbar.held(held) as levels:
            return np.array([bench.dmm.dc_voltage(VOLTS.full_scale, nplc=1).value for _ in levels])

    seen = steps.noted(range(n), "DAC channels", at)
    design = np.column_stack([np.ones_like(codes), codes, *dac_inl_basis(codes)])
    lsb_v = board.dac.span_v / dac.FULL_SCALE
    solved, *_ = np.linalg.lstsq(design / design.max(axis=0), seen.T, rcond=None)
    value = solved / design.max(axis=0)[:, None]
    residual = seen.T - design @ value
    sigma = np.sqrt((residual**2).sum() / (residual.size - value.size))
    if sigma > lsb_v:
        worst = int(np.argmax(np.abs(residual).max(axis=0)))
        raise CalibrationError(
            f"dac.gain: channel {worst} misses a cubic by {np.abs(residual).max() / lsb_v:.1f} LSB; check that the "
            f"DMM is at DAC{worst} and that the supply is above {board.dac.span_v:g} V"
        )
    error = sigma * np.sqrt(np.diag(np.linalg.inv(design.T @ design)))
    ones = np.ones(n)
    gain, gain_scatter = value[1] / lsb_v, error[1] / lsb_v
    findings.add(
        "dac.offset_v",
        estimate("V", value[0], error[0], DMM, shared={
            "dmm volts gain": uniform(value[0] * VOLTS.of_reading), "dmm volts offset": uniform(ones * VOLTS.offset)
        }),
    )  # fmt: skip
    findings.add(
        "dac.gain",
        estimate("1", gain - 1, gain_scatter, DMM, shared={"dmm volts gain": uniform(gain * VOLTS.of_reading)}),
    )
    for k, name in ((2, "dac.inl_bow_code"), (3, "dac.inl_ess_code")):
        findings.add(name, estimate("1", value[k] / lsb_v, error[k] / lsb_v, DMM))


def dac_inl_basis(code: Array) -> tuple[Array, Array]:
    """Bow and S of a DAC's integral non-linearity, each of peak 1 LSB, zero at both ends of the range."""
    t = np.asarray(code, float) / (dac.FULL_SCALE - 1)
    bow = 4 * t * (1 - t)
    return bow, bow * (1.5 * np.sqrt(3.0)) * (1 - 2 * t)


def bit_line_drivers(crossbar: Crossbar, bench: Bench, findings: Findings, steps: Steps) -> None:
    """bl.zero_code, bl.volts_per_code and bl.driver_ohm: each line at plus and minus the read voltage, the multimeter
    before its driver and behind it, the current from the amplifiers."""
    board, n_bl = crossbar.board, crossbar.shape[1]
    wiring = board.wiring
    channels, vcm_v = np.array(wiring.bl_dac), float(findings.estimates["reference.vcm_v"].value[0])
    slope = (1 + findings.estimates["dac.gain"].value[channels]) * board.dac.span_v / dac.FULL_SCALE
    rest = np.rint((vcm_v - findings.estimates["dac.offset_v"].value[channels]) / slope)
    swing = np.rint(board.levels.verify_v / slope)
    correction = Correction.of(findings.record(crossbar, ("bench",)), board)

    def at(line: int) -> Array:
        """Channel and line at both levels, V; the current between these and its error, A; deviations of the volts."""
        volts, spread = [], []
        pair = np.tile(rest, (2, 1))
        pair[:, line] += (swing[line], -swing[line])
        held = [_all_channels(crossbar, row) for row in pair]
        for point in (f"DAC{channels[line]}", f"BL{line}"):
            bench.probes.connect("dmm", point)
            with crossbar.held(held, connect=True) as levels:
                for _ in levels:
                    reading = bench.dmm.dc_voltage(VOLTS.full_scale, nplc=10, samples=DRIVER_SAMPLES)
                    volts.append(reading.value)
                    spread.append(reading.standard_deviation)
        codes = mean_codes(crossbar, pair, LINE_REPEATS)
        both = correction.linear_code(codes.mean) * correction.amperes_per_code
        noise = np.sqrt(2 * ((codes.error[0] * correction.amperes_per_code) ** 2).sum())
        return np.array([*volts, (both[0] - both[1]).sum(), noise, *spread])

    found = steps.noted(range(n_bl), "bit lines", at)
    seen, current, noise, spread = found[:, :4].reshape(n_bl, 2, 2), found[:, 4], found[:, 5], found[:, 6:]
    sigma_v = float(np.sqrt(np.mean(np.square(spread)) / DRIVER_SAMPLES))
    moved, drop = seen[:, 0, 0] - seen[:, 0, 1], (seen[:, 0, 0] - seen[:, 0, 1]) - (seen[:, 1, 0] - seen[:, 1, 1])
    volts_per_code = moved / (2 * swing)
    stray = ~(np.abs(volts_per_code / slope - 1) < STRAY) | ~(np.abs(seen[:, 1] - seen[:, 0]).max(axis=1) < 0.1)
    if stray.any():
        line = int(np.argmax(stray))
        raise CalibrationError(
            f"bl.volts_per_code: bit line {line} moves by {moved[line] * 1e3:.4g} mV where its DAC channel should by "
            f"{2 * swing[line] * slope[line] * 1e3:.4g} mV; check that the DMM was at DAC{channels[line]} and BL{line}"
        )
    vcm = findings.estimates["reference.vcm_v"]
    # Between the two codes the channel bends by its INL: the S does not show in mid-range, the bow does.
    bow_v = findings.estimates["dac.inl_bow_code"].value[channels] * board.dac.span_v / dac.FULL_SCALE
    middle_v = seen[:, 0].mean(axis=1) + 4 * bow_v * (swing / dac.FULL_SCALE) ** 2
    zero = rest - (middle_v - vcm_v) / volts_per_code
    gain = VOLTS.of_reading
    findings.add(
        "bl.volts_per_code",
        estimate("V", volts_per_code, sigma_v * np.sqrt(2) / (2 * swing), DMM, shared={
            "dmm volts gain": uniform(volts_per_code * gain)
        }),
    )  # fmt: skip
    # The meter's offset and gain are in both levels alike; a drift of the common mode is not.
    shared = {name: uniform(each.effect[0] / volts_per_code) for name, each in vcm.shared.items() if "drift" in name}
    findings.add(
        "bl.zero_code",
        estimate("1", zero, np.hypot(sigma_v / np.sqrt(2), vcm.scatter[0]) / volts_per_code, DMM, shared=shared),
    )
    ohm = drop / current
    smu = bench.smu.CURRENT.span_for(1e-4).of_reading
    findings.add(
        "bl.driver_ohm",
        estimate("Ω", ohm, np.hypot(2 * sigma_v, ohm * noise) / np.abs(current), f"{DMM}, {SMU}", shared={
            "dmm volts gain": uniform(ohm * gain), "smu current gain": uniform(-ohm * smu)
        }),
    )  # fmt: skip
    add_design(crossbar, findings)


def mux_resistances(crossbar: Crossbar, bench: Bench, findings: Findings, steps: Steps) -> None:
    """mux.*: on-resistances, four wires, of the muxes that a board at rest has connected. For the record only: what the
    lines lose is the driver's, and the ADCs draw no current."""
    n_bl = crossbar.shape[1]
    zero = findings.estimates["bl.zero_code"].value
    held = [_all_channels(crossbar, np.rint(zero))]

    def at(point: str) -> Array:
        bench.probes.connect("dmm", point)
        reading = bench.dmm.resistance(OHMS_RANGE, nplc=1, samples=4)
        return np.array([reading.value, reading.standard_deviation / 2])

    for name, points in (("mux.bl_ohm", [f"MUX_BL{j}" for j in range(n_bl)]), ("mux.reference_ohm", ["MUX_REF"])):
        with crossbar.held(held, connect=True) as levels:
            next(levels)
            value, deviation = steps.noted(points, "muxes", at).T
        findings.add(
            name,
            estimate("Ω", value, np.sqrt(np.mean(deviation**2)), DMM, shared={
                "dmm ohms gain": uniform(value * OHMS.of_reading),
                "dmm ohms offset": uniform(np.full(len(value), OHMS.offset)),
            }),
        )  # fmt: skip


def _all_channels(crossbar: Crossbar, bl_code: Sequence[float] | Array) -> Codes:
    """Codes of all DAC channels: bit lines as given, rows on."""
    board = crossbar.board
    codes = np.zeros(board.wiring.n_channels, np.uint16)
    codes[np.array(board.wiring.bl_dac)] = np.asarray(bl_code).astype(np.uint16)
    codes[np.array(board.wiring.wl_dac)] = dac.volts_to_code(board.levels.wl_on_v, board.dac.span_v)
    return codes
