"""Sequences of anything, with failures at any instant: no limit is passed, and outputs are safe at once."""

from __future__ import annotations

import command_sequences
import pytest
from command_sequences import CommandSequence, Violation
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from drivers.interlock import Interlock
from drivers.pulse_limits import PulseVolts

SETTINGS = settings(
    max_examples=150, stateful_step_count=12, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck), print_blob=False,
)  # fmt: skip


def test_no_sequence_passes_a_limit_and_every_failure_leaves_the_outputs_safe() -> None:
    run_state_machine_as_test(CommandSequence, settings=SETTINGS)


@pytest.mark.parametrize(("holder", "check"), [(PulseVolts, "_check_kind"), (Interlock, "_check_read")])
def test_without_one_of_the_interlock_s_checks_the_witness_sees_it(mocker, holder: type, check: str) -> None:
    mocker.patch.object(holder, check)
    mocker.patch("firmware_bridge.mock.bridge.LimitCheck.single")
    mocker.patch("firmware_bridge.mock.bridge.LimitCheck.allows", return_value=True)
    with pytest.raises(Violation):
        run_state_machine_as_test(
            CommandSequence,
            settings=settings(SETTINGS, max_examples=200, phases=[Phase.generate], report_multiple_bugs=False),
        )


def test_a_failure_that_left_outputs_on_would_be_seen(mocker) -> None:
    sequence = CommandSequence()
    sequence.open(seed=0)
    mocker.patch.object(command_sequences.FailingBridge, "safe")
    sequence.something_fails_next(KeyboardInterrupt, after=0)
    with pytest.raises(AssertionError, match="a failure left the outputs on"):
        sequence.multiply(0.5, 0.0)
