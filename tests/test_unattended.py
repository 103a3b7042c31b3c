"""An hour of sampling that nobody attends, with faults and lost hosts: all is kept, and the checks see what is not."""

from __future__ import annotations

import pytest
import unattended_day
from unattended_day import BATCHES, HOUR_S, PINS, PROPOSALS, Interrupted, Unattended, identities

from drivers.ledger import Ledger
from firmware_bridge.journal import Journal


def test_an_hour_with_faults_loses_nothing_passes_no_limit_and_biases_nothing(tmp_path) -> None:
    board = Unattended(tmp_path, seed=59, faults_per_hour=6.0)
    board.hour(0)
    assert board.board_time_s >= HOUR_S
    assert board.happened["hosts lost"] >= 2
    assert set(board.struck) & set(PINS)
    assert len(board.proposals(0, 1).phi) == BATCHES * PROPOSALS - board.happened["dropped"]
    assert len(board.proposals(0, 1).phi) >= PROPOSALS
    assert board.witness.seen is None
    assert board.witness.pulses.sum() > 0
    assert board.uncounted_pulses() == 0
    assert all(abs(e.pull) < 4 for e in identities(board.proposals(0, 1)).values())
    assert not list(tmp_path.glob("*.journal"))


@pytest.fixture
def short(tmp_path, monkeypatch) -> Unattended:
    """Two batches; the host is lost in the second."""
    monkeypatch.setattr(unattended_day, "BATCHES", 2)
    board = Unattended(tmp_path, seed=0, faults_per_hour=0.0)

    def strike(k: int, i: int) -> None:
        if i == 1 and not board.struck:
            board.struck.append("interrupt")
            board.bridge.planned.append((0, 0, Interrupted(), False))

    monkeypatch.setattr(board, "_strike", strike)
    return board


def test_a_host_that_began_anew_instead_of_from_the_journal_would_be_seen(short, mocker) -> None:
    def anew(path, identity):
        path.unlink()
        return Journal.create(path, identity)

    mocker.patch.object(Journal, "resume", anew)
    with pytest.raises(AssertionError, match="hour 0, batch 0 came out differently"):
        short.hour(0)


def test_pulses_that_the_ledger_did_not_get_would_be_seen(short, mocker) -> None:
    mocker.patch.object(Ledger, "record")
    short.hour(0)
    assert short.happened["hosts lost"] == 1
    assert short.uncounted_pulses() > 0


def test_outputs_that_stayed_on_would_be_seen(short, mocker) -> None:
    mocker.patch.object(unattended_day.UnattendedBridge, "safe")
    with pytest.raises(AssertionError, match="a failure left the outputs on"):
        short.hour(0)
