from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drivers.self_test import Watch, self_test
from firmware_bridge.mock.bridge import MockBridge

PROGRAM = ("program", "w.npy", "--seed", 3)


@pytest.fixture
def interrupted(xbar, matrix, mocker):
    """``interrupted(n, *command)``: the command is interrupted at its n-th program after the self-test, at 0 in it."""

    def run(n, *command):
        programs, tested = 0, False
        original = MockBridge.run

        def counted(self, program):
            nonlocal programs
            programs += tested or n == 0
            if programs == max(n, 1):
                raise KeyboardInterrupt
            return original(self, program)

        def then_counted(crossbar):
            nonlocal tested
            passed = self_test(crossbar)
            tested = True
            return passed

        mocker.patch.object(MockBridge, "run", counted)
        mocker.patch("lab_scripts.board_choice.self_test", then_counted)
        result = xbar(*command)
        mocker.patch.object(MockBridge, "run", original)
        return result

    return run


@pytest.mark.parametrize("at", [5, 12])
def test_a_resumed_run_is_that_of_one_which_was_never_interrupted(interrupted, xbar, xbar_json, at):
    assert xbar(*PROGRAM, "--out", "whole.nc").exit_code == 0
    stopped = interrupted(at, *PROGRAM, "--out", "r.nc")
    assert stopped.exit_code == 130
    assert "xbar: go on with: xbar resume r.nc" in stopped.stderr
    assert not Path("r.nc").exists()
    resumed = xbar("resume", "r.nc")
    assert resumed.exit_code == 0, resumed.stderr
    assert "programs done, one under way" in resumed.stdout
    assert xbar_json("runs", "compare", "whole.nc", "r.nc")["same"]
    assert [p.name for p in Path().iterdir() if "journal" in p.name] == []


def test_resume_with_json_gives_what_the_command_gives(interrupted, xbar_json):
    whole = xbar_json(*PROGRAM, "--out", "whole.nc")
    interrupted(5, *PROGRAM, "--out", "r.nc")
    resumed = xbar_json("resume", "r.nc")
    assert resumed.keys() == whole.keys()
    assert resumed | {"out": ""} == whole | {"out": ""}
    assert xbar_json("runs", "compare", "whole.nc", "r.nc")["same"]


def test_sampling_that_was_interrupted_between_two_looks_goes_on_to_the_same_bits(xbar, xbar_json, flows, mocker):
    command = ("sample", "--L", 2, "--flow", flows[0], "--layers", "crossbar", "--tune-steps", 0, "--configs", 1100)
    assert xbar(*command, "--out", "whole.nc").exit_code == 0
    look, looks = Watch.look, 0

    def interrupted_at_the_second(self):
        nonlocal looks
        looks += 1
        if looks == 2:
            raise KeyboardInterrupt
        look(self)

    mocker.patch.object(Watch, "look", interrupted_at_the_second)
    assert xbar(*command, "--out", "r.nc").exit_code == 130
    assert not Path("r.nc").exists()
    mocker.patch.object(Watch, "look", look)
    assert xbar("resume", "r.nc").exit_code == 0
    assert xbar_json("runs", "compare", "whole.nc", "r.nc")["same"]


@pytest.mark.parametrize("at", [0, 1])
def test_before_the_first_pulse_there_is_nothing_to_go_on_with(interrupted, at):
    stopped = interrupted(at, *PROGRAM, "--out", "r.nc")
    assert stopped.exit_code == 130
    assert "resume" not in stopped.stderr
    assert not Path("r.nc.journal").exists()


def test_an_unfinished_run_is_not_thrown_away_unless_force_is_given(interrupted, xbar):
    interrupted(5, *PROGRAM, "--out", "r.nc")
    refused = xbar(*PROGRAM, "--out", "r.nc")
    assert refused.exit_code == 4
    assert "a run that did not end is in r.nc.journal; go on with it by `xbar resume r.nc`" in refused.stderr
    assert xbar(*PROGRAM, "--out", "r.nc", "--force").exit_code == 0
    assert not Path("r.nc.journal").exists()


def test_an_input_that_has_changed_is_refused(interrupted, xbar, matrix):
    interrupted(5, *PROGRAM, "--out", "r.nc")
    matrix.write_bytes(b"other")
    result = xbar("resume", "r.nc")
    assert result.exit_code == 4
    assert "w.npy: is not the file that the run began with" in result.stderr


def test_another_version_is_refused(interrupted, xbar):
    interrupted(5, *PROGRAM, "--out", "r.nc")
    record = Path("r.nc.journal/command.json")
    changed = json.loads(record.read_text())
    changed["versions"]["numpy"] = "1.0"
    record.write_text(json.dumps(changed))
    result = xbar("resume", "r.nc")
    assert result.exit_code == 4
    assert "another version may go another way" in result.stderr


def test_nothing_to_resume_is_said(xbar):
    result = xbar("resume", "r.nc")
    assert result.exit_code == 4
    assert "nothing to resume; there is no r.nc.journal" in result.stderr


def test_kill_9(xbar_json, xbar, matrix):
    """A process that is killed outright leaves a journal that another one goes on from."""
    command = [sys.executable, "-c", "from lab_scripts.cli import main; main()", *map(str, PROGRAM), "--out", "r.nc"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    journal = Path("r.nc.journal/board0.journal")
    # Once it has begun, at some instant of its own.
    while process.poll() is None and (not journal.exists() or journal.stat().st_size < 1000):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert xbar("resume", "r.nc").exit_code == 0
    assert xbar(*PROGRAM, "--out", "whole.nc").exit_code == 0
    assert xbar_json("runs", "compare", "whole.nc", "r.nc")["same"]
