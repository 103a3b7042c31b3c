"""Write-verify over the mock board: what it reaches, what it finds, what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from calibration.failures import Failure
from calibration.targets import pattern
from calibration.write_verify import Snapshot, WriteVerifyResult, program
from calibration.write_verify_config import WriteVerifyConfig
from drivers.connect import mock_board, open_crossbar
from drivers.crossbar import Crossbar
from firmware_bridge.errors import BoardError, LimitError, ProtocolError
from firmware_bridge.mock.board import MockParams
from firmware_bridge.mock.cell_faults import CellFault

SHAPE = (32, 32)


def truth_s(crossbar: Crossbar) -> np.ndarray:
    """What the cells of the mock really are, S."""
    return mock_board(crossbar).array.conductance_s(crossbar.board_time_s)


def faults(crossbar: Crossbar) -> np.ndarray:
    return mock_board(crossbar).array.faults


def mock(**parts: dict[str, object]) -> MockParams:
    """The default mock with some fields of the array's parts changed."""
    array = MockParams().array
    changed = {name: getattr(array, name).model_copy(update=fields) for name, fields in parts.items()}
    return MockParams().model_copy(update={"array": array.model_copy(update=changed)})


def columns(*chosen: int, seed: int = 0) -> np.ndarray:
    """Random targets on 20–100 µS in some bit lines, all other cells left alone."""
    target = np.full(SHAPE, np.nan)
    target[:, chosen] = np.random.default_rng(seed).uniform(20e-6, 100e-6, (SHAPE[0], len(chosen)))
    return target


@dataclass
class Programmed:
    """A board, what it was before it was programmed, and what programming gave."""

    crossbar: Crossbar
    target_s: np.ndarray
    faults: np.ndarray
    result: WriteVerifyResult
    progress: list[tuple[int, int, int]]
    pulse_count: np.ndarray
    truth_s: np.ndarray


@pytest.fixture(scope="module", params=["random", "AI4S"])
def programmed(request: pytest.FixtureRequest) -> Iterator[Programmed]:
    if request.param == "random":
        target, seed = np.random.default_rng(3).uniform(20e-6, 100e-6, SHAPE), 3
    else:
        target, seed = pattern("AI4S", SHAPE), 1
    with open_crossbar("mock", seed=seed) as crossbar:
        before, seen = faults(crossbar), []
        result = program(crossbar, target, progress=lambda now: seen.append((now.cycle, now.cells_done, now.cells)))
        yield Programmed(crossbar, target, before, result, seen, crossbar.pulse_count, truth_s(crossbar))


def test_99_5_percent_of_the_healthy_cells_are_truly_within_3_5_us(programmed: Programmed) -> None:
    error = (programmed.truth_s - programmed.target_s)[programmed.faults == CellFault.HEALTHY]
    assert (np.abs(error) <= 3.5e-6).mean() >= 0.995


def test_the_true_errors_of_healthy_cells_spread_by_no_more_than_0_54_us(programmed: Programmed) -> None:
    error = (programmed.truth_s - programmed.target_s)[programmed.faults == CellFault.HEALTHY]
    assert error.std() <= 0.54e-6


def test_the_median_cell_takes_no_more_than_10_cycles(programmed: Programmed) -> None:
    assert np.median(programmed.result.cycles[programmed.faults == CellFault.HEALTHY]) <= 10


def test_every_stuck_cell_is_named_and_no_healthy_one(programmed: Programmed) -> None:
    failure = programmed.result.failure
    assert ((programmed.faults == CellFault.STUCK_HIGH) == (failure == Failure.STUCK_HIGH)).all()
    assert ((programmed.faults == CellFault.STUCK_LOW) == (failure == Failure.STUCK_LOW)).all()
    assert (failure[programmed.faults == CellFault.HEALTHY] == Failure.NONE).all()
    named = {(f.sl, f.bl): f.failure for f in programmed.result.failures}
    assert named == {(int(r), int(c)): Failure(failure[r, c]) for r, c in np.argwhere(failure)}
    assert all(str(f) in programmed.result.summary() for f in programmed.result.failures)


def test_a_full_array_takes_less_than_half_a_second_of_board_time_apart_from_the_wait(programmed: Programmed) -> None:
    assert programmed.result.board_time_s < 0.5
    assert programmed.result.wait_s == 10.0
    total_s = programmed.crossbar.board_time_s
    assert programmed.result.read_time_s[0] < programmed.result.read_time_s[-1] < total_s


