from __future__ import annotations

import pytest

from drivers.board import PAPER_BOARD
from drivers.connect import mock_bench, open_crossbar
from drivers.instruments import visa


@pytest.fixture
def simulated():
    with open_crossbar("mock") as crossbar, mock_bench(crossbar) as it:
        yield it


def test_the_simulated_bench_answers(xbar_json):
    smu, dmm = xbar_json("bench", "check", "mock")["instruments"]
    assert (smu["driver"], smu["self-test"], smu["output"]) == ("Keithley2450", "passed", "off")
    assert dmm["instrument"] == "Keysight Technologies 34465A"


def test_an_instrument_is_checked_by_address_or_by_its_name_in_the_board_file(xbar, xbar_json, simulated, tmp_path):
    address = simulated.address("dmm")
    (by_address,) = xbar_json("bench", "check", address)["instruments"]
    board = tmp_path / "lab.toml"
    board.write_text(PAPER_BOARD.read_text() + f'\n[instruments]\ndmm = "{address}"\n')
    (by_name,) = xbar_json("bench", "check", "dmm", "--board", board)["instruments"]
    assert by_name == by_address
    refusal = xbar("bench", "check", "smu", "--board", board)
    assert (refusal.exit_code, "names none; add instruments.smu" in refusal.stderr) == (2, True)


def test_an_instrument_that_was_on_is_off_after_a_check(xbar_json, simulated):
    simulated.smu.execute(":OUTP ON")
    xbar_json("bench", "check", simulated.address("smu"))
    assert not simulated.smu.output


def test_an_instrument_that_does_not_answer_is_exit_code_3(xbar):
    result = xbar("bench", "check", "TCPIP0::127.0.0.1::1::SOCKET")
    assert result.exit_code == 3
    assert "TCPIP0::127.0.0.1::1::SOCKET" in result.stderr
    assert "check cable and power" in result.stderr


def test_a_list_has_what_is_named_and_what_is_found(xbar, xbar_json, tmp_path, mocker):
    mocker.patch.object(visa, "resources", return_value=["ASRL/dev/ttyS0::INSTR", "TCPIP0::a::INSTR"])
    board = tmp_path / "lab.toml"
    named = {"smu": "TCPIP0::a::INSTR", "dmm": "TCPIP0::b::5025::SOCKET"}
    lines = [f'{role} = "{address}"' for role, address in named.items()]
    board.write_text("\n".join([PAPER_BOARD.read_text(), "[instruments]", *lines, ""]))
    assert xbar_json("bench", "list", "--board", board) == {
        "named": named,
        "found": ["ASRL/dev/ttyS0::INSTR", "TCPIP0::a::INSTR"],
    }
    rows = [line.split("│")[1:4] for line in xbar("bench", "list", "--board", board).stdout.splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["TCPIP0::a::INSTR", "smu", "yes"],
        ["TCPIP0::b::5025::SOCKET", "dmm", ""],
        ["ASRL/dev/ttyS0::INSTR", "", "yes"],
    ]
