"""A rehearsal gives what the mock would, and counts what it was asked to do."""

import pytest

from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.connect import open_crossbar, rehearsal
from firmware_bridge.errors import ProtocolError
from firmware_bridge.isa import Gate, Wait
from firmware_bridge.program import Program


def test_programs_and_their_instructions_are_counted():
    bridge = open_bridge("rehearsal", board=load_board(), seed=0)
    assert (bridge.programs, dict(bridge.operations)) == (0, {})
    assert bridge.identify().kind == "rehearsal"
    bridge.configure(load_board().sequencer())
    bridge.run(Program([Wait(5), Gate(False), Wait(7)]))
    bridge.run(Program([Wait(5)]))
    assert bridge.programs == 2
    assert dict(bridge.operations) == {"Wait": 3, "Gate": 1}


def test_it_gives_the_numbers_of_the_mock():
    seen = []
    for address in ("mock", "rehearsal"):
        with open_crossbar(address, seed=4) as crossbar:
            seen.append(crossbar.read_conductance())
    assert (seen[0] == seen[1]).all()


def test_another_board_is_no_rehearsal():
    with open_crossbar("mock") as crossbar, pytest.raises(ProtocolError, match=r"mock board mock-0 is no rehearsal"):
        rehearsal(crossbar)
