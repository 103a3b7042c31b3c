"""`xbar ledger`: sums beside limits, for people and for programs."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.connect import open_crossbar


@pytest.fixture
def pulsed(tmp_path):
    folder = tmp_path / "ledgers"
    amplitude = np.full((32, 32), np.nan)
    amplitude[7, 5] = 1.5
    for seed in (0, 0, 4):
        with open_crossbar("mock", seed=seed, ledger=folder) as crossbar:
            crossbar.apply_pulses(amplitude, 1.2, 1e-6)
    return folder


def test_each_board_has_its_worst_cell_beside_the_limit(pulsed, xbar_json):
    said = xbar_json("ledger", pulsed)
    assert list(said["boards"]) == ["mock-0", "mock-4"]
    board = said["boards"]["mock-0"]
    assert board["sessions"] == 2
    assert board["given"]["pulses"] == {"worst": 2, "at": "SL 7, BL 5", "limit": 100000, "unit": ""}
    assert board["given"]["dose"]["worst"] == pytest.approx(2 * 1.5**2 * 1e-6, rel=1e-3)
    assert board["given"]["forming pulses"]["at"] == "–"


def test_the_folder_is_that_of_the_environment_unless_one_is_given(pulsed, xbar, monkeypatch):
    monkeypatch.setenv("XBAR_LEDGER", str(pulsed))
    shown = xbar("ledger")
    assert shown.exit_code == 0
    assert "mock-4, since 20" in shown.stdout
    missing = xbar("ledger", "nowhere")
    assert missing.exit_code == 4
    assert "no board has kept a ledger there" in missing.stderr


def test_a_program_command_keeps_one_where_the_environment_says(tmp_path, xbar, xbar_json, matrix, monkeypatch):
    monkeypatch.setenv("XBAR_LEDGER", str(tmp_path / "ledgers"))
    assert xbar("program", matrix, "--seed", 3, "--out", "r.nc").exit_code == 0
    assert xbar_json("ledger")["boards"]["mock-3"]["given"]["pulses"]["worst"] > 0


def test_a_damaged_ledger_is_exit_code_3(pulsed, xbar):
    path = pulsed / "mock-0.ledger"
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    shown = xbar("ledger", pulsed)
    assert shown.exit_code == 3
    assert "damaged at byte" in shown.stderr
