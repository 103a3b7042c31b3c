"""`xbar bench`: which instruments can be seen, and whether one answers as it should."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Annotated, Any

import typer

from drivers.board import Board, load_board
from drivers.connect import mock_bench, open_crossbar
from drivers.instruments import catalogue, visa
from drivers.instruments.output import Source
from lab_scripts.console import Report
from lab_scripts.exits import InputError
from lab_scripts.options import PAPER, BoardFile, Json

ROLES = ("smu", "dmm", "stage")
MOCK = "mock"

bench = typer.Typer(no_args_is_help=True, help="Bench instruments over VISA: list them, check one.")


def addresses(board: Board) -> dict[str, str]:
    """VISA address of each role that the board file gives one."""
    return {role: address for role in ROLES if (address := getattr(board.instruments, role))}


@bench.command(name="list")
def list_(board_file: BoardFile = PAPER, json_output: Json = False) -> None:
    """List instruments that the board file names or VISA can find. None is opened."""
    report = Report(as_json=json_output)
    named = {address: role for role, address in addresses(load_board(board_file)).items()}
    found = visa.resources()
    rows = {**named, **{address: named.get(address, "") for address in found}}
    report.table(
        "VISA addresses", ("address", "in the board file", "found"),
        [(address, role, "yes" if address in found else "") for address, role in rows.items()] or [("none", "", "")],
    )  # fmt: skip
    report.say(
        "A raw socket (TCPIP0::HOST::PORT::SOCKET) cannot be found, only named: section instruments of a board file."
    )
    report.finish({"named": {role: address for address, role in named.items()}, "found": found})


@bench.command()
def check(
    address: Annotated[
        str, typer.Argument(help="VISA address; smu, dmm or stage of the board file; or mock: a simulated bench.")
    ],
    board_file: BoardFile = PAPER,
    json_output: Json = False,
) -> None:
    """Identify an instrument, reset it, let it test itself, switch its output off and see that it is."""
    report = Report(as_json=json_output)
    board = load_board(board_file)
    with ExitStack() as stack:
        if address == MOCK:
            simulated = stack.enter_context(mock_bench(stack.enter_context(open_crossbar(MOCK, board=board))))
            there = [simulated.address("smu"), simulated.address("dmm")]
        elif address in ROLES:
            if address not in (named := addresses(board)):
                raise InputError(
                    f"{address}: board file {board_file} names none; add instruments.{address}, or give an address"
                )
            there = [named[address]]
        else:
            there = [address]
        answers = [_check(each, board) for each in there]
    for answer in answers:
        report.table(answer["address"], ("", ""), [(key, value) for key, value in answer.items() if key != "address"])
    report.finish({"instruments": answers})


def _check(address: str, board: Board) -> dict[str, Any]:
    with catalogue.open_instrument(address, limits=board.instruments) as instrument:
        instrument.self_test()
        answer = {
            "address": address,
            "instrument": f"{instrument.maker} {instrument.model}",
            "serial number": instrument.serial,
            "firmware": instrument.firmware,
            "driver": type(instrument).__name__,
            "self-test": "passed",
            "error queue": "empty",
        }
        if isinstance(instrument, Source):
            instrument.output_off()
            answer[instrument.OFF.what] = "off"
    return answer
