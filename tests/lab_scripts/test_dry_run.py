"""A dry run sends nothing, writes nothing, and says what the run would give."""

from __future__ import annotations

import contextlib
import socket

import numpy as np
import pytest

from drivers.ledger import FOLDER_VARIABLE
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.mock.rehearsal import RehearsalBridge
from lab_scripts.board_choice import BoardOptions, option_fields
from lab_scripts.cli import whole_command


@contextlib.contextmanager
def listening():
    """A board server that never answers; ends with the number of hosts that tried it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def callers(server: socket.socket) -> int:
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return 0
    return 1


@pytest.mark.parametrize(
    "command",
    [
        ("program", "w.npy", "--out", "x.nc"),
        ("mvm", "--weights", "w.npy", "--inputs", "v.npy", "--out", "x.nc"),
        ("calibrate", "self", "--out", "x.json"),
        ("calibrate", "reference", "--ohm", "10000", "--uncertainty", "1", "--out", "x.json"),
        ("calibrate", "bench", "--dmm", "TCPIP0::1.2.3.4::5::SOCKET", "--smu", "TCPIP0::1.2.3.4::6::SOCKET",
         "--out", "x.json"),
        ("calibrate", "mvm"),
        ("characterise", "noise", "--reads", "64", "--out", "x.nc"),
        ("compare-write-verify", "w.npy", "--variant", "isppv", "--out", "x.nc"),
    ],
    ids=lambda words: "-".join(word for word in words[:2] if not word.startswith("-") and "." not in word),
)  # fmt: skip
def test_a_dry_run_sends_no_frame_and_leaves_no_file(xbar_json, matrix, tmp_path, monkeypatch, mocker, command):
    np.save("v.npy", np.full((2, 5), 0.05))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "ledgers"))
    before = sorted(tmp_path.iterdir())
    opened = mocker.spy(socket.socket, "connect")
    if command[0] == "compare-write-verify":
        from calibration.algorithm_comparison import VARIANTS

        command = (*command[:3], next(iter(VARIANTS)), *command[4:])
    with listening() as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        answer = xbar_json(*command, "--backend", address, "--dry-run")
        assert callers(server) == 0
    assert opened.call_count == 0
    assert sorted(tmp_path.iterdir()) == before
    assert answer["dry_run"] is True
    assert answer["board_time_s"] > 0
    assert sum(answer["operations"].values()) >= answer["programs"] > 0


def test_a_dry_run_on_the_mock_says_exactly_what_the_run_takes(xbar_json, matrix):
    said = xbar_json("program", matrix, "--out", "p.nc", "--seed", 3, "--dry-run")
    done = xbar_json("program", matrix, "--out", "p.nc", "--seed", 3)
    assert said["cycles"] == done["board_cycles"]
    assert said["board_time_s"] == done["board_time_s"]


def test_a_dry_run_counts_pulses_and_holds_doses_against_their_limits(xbar_json, matrix, mocker):
    given = mocker.spy(RehearsalBridge, "close")
    said = xbar_json("program", matrix, "--out", "p.nc", "--dry-run")
    assert given.call_count == 1
    assert said["pulses"] >= 15  # each of the cells at least one
    assert 0 < said["pulses_worst"] <= said["pulses_limit"]
    assert 0 < said["dose_v2s_worst"] <= said["dose_v2s_limit"]


def test_a_dry_run_with_force_keeps_what_is_there(xbar, matrix, tmp_path):
    (tmp_path / "p.nc").write_text("precious")
    (tmp_path / "p.nc.journal").mkdir()
    (tmp_path / "p.nc.journal" / "board0.journal").write_text("precious")
    assert xbar("program", matrix, "--out", "p.nc", "--force", "--dry-run").exit_code == 0
    assert (tmp_path / "p.nc").read_text() == "precious"
    assert (tmp_path / "p.nc.journal" / "board0.journal").read_text() == "precious"


def test_a_dry_run_without_a_board_is_refused(xbar):
    result = xbar("sample", "--out", "s.nc", "--dry-run")
    assert (result.exit_code, "--layers digital opens no board" in result.stderr) == (2, True), result.stderr


def test_every_command_with_a_board_has_the_same_board_options():
    def leaves(group, path=()):
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from leaves(command, (*path, name))
            else:
                yield " ".join((*path, name)), {parameter.name for parameter in command.params}

    shared = set(option_fields(BoardOptions))
    with_board = {name: options for name, options in leaves(whole_command()) if {"backend", "backends"} & options}
    assert len(with_board) > 20
    assert {name for name, options in with_board.items() if not shared <= options} == {"serve", "doctor"}


def test_the_rehearsal_is_the_mock_board():
    assert issubclass(RehearsalBridge, MockBridge)