def test_the_trace_holds_every_pulse_that_the_lines_carried(programmed: Programmed) -> None:
    result = programmed.result
    assert result.reads_s.shape == result.amplitude_v.shape == result.gate_v.shape == result.forming.shape
    assert result.reads_s.shape == (len(result.read_time_s), *SHAPE)
    np.testing.assert_array_equal(np.isfinite(result.amplitude_v).sum(axis=0), programmed.pulse_count)
    np.testing.assert_array_equal(result.pulses, programmed.pulse_count)
    np.testing.assert_array_equal(np.isfinite(result.gate_v), np.isfinite(result.amplitude_v))


def test_progress_counts_cycles_and_ends_with_every_cell_done_or_given_up(programmed: Programmed) -> None:
    assert [cycle for cycle, _, _ in programmed.progress] == list(range(1, len(programmed.result.reads_s) + 1))
    assert {total for _, _, total in programmed.progress} == {1024}
    assert programmed.progress[-1][1] == 1024


def test_programming_a_programmed_array_again_pulses_almost_nothing(programmed: Programmed) -> None:
    again = program(programmed.crossbar, programmed.target_s, config=WriteVerifyConfig(relax_waits_s=()))
    touched = (again.pulses > 0) & (programmed.faults == CellFault.HEALTHY)
    assert touched.sum() <= 0.05 * touched.size
    assert (again.failure[programmed.faults == CellFault.HEALTHY] == Failure.NONE).all()


def test_a_chip_with_3_percent_of_stuck_cells_names_them_and_holds_the_others_for_an_hour() -> None:
    chip = mock(faults={"stuck_high_fraction": 0.01, "stuck_low_fraction": 0.015, "open_fraction": 0.005})
    target = np.random.default_rng(7).uniform(20e-6, 100e-6, SHAPE)
    with open_crossbar("mock", seed=102, mock=chip) as crossbar:
        result = program(crossbar, target)
        bad, healthy = faults(crossbar) > CellFault.UNFORMED, faults(crossbar) == CellFault.HEALTHY
        crossbar.wait(3600.0)
        error = (truth_s(crossbar) - target)[healthy]
    assert bad.sum() > 20
    assert (result.failure[bad] > 0).mean() >= 0.99
    assert (bad[result.failure > 0]).mean() >= 0.99
    assert (np.abs(error) <= 1.5e-6).mean() >= 0.97


@pytest.mark.parametrize(
    "parts",
    [
        {"switching": {"set_slope_s_per_v": 225e-6}},
        {"switching": {"reset_v": 1.7}},
        {"spread": {"set_slope_rel": 0.16, "v_th_v": 0.06, "set_v": 0.06, "reset_v": 0.08}},
        {"cycle": {"set_granularity_s": 1.32e-6, "reset_granularity_s": 2e-6}},
        {"read_noise": {"relative": 0.004}},
    ],
    ids=["steeper SET", "later RESET", "twice the spread", "twice the cycle spread", "twice the read noise"],
)
def test_devices_that_the_starting_values_do_not_fit_are_learned(parts: dict[str, dict[str, object]]) -> None:
    target = columns(3, 17, 30)
    with open_crossbar("mock", seed=8, mock=mock(**parts)) as crossbar:
        result = program(crossbar, target)
        asked = np.isfinite(target) & (faults(crossbar) == CellFault.HEALTHY)
        error = (truth_s(crossbar) - target)[asked]
    assert (result.failure[asked] == Failure.NONE).all()
    assert np.abs(error).max() < 3.5e-6


def test_targets_that_working_cells_do_not_reach_are_called_out_of_reach() -> None:
    target = np.full(SHAPE, np.nan)
    target[:, 4] = 100e-6
    with open_crossbar("mock", seed=1, mock=mock(switching={"set_slope_s_per_v": 60e-6})) as crossbar:
        result = program(crossbar, target)
        healthy = faults(crossbar)[:, 4] == CellFault.HEALTHY
    # 60 µS/V · (2.2 V − 0.7 V) = 90 µS.
    assert (result.failure[healthy, 4] == Failure.OUT_OF_REACH).mean() > 0.8
    assert "SETs at 2.2 V of gate bring it no nearer" in result.failures[0].reason
    # They responded: nothing is formed that need not be.
    assert not result.forming[:, healthy, 4].any()


def test_injected_faults_are_told_apart() -> None:
    injected = mock(
        faults={
            "stuck_high_fraction": 0.0, "stuck_low_fraction": 0.0, "stuck_high_cells": ((3, 0), (30, 1)),
            "stuck_low_cells": ((5, 0), (6, 1)), "open_cells": ((7, 1),), "broken_bl": (2,),
        },
        forming={"unformed_fraction": 0.0},
    )  # fmt: skip
    expected = np.zeros(SHAPE, int)
    expected[3, 0] = expected[30, 1] = Failure.STUCK_HIGH
    expected[5, 0] = expected[6, 1] = Failure.STUCK_LOW
    expected[7, 1] = Failure.UNFORMED
    expected[:, 2] = Failure.UNFORMED
    with open_crossbar("mock", seed=4, mock=injected) as crossbar:
        result = program(crossbar, columns(0, 1, 2), config=WriteVerifyConfig(relax_waits_s=()))
    np.testing.assert_array_equal(result.failure, expected)
    assert len(result.failures) == 5 + 32
    assert not (result.converged & (expected > 0)).any()
    (high,) = (f.reason for f in result.failures if (f.sl, f.bl) == (3, 0))
    assert "RESETs of 2 V" in high
    assert "µS" in high


