"""A run that dies on a board which lives on, and is resumed: nothing confirmed is pulsed again."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.write_verify import program
from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.crossbar import Crossbar
from firmware_bridge.isa import Pulses
from firmware_bridge.journal import Journal, JournalBridge

BOARD = load_board()
TARGET_S = np.full((32, 32), np.nan)
TARGET_S[:4, :4] = np.linspace(25e-6, 95e-6, 16).reshape(4, 4)


class Killed(BaseException):
    """The process dies."""


class LivingBoard:
    """A board that outlives the processes which use it. The `deadly`-th program kills: before it is executed, or
    after."""

    def __init__(self, seed, deadly=None, *, executed=False):
        self.inner = open_bridge("mock", board=BOARD, seed=seed)
        self.deadly, self.executed, self.pulsed = deadly, executed, []

    def run(self, program):
        if self.deadly is not None:
            self.deadly -= 1
            if self.deadly == 0:
                self.deadly = None
                if self.executed:
                    self._execute(program)
                raise Killed
        return self._execute(program)

    def _execute(self, program):
        pulses = [i.words().tobytes() for i in program if isinstance(i, Pulses)]
        self.pulsed += [(i, self.inner.board.array.now_s) for i in pulses]
        return self.inner.run(program)

    def identify(self):
        return self.inner.identify()

    def configure(self, config):
        self.inner.configure(config)

    def safe(self):
        self.inner.safe()

    reset = close = safe


def open_on(living, path):
    begin = Journal.resume if path.exists() else Journal.create
    return Crossbar(JournalBridge(living, begin(path, living.identify()), rebuild=False), BOARD)


def write(crossbar):
    with crossbar:
        return program(crossbar, TARGET_S)


@pytest.mark.parametrize("executed", [False, True], ids=["before the program", "after the program"])
@pytest.mark.parametrize("deadly", [1, 2, 3, 6, 9, 14, 21, 29])
def test_a_killed_run_goes_on_and_pulses_nothing_twice(tmp_path, deadly, executed):
    path = tmp_path / "board.journal"
    living = LivingBoard(3, deadly, executed=executed)
    with pytest.raises(Killed):
        write(open_on(living, path))
    confirmed = len([s for s in Journal.resume(path, living.identify()).steps if s.result is not None])
    result = write(open_on(living, path))
    assert result.converged[:4, :4].all()
    truth = living.inner.board.array.conductance_s(living.inner.board.array.now_s)
    assert np.abs(truth - TARGET_S)[:4, :4].max() < 3.5e-6
    sent = [words for words, _ in living.pulsed]
    assert len(sent) == len(set(sent)), "the same pulses reached the board twice"
    held = Journal.resume(path, living.identify()).steps
    assert confirmed < len(held)
    assert all(step.result is not None for step in held)


def test_a_run_killed_again_and_again_comes_to_an_end(tmp_path):
    path = tmp_path / "board.journal"
    living = LivingBoard(4)
    kills = np.random.default_rng(0).integers(1, 12, 8)
    for deadly in kills:
        living.deadly, living.executed = int(deadly), bool(deadly % 2)
        with pytest.raises(Killed):
            write(open_on(living, path))
    living.deadly = None
    result = write(open_on(living, path))
    assert result.converged[:4, :4].all()
    sent = [words for words, _ in living.pulsed]
    assert len(sent) == len(set(sent))


def test_lines_are_as_before_when_a_run_goes_on(tmp_path):
    path = tmp_path / "board.journal"
    living = LivingBoard(5)
    volts = np.linspace(-0.1, 0.1, 32)
    with open_on(living, path) as crossbar:
        before = crossbar.mvm(volts)
    with open_on(living, path) as crossbar:
        np.testing.assert_array_equal(crossbar.mvm(volts), before)
        cycles = crossbar.cycles
        after = crossbar.mvm(np.tile(volts, (64, 1)))
        taken = crossbar.cycles - cycles
    with Crossbar(LivingBoard(5), BOARD) as fresh:
        fresh.mvm(volts)
        cycles = fresh.cycles
        expected = fresh.mvm(np.tile(volts, (64, 1)))
        assert taken == fresh.cycles - cycles
    # The same board by the same lines: the means agree within the noise of 64 conversions.
    assert np.abs(after.mean(0) - expected.mean(0)).max() < 6 * expected.std(0).max() / np.sqrt(64)
