"""The ledger: what an array was given is counted over all sessions, each pulse once, whatever interrupts them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calibration.write_verify import program
from drivers import ledger as ledger_module
from drivers.board import Board, load_board
from drivers.bridges import open_bridge
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from drivers.doses import Doses
from drivers.ledger import History, Ledger, LedgerError, board_name, ledger_folder
from firmware_bridge import records
from firmware_bridge.bridge import Identity
from firmware_bridge.errors import LimitError
from firmware_bridge.exclusive import BoardInUse
from firmware_bridge.journal import Journal, JournalBridge
from firmware_bridge.mock.array_params import ArrayParams
from firmware_bridge.mock.board import MockParams
from firmware_bridge.mock.bridge import MockBridge

IDENTITY = Identity("zc706", "7", 1, 2, 8, 8, 64, 24576, 24576, 8)
SHAPE = (3, 4)


def limited(**limits):
    data = load_board().model_dump()
    data["limits"] |= limits
    return Board.model_validate(data)


def one_cell(sl=7, bl=5, amplitude_v=1.5):
    amplitude = np.full((32, 32), np.nan)
    amplitude[sl, bl] = amplitude_v
    return amplitude


def given(cell, pulses=1, dose_v2s=1e-6, exposure_s=0.0):
    doses = Doses.none(SHAPE)
    doses.pulses[cell], doses.dose_v2s[cell], doses.exposure_s[cell[1]] = pulses, dose_v2s, exposure_s
    return doses


# -- over sessions ---------------------------------------------------------------------------------------------------


def test_pulses_of_earlier_sessions_count_towards_the_limit(tmp_path):
    board = limited(pulses_per_cell=3)
    for sessions in (1, 2, 3):
        with open_crossbar("mock", board=board, ledger=tmp_path) as crossbar:
            crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
            assert crossbar.doses.pulses[7, 5] == sessions
            assert crossbar.pulse_count[7, 5] == 1
    with open_crossbar("mock", board=board, ledger=tmp_path) as crossbar:
        with pytest.raises(
            LimitError, match=r"pulses on cell \(SL 7, BL 5\) = 4 is above the maximum of 3 .*xbar ledger"
        ):
            crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
        crossbar.apply_pulses(one_cell(8), 1.2, 1e-6)


def test_the_dose_is_the_square_of_the_voltage_times_the_width(tmp_path):
    pulses = ((1.5, 1.2, 1e-6), (1.25, 1.0, 3e-6), (-1.75, 2.4, 10e-6))
    for amplitude_v, gate_v, width_s in pulses:
        with open_crossbar("mock", ledger=tmp_path) as crossbar:
            crossbar.apply_pulses(one_cell(amplitude_v=amplitude_v), gate_v, width_s)
    lsb_v = load_board().dac.span_v / 65536
    expected = sum(v**2 * w for v, _, w in pulses)
    bound = sum(2 * abs(v) * lsb_v * w for v, _, w in pulses)  # what rounding to codes may change
    total = History.read(tmp_path / "mock-0.ledger").total()
    assert total.dose_v2s[7, 5] == pytest.approx(expected, abs=bound)
    assert np.count_nonzero(total.dose_v2s) == 1


def test_a_dose_beyond_its_limit_is_refused_before_anything_is_sent(tmp_path):
    dose = 1.5**2 * 1e-6
    board = limited(dose_per_cell_v2s=2.5 * dose)
    with open_crossbar("mock", board=board, ledger=tmp_path) as crossbar:
        crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
        crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
        cycles = crossbar.cycles
        with pytest.raises(LimitError, match=r"dose of cell \(SL 7, BL 5\) = 6.75\d* µV²·s is above the maximum"):
            crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
        assert crossbar.doses.pulses[7, 5] == 2
        assert crossbar.cycles == cycles


def test_forming_has_a_budget_for_life_and_write_verify_keeps_to_it(tmp_path):
    board = limited(forming_per_cell=7)
    virgin = MockParams(array=ArrayParams.model_validate({"forming": {"unformed_fraction": 1.0, "form_v": 9.0}}))
    target = np.full((32, 32), np.nan)
    target[7, 5] = 50e-6
    reasons = []
    for _ in range(3):
        with open_crossbar("mock", board=board, mock=virgin, ledger=tmp_path) as crossbar:
            reasons.append(program(crossbar, target).failures[0].reason)
            left = crossbar.forming_left[7, 5]
    assert left == 0
    assert "5 forming pulses to 3.95 V did not form it" in reasons[0]
    assert "2 forming pulses, all that limits.forming_per_cell leaves it, did not form it" in reasons[1]
    assert "0 forming pulses, all that" in reasons[2]
    text = r"forming pulses on cell \(SL 7, BL 5\) = 8 is above the maximum of 7"
    with (
        open_crossbar("mock", board=board, mock=virgin, ledger=tmp_path) as crossbar,
        pytest.raises(LimitError, match=text),
    ):
        crossbar.apply_pulses(one_cell(amplitude_v=3.0), 1.0, 1e-5, forming=True)


def test_time_under_a_disturbing_read_is_kept(tmp_path):
    board = limited(read_disturb_v=0.05)
    volts = np.zeros((16, 32))
    volts[:, 9] = 0.09
    seen = []
    for _ in range(2):
        with open_crossbar("mock", board=board, ledger=tmp_path) as crossbar:
            crossbar.mvm(volts)
            seen.append(crossbar.doses.exposure_s[9])
    assert seen[0] > 0
    assert seen[1] == pytest.approx(2 * seen[0])
    assert History.read(tmp_path / "mock-0.ledger").total().exposure_s[9] == seen[1]


# -- killed, resumed ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [2, 5, 8, 11])
@pytest.mark.parametrize("executed", [False, True])
def test_a_run_that_is_killed_and_resumed_counts_each_pulse_once(tmp_path, mocker, at, executed):
    board, target = load_board(), np.full((32, 32), np.nan)
    target[:2, :2] = 50e-6
    living, pulsed = open_bridge("mock", board=board, seed=3), np.zeros((32, 32), np.int64)
    original, programs = MockBridge.run, 0

    def run(self, program):
        nonlocal programs
        programs += 1
        if programs == at and not executed:
            raise Killed
        result = original(self, program)
        if programs == at:
            raise Killed
        return result

    mocker.patch.object(MockBridge, "run", run)

    def go():
        path = tmp_path / "board.journal"
        journal = (Journal.resume if path.exists() else Journal.create)(path, living.identify())
        kept = Ledger.open(tmp_path, "b", board.shape, run=journal.run_id, journal=path)
        try:
            crossbar = Crossbar(JournalBridge(living, journal, rebuild=False), board, ledger=kept)
            result = program(crossbar, target)
        finally:
            kept.close()
        return result, crossbar

    with pytest.raises(Killed):
        go()
    result, crossbar = go()
    pulsed = History.read(tmp_path / "b.ledger").total().pulses
    assert np.array_equal(pulsed, crossbar.pulse_count)
    assert np.array_equal(pulsed[:2, :2], result.pulses[:2, :2])


def test_a_kill_between_the_ledger_and_the_board_leaves_the_pulse_counted(tmp_path):
    script = (
        "import os, sys, numpy as np\n"
        "from drivers.connect import open_crossbar\n"
        "from firmware_bridge.mock.board import MockBoard\n"
        "MockBoard.pulse = lambda *_: os._exit(9)\n"
        "open_crossbar('mock', ledger=__import__('pathlib').Path(sys.argv[1])).apply_pulses(1.5, 1.2, 1e-6)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False).returncode == 9
    assert (History.read(tmp_path / "mock-0.ledger").total().pulses == 1).all()
    with open_crossbar("mock", ledger=tmp_path) as crossbar:  # the lock of a dead process is no obstacle
        assert (crossbar.doses.pulses == 1).all()


def test_a_ledger_cut_anywhere_holds_a_beginning_and_goes_on(tmp_path):
    kept = Ledger.open(tmp_path, "b", SHAPE)
    for number in (1, 2, 3):
        kept.record(number, given((0, number), pulses=number))
    kept.close()
    path = tmp_path / "b.ledger"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        again = Ledger.open(tmp_path, "b", SHAPE)
        counts = again.others.pulses[0, 1:4].tolist()
        assert counts in ([0, 0, 0], [1, 0, 0], [1, 2, 0])
        again.record(1, given((2, 0)))
        again.close()
        assert History.read(path).total().pulses.sum() == sum(counts) + 1


def test_damage_before_the_end_is_refused_with_what_to_do(tmp_path):
    kept = Ledger.open(tmp_path, "b", SHAPE)
    kept.record(1, given((0, 1)))
    kept.record(2, given((0, 2)))
    kept.close()
    path = tmp_path / "b.ledger"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"damaged at byte \d+ .* put the file back from a backup, or move it away"):
        Ledger.open(tmp_path, "b", SHAPE)


# -- the file ----------------------------------------------------------------------------------------------------------


def test_a_packed_ledger_holds_the_same_and_runs_that_may_be_resumed_stay_apart(tmp_path, monkeypatch):
    alive, gone = tmp_path / "alive.journal", tmp_path / "gone.journal"
    alive.touch()
    for run, journal in ((b"a" * 16, alive), (b"g" * 16, gone), (None, None)):
        kept = Ledger.open(tmp_path, "b", SHAPE, run=run, journal=journal)
        for number in range(1, 41):
            kept.record(number, given((1, number % 4), dose_v2s=0.25, exposure_s=0.5))
        kept.close()
    path = tmp_path / "b.ledger"
    before, size = History.read(path), path.stat().st_size
    monkeypatch.setattr(ledger_module, "PACK_BYTES", 100)
    kept = Ledger.open(tmp_path, "b", SHAPE, run=b"a" * 16, journal=alive)
    kept.record(40, given((0, 0)))  # it is there already
    kept.record(41, given((0, 0)))
    kept.close()
    after = History.read(path)
    assert path.stat().st_size < size / 3
    assert after.since_s == before.since_s
    for a, b in zip((before.total() + given((0, 0))).arrays(), after.total().arrays(), strict=True):
        assert np.array_equal(a, b)
    assert after.total(without=b"a" * 16).pulses.sum() == 80


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), None], ids=["refused", "short"])
def test_what_cannot_be_written_down_is_not_sent(tmp_path, mocker, failure):
    with open_crossbar("mock", ledger=tmp_path) as crossbar:
        crossbar.read_conductance()
        cycles = crossbar.cycles
        mocker.patch("os.write", side_effect=failure, return_value=3)
        with pytest.raises(LedgerError, match="make room or choose another folder by XBAR_LEDGER"):
            crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
        mocker.stopall()
        # And not later either, since the file may have a gap.
        with pytest.raises(LedgerError, match="then open the board anew"):
            crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
        crossbar.read_conductance()
        assert crossbar.doses.pulses.sum() == 0
        assert crossbar.cycles > cycles
    with open_crossbar("mock", ledger=tmp_path) as crossbar:
        assert crossbar.doses.pulses.sum() == 0


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"ledger folder .*: Not a directory; give another by XBAR_LEDGER"):
        open_crossbar("mock", ledger=tmp_path / "file" / "ledgers")


def test_an_array_of_another_shape_is_refused(tmp_path):
    Ledger.open(tmp_path, "b", SHAPE).close()
    with pytest.raises(LedgerError, match="is of an array of 3 × 4 cells, the board file has 4 × 3; name the array by"):
        Ledger.open(tmp_path, "b", (4, 3))


def test_one_process_at_a_time_writes_a_ledger(tmp_path):
    kept = Ledger.open(tmp_path, "b", SHAPE)
    with pytest.raises(BoardInUse, match=rf"the ledger of board b is in use by process {os.getpid()} since 20\d\d-"):
        Ledger.open(tmp_path, "b", SHAPE)
    kept.close()
    Ledger.open(tmp_path, "b", SHAPE).close()


# -- where it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "named", "folder"),
    [
        ("mock", None, None),
        ("rtl", "", None),
        ("mock", "/l", "/l"),
        ("zc706", None, "/s/xbar/ledger"),
        ("zc706", "/l", "/l"),
    ],
)
def test_real_boards_have_a_ledger_and_models_where_one_is_asked_for(monkeypatch, kind, named, folder):
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    monkeypatch.delenv("XBAR_LEDGER", raising=False)
    if named is not None:
        monkeypatch.setenv("XBAR_LEDGER", named)
    identity = Identity(kind, "7", 1, 2, 8, 8, 64, 24576, 24576, 8)
    assert ledger_folder(identity) == (None if folder is None else Path(folder))


def test_a_mock_board_writes_nothing_unasked(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XBAR_LEDGER", raising=False)
    with open_crossbar("mock") as crossbar:
        crossbar.apply_pulses(one_cell(), 1.2, 1e-6)
    assert list(tmp_path.iterdir()) == []


def test_the_array_is_told_apart_by_board_and_chip():
    board = load_board()
    assert board_name(IDENTITY, board) == "zc706-7"
    assert board_name(IDENTITY, board.model_copy(update={"chip": "wafer 3/B"})) == "zc706-7-wafer_3_B"


# -- files -----------------------------------------------------------------------------------------------------------


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_a_ledger_that_is_closed_leaves_no_file_open(tmp_path):
    before = open_files()
    for _ in range(3):
        kept = Ledger.open(tmp_path, "b", SHAPE)
        kept.record(1, given((1, 2)))
        kept.close()
        assert open_files() == before


def test_a_ledger_that_cannot_be_opened_leaves_no_file_open_and_no_lock(tmp_path):
    Ledger.open(tmp_path, "b", SHAPE).close()
    before = open_files()
    with pytest.raises(LedgerError):
        Ledger.open(tmp_path, "b", (9, 9))
    assert open_files() == before
    Ledger.open(tmp_path, "b", SHAPE).close()


def test_a_session_is_on_the_disk_before_the_board_gets_anything(tmp_path, mocker):
    path = tmp_path / "b.ledger"
    synced = [0]
    fdatasync = os.fdatasync

    def spy(file):
        fdatasync(file)
        synced.append(path.stat().st_size)

    mocker.patch("os.fdatasync", spy)
    for _ in range(2):
        kept = Ledger.open(tmp_path, "b", SHAPE)
        assert synced[-1] == path.stat().st_size
        kept.record(1, given((1, 2)))
        assert synced[-1] == path.stat().st_size
        kept.close()


def test_a_ledger_whose_shape_was_not_written_any_more_is_begun_again(tmp_path):
    path = tmp_path / "b.ledger"
    Ledger.open(tmp_path, "b", SHAPE).close()
    path.write_bytes(path.read_bytes()[: len(ledger_module.FORMAT.magic)])
    kept = Ledger.open(tmp_path, "b", SHAPE)
    kept.record(1, given((1, 2)))
    kept.close()
    assert History.read(path).shape == SHAPE
    assert History.read(path).total().pulses[1, 2] == 1


def test_packing_that_fails_leaves_the_ledger_as_it_was(tmp_path, mocker, monkeypatch):
    kept = Ledger.open(tmp_path, "b", SHAPE)
    kept.record(1, given((1, 2)))
    kept.close()
    path = tmp_path / "b.ledger"
    before = path.read_bytes()
    monkeypatch.setattr(ledger_module, "PACK_BYTES", 1)
    mocker.patch("os.replace", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(LedgerError, match=r"b\.ledger: No space left on device"):
        Ledger.open(tmp_path, "b", SHAPE)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))


def test_packing_puts_the_content_on_the_disk_before_the_name_and_the_name_before_it_goes_on(
    tmp_path, mocker, monkeypatch
):
    kept = Ledger.open(tmp_path, "b", SHAPE)
    kept.record(1, given((1, 2)))
    kept.close()
    path, seen = tmp_path / "b.ledger", []
    monkeypatch.setattr(ledger_module, "PACK_BYTES", 1)
    fsync, replace = os.fsync, os.replace

    def spy_fsync(file):
        fsync(file)
        what = Path(os.readlink(f"/proc/self/fd/{file}"))
        seen.append((what.name, os.fstat(file).st_size) if what != tmp_path else "folder")

    def spy_replace(old, new):
        seen.append(("renamed", Path(old).stat().st_size))
        replace(old, new)

    mocker.patch("os.fsync", spy_fsync)
    mocker.patch("os.replace", spy_replace)
    History.read(path).pack(path)
    size = path.stat().st_size
    assert seen == [(f".b.ledger.{os.getpid()}.partial", size), ("renamed", size), "folder"]


def test_a_new_ledger_and_its_name_are_on_the_disk(tmp_path, mocker):
    synced = mocker.spy(records, "sync_folder")
    Ledger.open(tmp_path, "b", SHAPE).close()
    assert [call.args[0] for call in synced.call_args_list] == [tmp_path / "b.ledger"]


def test_a_packed_ledger_keeps_doses_without_pulses_runs_that_gave_nothing_and_when_it_began(tmp_path):
    alive = tmp_path / "alive.journal"
    alive.touch()
    for run, journal in ((b"a" * 16, alive), (b"n" * 16, alive), (b"o" * 16, None)):
        kept = Ledger.open(tmp_path, "b", SHAPE, run=run, journal=journal)
        if run[:1] != b"n":
            kept.record(1, given((0, 1), pulses=0, dose_v2s=0.5, exposure_s=0.25))
            kept.record(2, given((2, 3), pulses=2, dose_v2s=0.5))
        kept.close()
    path = tmp_path / "b.ledger"
    before = History.read(path)
    before.pack(path)
    after = History.read(path)
    assert (after.name, after.shape, after.since_s) == ("b", SHAPE, before.since_s)
    assert (before.sessions, after.sessions) == (3, 2)
    assert after.numbers[b"a" * 16] == 2
    for without in (None, b"a" * 16):
        for a, b in zip(before.total(without=without).arrays(), after.total(without=without).arrays(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_clock_that_was_put_back_does_not_make_a_ledger_younger(tmp_path, mocker):
    clock = mocker.patch.object(ledger_module, "datetime").datetime.now.return_value.timestamp
    for second in (2024.0, 2020.0, 2022.0):
        clock.return_value = second
        Ledger.open(tmp_path, "b", SHAPE).close()
    assert History.read(tmp_path / "b.ledger").since_s == 2020.0


def test_a_program_that_gives_nothing_more_takes_no_room_and_one_that_was_given_is_not_given_again(tmp_path):
    run, journal = b"r" * 16, tmp_path / "r.journal"
    kept = Ledger.open(tmp_path, "b", SHAPE, run=run, journal=journal)
    for number in (1, 2):
        kept.record(number, given((1, 1)))
    kept.close()
    kept = Ledger.open(tmp_path, "b", SHAPE, run=run, journal=journal)
    assert not kept.others.pulses.any()
    size = (tmp_path / "b.ledger").stat().st_size
    kept.record(1, given((1, 1)))
    kept.record(2, given((1, 1)))
    assert (tmp_path / "b.ledger").stat().st_size == size
    kept.record(3, given((1, 1)))
    kept.record(3, given((1, 1)))
    kept.close()
    assert History.read(tmp_path / "b.ledger").total().pulses[1, 1] == 3


def test_a_rehearsal_keeps_no_ledger_wherever_one_is_named(monkeypatch):
    monkeypatch.setenv("XBAR_LEDGER", "/l")
    assert ledger_folder(Identity("rehearsal", "7", 1, 2, 8, 8, 64, 24576, 24576, 8)) is None


@pytest.mark.parametrize(("beyond", "packed"), [(0, False), (1, True)])
def test_a_ledger_above_a_mebibyte_is_packed_when_it_is_opened(tmp_path, beyond, packed):
    kept = Ledger.open(tmp_path, "b", SHAPE)
    path = tmp_path / "b.ledger"
    before = path.stat().st_size
    kept.record(1, given((1, 2)))
    record = path.stat().st_size - before
    kept.close()
    # Sessions, of a length that their journal's name gives, fill it up to the byte.
    form, content = ledger_module.FORMAT, path.read_bytes()
    session = records.pack(form, [(int(ledger_module._Kind.SESSION), b"r" * 16 + b"\0" * 8)])[len(form.magic) :]
    room = (1 << 20) + beyond - len(content)
    many, rest = divmod(room, len(session))
    long = records.pack(form, [(int(ledger_module._Kind.SESSION), b"r" * 16 + b"\0" * 8 + b"j" * rest)])
    path.write_bytes(content + session * (many - 1) + long[len(form.magic) :])
    assert path.stat().st_size == (1 << 20) + beyond
    Ledger.open(tmp_path, "b", SHAPE).close()
    assert (path.stat().st_size < 10 * (before + record)) is packed