def test_unformed_cells_are_formed_once_and_then_programmed() -> None:
    target = columns(0, 1)
    with open_crossbar("mock", seed=5, mock=mock(forming={"unformed_fraction": 1.0})) as crossbar:
        unformed = faults(crossbar)[:, :2] == CellFault.UNFORMED
        result = program(crossbar, target, config=WriteVerifyConfig(relax_waits_s=()))
        true = truth_s(crossbar)
    assert unformed.sum() >= 60
    formings = result.forming.sum(axis=0)
    assert (formings[:, :2][unformed] >= 1).all()
    assert formings.max() <= len(WriteVerifyConfig().form_v)
    assert (formings[:, 2:] == 0).all()
    assert result.converged[:, :2][unformed].all()
    assert np.abs(true - target)[:, :2][unformed].max() < 3.5e-6
    # What a forming pulse was is in the trace: above any SET.
    assert result.amplitude_v[result.forming].min() > WriteVerifyConfig().set_v


def test_an_unformed_cell_that_forming_does_not_reach_is_named() -> None:
    stubborn = mock(
        forming={"unformed_fraction": 1.0, "form_v": 6.0},
        faults={"stuck_low_fraction": 0.0, "stuck_high_fraction": 0.0},
    )
    with open_crossbar("mock", seed=5, mock=stubborn) as crossbar:
        result = program(crossbar, columns(0), config=WriteVerifyConfig(relax_waits_s=()))
    assert (result.failure[:, 0] == Failure.UNFORMED).all()
    assert "5 forming pulses to 3.95 V" in result.failures[0].reason


def test_cells_that_flicker_beyond_the_tolerance_are_called_noisy() -> None:
    flicker = mock(
        telegraph={"fraction": 0.15, "amplitude_rel": (0.5, 0.5), "rate_per_s": (100.0, 100.0)},
        faults={"stuck_low_fraction": 0.0, "stuck_high_fraction": 0.0}, forming={"unformed_fraction": 0.0},
    )  # fmt: skip
    with open_crossbar("mock", seed=8, mock=flicker) as crossbar:
        result = program(crossbar, columns(0, 1), config=WriteVerifyConfig(relax_waits_s=(), max_cycles=40))
    failed = result.failure[result.failure > 0]
    # 64 · 0.15 = 9.6 cells flicker; one may be caught where it fits.
    assert 5 <= len(failed) <= 16
    assert (failed == Failure.NOISY).all()
    assert "reads without a pulse between them scatter by" in result.failures[0].reason


def test_cells_without_a_target_or_masked_out_are_never_pulsed() -> None:
    target = columns(0, 1)
    target[:10, 0] = np.nan
    mask = np.ones(SHAPE, bool)
    mask[:, 1] = False
    with open_crossbar("mock", seed=7) as crossbar:
        before = truth_s(crossbar)
        result = program(crossbar, target, mask=mask, config=WriteVerifyConfig(relax_waits_s=()))
        alone = np.isnan(target) | ~mask
        assert alone.sum() == 1024 - 22
        assert (crossbar.pulse_count[alone] == 0).all()
        np.testing.assert_allclose(truth_s(crossbar)[alone], before[alone], rtol=1e-6)
    assert not result.converged[alone].any()
    assert (result.failure[alone] == Failure.NONE).all()
    assert (result.cycles[alone] == 0).all()
    assert np.isnan(result.g_target_s[alone]).all()


def test_nothing_to_program_pulses_nothing() -> None:
    with open_crossbar("mock", seed=7) as crossbar:
        result = program(crossbar, np.full(SHAPE, np.nan), config=WriteVerifyConfig(relax_waits_s=()))
        assert not crossbar.pulse_count.any()
    assert not result.converged.any()
    assert result.summary().startswith("0 of 0 cells programmed")


def test_the_same_seed_programs_bit_for_bit_the_same() -> None:
    results = []
    for _ in range(2):
        with open_crossbar("mock", seed=8) as crossbar:
            results.append(program(crossbar, columns(0, 1, 2)))
    for name in ("g_read_s", "cycles", "pulses", "failure", "reads_s", "amplitude_v", "gate_v", "read_time_s"):
        np.testing.assert_array_equal(getattr(results[0], name), getattr(results[1], name))


