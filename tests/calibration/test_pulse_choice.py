"""Ramps of pulses, on cells that do exactly what a test says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from calibration.pulse_choice import ALGORITHMS, PulseChoice
from calibration.write_verify_config import WriteVerifyConfig

CONFIG = WriteVerifyConfig(set_gate_v=(0.5, 2.0), reset_v=(0.6, 2.0), set_step_v=0.1, reset_step_v=0.2)
ONE = np.ones((1, 1), bool)
TARGET, BELOW, ABOVE = 50e-6, 40e-6, 60e-6


def pulses(algorithm: str, reads: list[float]) -> list[float]:
    """Control voltages of the pulses that follow on reads of a cell: of the gate, or the amplitude, then negative."""
    choice: PulseChoice = ALGORITHMS[algorithm](replace(CONFIG, algorithm=algorithm), (1, 1))
    given = []
    error, target = np.full((1, 1), 1e-8), np.full((1, 1), TARGET)
    for g, following in zip(reads, [*reads[1:], TARGET], strict=True):
        step = choice.choose(ONE, np.full((1, 1), g), error, target)
        amplitude = float(step.amplitude_v[0, 0])
        given.append(float(step.gate_v[0, 0]) if amplitude > 0 else amplitude)
        choice.learn(step, np.full((1, 1), following), error, target)
    return given


def test_incremental_steps_begin_anew_whenever_the_direction_changes() -> None:
    reads = [BELOW, BELOW, BELOW, ABOVE, ABOVE, BELOW, BELOW]
    assert pulses("ispp", reads) == pytest.approx([0.5, 0.6, 0.7, -0.6, -0.8, 0.5, 0.6])


def test_a_window_goes_on_one_step_back_with_half_the_step() -> None:
    # The SET at 0.7 V went too far, the RESET at 0.8 V as well: then 0.6 V in steps of 0.05 V, and 0.6 V by 0.1 V.
    reads = [BELOW, BELOW, BELOW, ABOVE, ABOVE, BELOW, BELOW, ABOVE, ABOVE]
    assert pulses("window", reads) == pytest.approx([0.5, 0.6, 0.7, -0.6, -0.8, 0.6, 0.65, -0.6, -0.7])


def test_steps_are_not_halved_without_end() -> None:
    reads = [BELOW, ABOVE] * 12
    gates = [v for v in pulses("window", [BELOW] * 8 + reads) if v > 0]
    # One pulse per turn: each begins two of the old steps below where the ramp would have gone on.
    steps = np.diff(gates[7:])
    assert steps[-1] == pytest.approx(-CONFIG.set_step_v / 16)


def test_ramps_stay_in_their_range() -> None:
    assert max(pulses("ispp", [BELOW] * 30)) == 2.0
    assert min(pulses("ispp", [ABOVE] * 30)) == -2.0
