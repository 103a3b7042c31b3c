"""What the machine does to a run: a full disk, a read-only folder, a clock that jumps, a second process."""

from __future__ import annotations

import datetime
import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import xarray as xr

from drivers import ledger as ledger_module
from firmware_bridge import exclusive
from firmware_bridge.mock.bridge import MockBridge
from lab_scripts import runs

PROGRAM = ("program", "w.npy", "--seed", 3)
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def watched(mocker):
    """Programs that the board was given."""
    return mocker.spy(MockBridge, "run")


# -- the disk ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 2, 9, 14])
def test_a_disk_that_fills_up_stops_the_run_which_goes_on_when_there_is_room(xbar, xbar_json, matrix, mocker, at):
    """The `at`-th write to the journal fails."""
    assert xbar(*PROGRAM, "--out", "whole.nc").exit_code == 0
    original, writes = os.write, 0

    def write(file, data):
        nonlocal writes
        writes += 1
        if writes >= at:
            raise FULL
        return original(file, data)

    mocker.patch("firmware_bridge.records.os.write", write)
    stopped = xbar(*PROGRAM, "--out", "r.nc")
    mocker.stopall()
    assert stopped.exit_code == 3
    assert "board0.journal: No space left on device" in stopped.stderr
    if "xbar resume" in stopped.stderr.splitlines()[-1]:
        assert xbar("resume", "r.nc").exit_code == 0
    else:  # nothing had been pulsed
        assert not Path("r.nc.journal").exists()
        assert xbar(*PROGRAM, "--out", "r.nc").exit_code == 0
    assert xbar_json("runs", "compare", "whole.nc", "r.nc")["same"]


def test_a_disk_that_is_full_at_the_end_loses_nothing(xbar, xbar_json, matrix, mocker, watched):
    assert xbar(*PROGRAM, "--out", "whole.nc").exit_code == 0
    mocker.patch.object(xr.Dataset, "to_netcdf", side_effect=FULL)
    stopped = xbar(*PROGRAM, "--out", "r.nc")
    mocker.stopall()
    assert stopped.exit_code == 4
    assert "No space left on device" in stopped.stderr
    assert "xbar: go on with: xbar resume r.nc" in stopped.stderr
    assert not Path("r.nc").exists()
    assert [p.name for p in Path().glob(".*partial")] == []
    assert xbar("resume", "r.nc").exit_code == 0
    assert xbar_json("runs", "compare", "whole.nc", "r.nc")["same"]


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_told_before_the_board_gets_anything(xbar, matrix, mocker, watched, error):
    original = os.open

    def refuse(path, flags, *mode, **options):
        if str(path).endswith(".journal") and flags & os.O_CREAT:
            raise OSError(error, os.strerror(error))
        return original(path, flags, *mode, **options)

    mocker.patch("firmware_bridge.records.os.open", refuse)
    refused = xbar(*PROGRAM, "--out", "r.nc")
    assert refused.exit_code == 3
    assert f"board0.journal: {os.strerror(error)}; nothing was sent to the board" in refused.stderr
    assert watched.call_count == 0
    mocker.stopall()
    assert xbar(*PROGRAM, "--out", "r.nc").exit_code == 0


def test_an_output_folder_without_write_permission_is_told_at_once(xbar, matrix, mocker, watched):
    original = os.access
    mocker.patch("os.access", lambda path, mode: mode != os.W_OK and original(path, mode))
    refused = xbar(*PROGRAM, "--out", "r.nc")
    assert refused.exit_code == 4
    assert "--out r.nc: the folder . is not writable" in refused.stderr
    assert watched.call_count == 0


# -- the clock ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("years", [(0, -30, 5), (0, 30, -5), (-50, 40)], ids=str)
def test_a_clock_that_jumps_changes_neither_a_run_nor_its_ledger(xbar, xbar_json, matrix, monkeypatch, tmp_path, years):
    assert xbar(*PROGRAM, "--out", "whole.nc").exit_code == 0
    jumps = itertools.cycle(years)

    class Jumping(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.now(tz) + datetime.timedelta(days=365 * next(jumps))

    jumping = SimpleNamespace(datetime=Jumping, timezone=datetime.timezone)
    for module in (exclusive, ledger_module, runs):
        monkeypatch.setattr(module, "datetime", jumping)
    monkeypatch.setenv("XBAR_LEDGER", str(tmp_path / "ledgers"))
    for name in ("a.nc", "b.nc"):
        done = xbar(*PROGRAM, "--out", name)
        assert done.exit_code == 0, done.stderr
    assert xbar_json("runs", "compare", "whole.nc", "b.nc")["same"]
    board = xbar_json("ledger")["boards"]["mock-3"]
    assert board["sessions"] == 2
    total = ledger_module.History.read(tmp_path / "ledgers" / "mock-3.ledger").total()
    assert (total.pulses % 2 == 0).all()
    assert total.pulses.any()


# -- a second process --------------------------------------------------------------------------------------------------


def test_a_second_process_on_the_same_run_is_told_who_is_at_it(xbar, matrix, tmp_path):
    script = (
        "import sys, time\n"
        "from firmware_bridge.mock.bridge import MockBridge\n"
        "original, n = MockBridge.run, 0\n"
        "def run(self, program):\n"
        "    global n\n"
        "    n += 1\n"
        "    if n == 8:\n"
        "        print('there', flush=True)\n"
        "        time.sleep(60)\n"
        "    return original(self, program)\n"
        "MockBridge.run = run\n"
        "from lab_scripts.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *map(str, PROGRAM), "--out", "r.nc"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "there\n"
            for words in (("resume", "r.nc"), (*PROGRAM, "--out", "r.nc", "--force")):
                refused = xbar(*words)
                assert refused.exit_code == 3
                assert f"the run r.nc is in use by process {other.pid} since 20" in refused.stderr
                assert Path("r.nc.journal/board0.journal").exists()
        finally:
            other.kill()
    assert xbar("resume", "r.nc").exit_code == 0  # a dead process is no obstacle
