"""A host that dies leaves safe outputs, by the gateware alone; and the interrupt that a living one may ask for."""

import numpy as np
import pytest
from dying_hosts import BOARD, CONFIG, FRAME, PATIENCE, SAFE_WAIT, SAFE_WITHIN, SETUP, SYNC_ALL, WORKING, is_safe
from needs import needs_verilator

from firmware_bridge.errors import ProtocolError
from firmware_bridge.gateware import ADDRESS, Control, Event, Fault, Status
from firmware_bridge.isa import Gate, Nop, Wait
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.program import Program
from firmware_bridge.rtl_bridge import RtlBridge

pytestmark = needs_verilator


@pytest.fixture
def rtl():
    bridge = RtlBridge(MockBoard(BOARD.wiring, MockParams(), seed=0))
    bridge.configure(CONFIG)
    return bridge


def word(name, model):
    return model.read(4 * ADDRESS[name])


def begin(bridge, instructions):
    """Start a program and stay away."""
    words = Program([*SETUP, *instructions]).words()
    bridge._program[: len(words)] = words
    bridge.model.write(4 * ADDRESS["PROGRAM_LENGTH"], len(words))
    bridge.model.write(4 * ADDRESS["CONTROL"], Control.START)
    # Until the set-up is over this host lives.
    end = word("CYCLES_LOW", bridge.model) + Program(SETUP).cycles(CONFIG.timing) + 100
    while word("CYCLES_LOW", bridge.model) < end and word("STATUS", bridge.model) & Status.BUSY:
        bridge.model.let_pass(100)


@pytest.mark.parametrize("what", WORKING)
def test_a_host_that_dies_leaves_safe_outputs_within_the_stated_time(rtl, what):
    begin(rtl, WORKING[what])
    model, board = rtl.model, rtl.board
    assert word("STATUS", model) & Status.RUNNING
    assert board.chain.outputs() is not None
    assert board.dacs[0].registers["SYNC"] == SYNC_ALL
    model.let_pass(SAFE_WITHIN)
    assert is_safe(board)
    status = word("STATUS", model)
    assert (status & (Status.BUSY | Status.WATCHDOG), status >> 8) == (Status.WATCHDOG, Fault.WATCHDOG)


@pytest.mark.parametrize("what", ["WAIT", "PULSE"])
def test_a_silence_that_is_a_little_shorter_disturbs_nothing(rtl, what):
    begin(rtl, WORKING[what])
    for _ in range(5):
        # An access takes some cycles itself, in which it counts as begun.
        rtl.model.let_pass(PATIENCE - 5)
        assert word("STATUS", rtl.model) & (Status.RUNNING | Status.WATCHDOG) == Status.RUNNING


def test_a_program_that_has_ended_is_watched_on_until_the_outputs_are_safe(rtl):
    begin(rtl, [Gate(True)])
    rtl.model.let_pass(100)
    assert not word("STATUS", rtl.model) & Status.BUSY
    assert rtl.board.gate
    rtl.model.let_pass(SAFE_WITHIN)
    assert is_safe(rtl.board)
    # What is safe is not watched: the event, once cleared, does not come again.
    rtl.model.write(4 * ADDRESS["EVENTS"], Event.WATCHDOG)
    rtl.model.let_pass(10 * PATIENCE)
    assert not word("STATUS", rtl.model) & Status.WATCHDOG


def test_nothing_runs_after_the_watchdog_until_the_board_is_configured_again(rtl):
    rtl.run(Program([*SETUP, Gate(True)]))
    rtl.model.let_pass(SAFE_WITHIN)
    before = word("CYCLES_LOW", rtl.model)
    for _ in range(2):
        with pytest.raises(
            ProtocolError, match=r"watchdog has made the outputs safe: the host was silent for 0.0004 s"
        ):
            rtl.run(Program([Gate(True)]))
    assert is_safe(rtl.board)
    # Each refusal makes safe again, and that is all that happened.
    assert word("CYCLES_LOW", rtl.model) - before == 2 * (SAFE_WAIT + FRAME)
    rtl.configure(CONFIG)
    rtl.run(Program([*SETUP, Gate(True)]))
    assert rtl.board.gate


def test_a_host_that_waits_for_a_long_program_is_not_silent(rtl):
    program = Program([*SETUP, Wait(50 * PATIENCE)])
    assert rtl.run(program).cycles == program.cycles(CONFIG.timing)
    assert not word("STATUS", rtl.model) & Status.WATCHDOG


def test_a_watchdog_of_no_patience_never_acts(rtl):
    rtl.configure(CONFIG.model_copy(update={"watchdog_cycles": 0}))
    begin(rtl, WORKING["WAIT"])
    rtl.model.let_pass(10 * PATIENCE)
    assert word("STATUS", rtl.model) & Status.RUNNING


def test_before_the_first_program_there_is_nothing_to_watch(rtl):
    rtl.model.let_pass(10 * PATIENCE)
    assert word("EVENTS", rtl.model) & Event.WATCHDOG == 0


# -- interrupt ---------------------------------------------------------------------------------------------------------
def over(bridge):
    bridge.run(Program([Nop()]))


def refused(bridge):
    with pytest.raises(ProtocolError):
        bridge.run_words(np.array([0xAB000000], np.uint32))


def bitten(bridge):
    begin(bridge, [])
    bridge.model.let_pass(PATIENCE + 10)


def astray(bridge):
    bridge.model.read(0xF00)


RAISED = {
    "over": (over, Event.OVER),
    "refused": (refused, Event.OVER | Event.REFUSED),
    "bitten": (bitten, Event.OVER | Event.REFUSED | Event.WATCHDOG),
    "astray": (astray, Event.ACCESS),
}


@pytest.mark.parametrize("what", RAISED)
def test_an_event_stays_until_it_is_cleared_and_interrupts_if_it_is_enabled(rtl, what):
    happens, events = RAISED[what]
    model = rtl.model
    model.write(4 * ADDRESS["EVENTS"], 0xF)
    happens(rtl)
    assert word("EVENTS", model) == events
    assert not model.interrupt
    for event in Event:
        model.write(4 * ADDRESS["EVENT_ENABLE"], event)
        assert model.interrupt is bool(event & events)
    model.write(4 * ADDRESS["EVENT_ENABLE"], 0xF)
    for event in Event:
        assert model.interrupt is (word("EVENTS", model) != 0)
        model.write(4 * ADDRESS["EVENTS"], event)
    assert word("EVENTS", model) == 0
    assert not model.interrupt