@pytest.mark.parametrize(("confirm_reads", "fooled"), [(1, True), (2, False)])
def test_one_fluctuating_read_ends_no_cell_when_reads_are_confirmed(
    confirm_reads: int, fooled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = columns(0, 1)
    config = WriteVerifyConfig(relax_waits_s=(), confirm_reads=confirm_reads)
    with open_crossbar(
        "mock", seed=9, mock=mock(faults={"stuck_low_fraction": 0.0, "stuck_high_fraction": 0.0})
    ) as crossbar:
        read, lies = crossbar.read_conductance, [np.where(np.isnan(target), 0.0, target)]
        monkeypatch.setattr(
            crossbar, "read_conductance", lambda *, repeats=1, cells: lies.pop() if lies else read(repeats=repeats)
        )
        result = program(crossbar, target, config=config)
    if fooled:
        assert not result.pulses.any()
        assert not result.converged.any()
    else:
        assert (result.pulses[:, :2] > 0).all()
        assert result.converged[:, :2].all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda t: t[:31], ProtocolError, r"target_s has shape \(31, 32\)"),
        (lambda t: np.where(np.arange(32) == 4, 14e-6, t), LimitError, r"target of cell \(SL 0, BL 4\) = 14 µS"),
        (lambda t: np.where(np.arange(32) == 4, 106e-6, t), LimitError, r"outside 15 µS … 105 µS"),
        (lambda t: np.where(np.arange(32) == 4, np.inf, t), LimitError, r"SL 0, BL 4\) = inf"),
        (lambda t: t * 1e6, LimitError, r"nothing was pulsed"),
    ],
)
def test_bad_targets_are_refused_before_any_pulse(change: object, error: type[BoardError], message: str) -> None:
    with open_crossbar("mock", seed=0) as crossbar:
        cycles = crossbar.cycles
        with pytest.raises(error, match=message):
            program(crossbar, change(np.full(SHAPE, 50e-6)))  # type: ignore[operator]
        assert not crossbar.pulse_count.any()
        assert crossbar.cycles == cycles


def test_targets_at_both_ends_of_the_range_are_accepted() -> None:
    target = np.full(SHAPE, np.nan)
    target[10:22, 0], target[10:22, 1] = 15e-6, 105e-6
    with open_crossbar("mock", seed=3) as crossbar:
        healthy = faults(crossbar)[10:22, :2] == CellFault.HEALTHY
        result = program(crossbar, target, config=WriteVerifyConfig(relax_waits_s=()))
    assert result.converged[10:22, :2][healthy].all()


@pytest.mark.parametrize("mask", [np.ones((2, 2), bool), np.ones(SHAPE)])
def test_a_mask_of_another_shape_or_type_is_refused(mask: np.ndarray) -> None:
    with open_crossbar("mock", seed=0) as crossbar, pytest.raises(ProtocolError, match="mask has shape"):
        program(crossbar, np.full(SHAPE, 50e-6), mask=mask)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("set_v", 2.1), ("set_gate_v", (0.5, 2.4)), ("set_width_s", 0.5e-6), ("reset_v", (0.5, 2.3)),
        ("reset_gate_v", 2.6),
        ("form_v", (2.8, 4.1)), ("form_gate_v", 1.7), ("form_width_s", 0.1), ("tolerance_s", 0.0), ("reopen_s", 0.1e-6),
        ("accept_s", 0.3e-6), ("confirm_reads", 0), ("trim_share", 1.5), ("relax_waits_s", (-1.0,)),
        ("tolerance_s", np.nan),
        ("range_s", (0.0, 1e-4)), ("caution", -1.0),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_or_that_the_board_refuses_are_named(field: str, value: object) -> None:
    config = replace(WriteVerifyConfig(), **{field: value})
    with open_crossbar("mock", seed=0) as crossbar:
        with pytest.raises(LimitError, match=rf"WriteVerifyConfig\.({field}|tolerance_s|reopen_s) = "):
            program(crossbar, np.full(SHAPE, 50e-6), config=config)
        assert not crossbar.pulse_count.any()


def test_an_interrupt_leaves_the_outputs_safe_and_the_board_usable() -> None:
    def interrupt(now: Snapshot) -> None:
        if now.cycle == 3:
            raise KeyboardInterrupt

    with open_crossbar("mock", seed=10) as crossbar:
        with pytest.raises(KeyboardInterrupt):
            program(crossbar, columns(0), progress=interrupt)
        board = mock_board(crossbar)
        assert not board.gate
        assert board.chain.oe_n
        assert program(crossbar, columns(0), config=WriteVerifyConfig(relax_waits_s=())).converged[:, 0].mean() > 0.9
