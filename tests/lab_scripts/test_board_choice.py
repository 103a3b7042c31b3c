"""Opening a board to work on it: it passes its self-test first, whatever the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drivers.connect import mock_board, open_crossbar
from firmware_bridge.mock.faults.catalogue import CATALOGUE
from lab_scripts import board_choice

COMMANDS = {
    "program": ("program", "w.npy", "--out", "x.nc"),
    "mvm": ("mvm", "--weights", "w.npy", "--inputs", "v.npy", "--out", "x.nc"),
    "calibrate": ("calibrate", "self", "--out", "x.json"),
    "calibrate mvm": ("calibrate", "mvm"),
    "characterise": ("characterise", "noise", "--reads", 64, "--out", "x.nc"),
    "compare-write-verify": ("compare-write-verify", "w.npy", "--variant", "window", "--out", "x.nc"),
    "sample": ("sample", "--layers", "crossbar", "--lam", 5.5, "--configs", 100, "--out", "x.nc"),
    "demo": ("demo", "--lam", 5.5, "--configs", 100, "--out", "x.nc"),
}


@pytest.fixture
def opened(mocker):
    """``opened(name)``: boards have that fault of the catalogue from now on. The list of boards that were opened."""
    boards = []

    def with_fault(name):
        def open_with_it(*args, **options):
            crossbar = open_crossbar(*args, **options)
            mock_board(crossbar).faults.add(CATALOGUE[name]())
            boards.append(crossbar)
            return crossbar

        mocker.patch.object(board_choice, "open_crossbar", open_with_it)
        return boards

    return with_fault


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_no_command_works_on_a_board_that_fails_its_self_test(xbar, matrix, opened, command):
    np.save("v.npy", np.full((2, 5), 0.05))
    boards = opened("broken CS of a DAC")
    result = xbar(*command)
    assert result.exit_code == 3, result.stderr
    assert "DAC SDO: DAC 2: reading register 0x4 echoed 0x00 instead of 0x84" in result.stderr
    assert "outputs are safe; check its wiring" in result.stderr
    assert not boards[0].pulse_count.any()
    board = mock_board(boards[0])
    assert not board.gate
    assert board.chain.oe_n
    # Nothing was pulsed, so there is nothing to go on with either.
    assert not {path.name for path in Path().iterdir()} - {"w.npy", "v.npy"}


def test_what_could_not_be_tested_is_said_and_work_goes_on(xbar, xbar_json, matrix, opened):
    healthy = xbar(*COMMANDS["program"])
    assert "not tested" not in healthy.stdout
    opened("mux before an ADC open")
    result = xbar(*COMMANDS["program"], "--force")
    assert (
        "mock board mock-0: ADC span linear to 5%; not tested: 4 of 32 SLs, which conduct too little" in result.stdout
    )
