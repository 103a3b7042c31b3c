"""The pieces of write-verify: response lines, evidence of reads, patterns."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.evidence import MEMORY_READS, Evidence
from calibration.lines import LinePrior, ResponseLine
from calibration.targets import PATTERNS, pattern
from firmware_bridge.errors import ProtocolError

PRIOR = LinePrior(onset_u=0.7, onset_y=0.0, slope=150e-6, chip_rel=0.3, cell_rel=0.1, stride=5e-6)
SHAPE = (4, 4)
ALL = np.ones(SHAPE, bool)
SURE = 100.0  # standard deviations: certainly moved


def full(value: float) -> np.ndarray:
    return np.full(SHAPE, value)


def test_a_new_line_gives_the_voltage_of_its_prior() -> None:
    np.testing.assert_allclose(ResponseLine(PRIOR, SHAPE).voltage(full(60e-6)), 0.7 + 60 / 150, rtol=1e-12)


def test_after_a_pulse_the_next_voltage_starts_from_what_it_did() -> None:
    line = ResponseLine(PRIOR, SHAPE)
    line.update(ALL, full(1.0), full(40e-6), full(1e-12), full(SURE))
    np.testing.assert_allclose(line.voltage(full(55e-6)), 1.0 + 15 / 150, rtol=1e-12)


def test_many_exact_pulses_teach_the_slope_of_the_chip_and_of_each_cell() -> None:
    line = ResponseLine(PRIOR, SHAPE)
    slope = np.linspace(180e-6, 220e-6, 16).reshape(SHAPE)
    for u in (0.8, 0.9, 1.0, 1.1):
        line.update(ALL, full(u), slope * (u - 0.65), full(1e-16), full(SURE))
    np.testing.assert_allclose(line.slope, slope, rtol=1e-3)
    np.testing.assert_allclose(line.voltage(full(90e-6)), 0.65 + 90e-6 / slope, rtol=1e-3)


def test_noisy_pulses_leave_the_slope_where_it_was() -> None:
    line = ResponseLine(PRIOR, SHAPE)
    for u, y in ((0.8, 10e-6), (0.81, 30e-6)):
        line.update(ALL, full(u), full(y), full(1e-8), full(SURE))
    # Weight of the prior 1/(0.3 · 150 µS/V)², of the 16 cells 16 · (0.01 V)²/variance: 2000 µS/V counts for 0.03 %.
    expected = 150e-6 + (2000e-6 - 150e-6) * (w := 16 * 1e-4 / 1e-8) / (w + 1 / 45e-6**2)
    np.testing.assert_allclose(line.slope, expected, rtol=1e-4)


def test_steps_grow_with_every_pulse_that_does_nothing_up_to_the_stride() -> None:
    line = ResponseLine(PRIOR, SHAPE)
    line.update(ALL, full(1.0), full(50e-6), full(1e-12), full(SURE))
    steps, u = [], 1.0
    for _ in range(8):
        nxt = float(line.voltage(full(51e-6))[0, 0])
        steps.append(nxt - u)
        u = nxt
        line.update(ALL, full(u), full(50e-6), full(1e-12), full(0.0))
    np.testing.assert_allclose(steps[:3], np.array([1, 1.7, 1.7**2]) / 150, rtol=1e-9)
    np.testing.assert_allclose(steps[-1], 5 / 150, rtol=1e-9)


def test_cells_not_tried_yet_start_where_the_others_responded() -> None:
    line = ResponseLine(PRIOR, SHAPE)
    tried = np.zeros(SHAPE, bool)
    tried[:, :2] = True
    # They respond as if the onset were at 0.9 V.
    line.update(tried, full(1.1), full(30e-6), full(1e-12), full(SURE))
    np.testing.assert_allclose(line.voltage(full(60e-6))[:, 2:], 0.9 + 60 / 150, rtol=1e-9)


def test_the_mean_starts_anew_after_a_pulse_and_only_there() -> None:
    evidence, pulsed = Evidence(SHAPE), np.zeros(SHAPE, bool)
    pulsed[0, 0] = True
    evidence.add(full(10e-6))
    evidence.add(full(20e-6))
    evidence.forget(pulsed)
    evidence.add(full(30e-6))
    assert evidence.mean_s[0, 0] == pytest.approx(30e-6)
    assert evidence.count[0, 0] == 1
    assert evidence.mean_s[1, 1] == pytest.approx(20e-6)
    assert evidence.count[1, 1] == 3


def test_the_mean_reaches_back_a_bounded_number_of_reads() -> None:
    evidence = Evidence(SHAPE)
    for _ in range(100):
        evidence.add(full(10e-6))
    assert (evidence.count == MEMORY_READS).all()


def test_read_noise_and_scatter_are_those_of_the_reads() -> None:
    rng, shape = np.random.default_rng(0), (64, 64)
    evidence, sigma = Evidence(shape), np.full(shape, 0.1e-6)
    sigma[0] = 2e-6
    for _ in range(20):
        evidence.add(50e-6 + sigma * rng.standard_normal(shape))
    # The median of 4096 χ² values has a relative standard error of about 2.4 %, half of that after the root; 5 σ.
    assert evidence.noise_s == pytest.approx(0.1e-6, rel=0.08)
    # rms of 19 values: 1/√38 = 16 % each, 2 % for the mean of 64 (the reads before memory is full are correlated; 5 σ).
    assert evidence.scatter_s()[0].mean() == pytest.approx(2e-6, rel=0.1)
    assert evidence.error_s() == pytest.approx(np.full(shape, evidence.noise_s / np.sqrt(MEMORY_READS)))


def test_the_built_in_pattern_has_several_levels_between_20_and_100_us() -> None:
    target = pattern("AI4S", (32, 32))
    assert PATTERNS == ("AI4S",)
    np.testing.assert_allclose(np.unique(target), np.array([20, 35, 55, 70, 85, 100]) * 1e-6)
    # The stroke of the I, upper right, is straight and four cells wide.
    np.testing.assert_allclose(target[6, 16:], np.repeat([35e-6, 85e-6, 35e-6], [6, 4, 6]))


def test_an_unknown_pattern_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(ProtocolError, match="'XYZ' is unknown; there are: AI4S"):
        pattern("XYZ", (32, 32))
