"""One safe state, reached in one order and in time from every way out, as the chip models see it.

A witness at the chips' pins writes down what happens there and when, in board time. Whatever the way out, it must have
seen: bit lines disconnected, then muxes released, then every DAC reset, within 10 ms of the failure, and nothing after
that.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from loopback import serving
from needs import needs_verilator

from drivers import dac80508
from drivers.board import load_board
from drivers.bridges import open_bridge
from drivers.connect import open_crossbar
from drivers.crossbar import Crossbar
from drivers.dac import write_frame
from firmware_bridge.bridge import Result
from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.gateware import ADDRESS, Control
from firmware_bridge.isa import Gate, OutputEnable, Shift, Wait
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.program import Program
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.remote.links import Address

WITHIN_S = 10e-3
BOARD = load_board()
RESET = write_frame(dac80508.TRIGGER, dac80508.TRIGGER_SOFT_RESET)


class Witness:
    """Stands at the pins of a mock board and writes down (what, chip, board time in s)."""

    def __init__(self, board):
        self.board, self.log = board, []
        for name, note in (
            ("set_gate", lambda connect, t: ("connect" if connect else "disconnect", None, t)),
            ("set_oe_n", lambda level, t: ("release" if level else "drive", None, t)),
            ("spi", lambda dac, frame, bits, t, timing: ("reset" if frame == RESET else "frame", dac, t)),
            ("shift", lambda word, bits, t, timing: ("shift", None, t)),
            ("pulse", lambda width, t: ("pulse", None, t)),
            ("load", lambda mask, codes, t: ("frame", None, t)),
        ):
            setattr(board, name, self._watched(getattr(board, name), note))

    def _watched(self, original, note):
        def call(*arguments):
            self.log.append(note(*arguments))
            return original(*arguments)

        return call

    def since(self, mark):
        return self.log[mark:]

    def check(self, mark, failed_s, within_s=WITHIN_S):
        """All that happened after `mark` is the making safe, in its order, within the time after `failed_s`."""
        board, seen = self.board, self.since(mark)
        expected = ["disconnect", "release", *["reset"] * len(board.dacs)]
        # Any number of times: a way out may pass several places that make safe.
        assert len(seen) >= len(expected)
        for start in range(0, len(seen), len(expected)):
            once = seen[start : start + len(expected)]
            assert [what for what, _, _ in once] == expected
            assert [chip for _, chip, _ in once[2:]] == list(range(len(board.dacs)))
        assert all(failed_s <= t + 1e-9 for _, _, t in seen)
        assert seen[len(expected) - 1][2] <= failed_s + within_s
        self.check_outputs()

    def check_outputs(self):
        board = self.board
        assert not board.gate
        assert board.chain.outputs() is None
        for chip in board.dacs:
            assert chip.registers["SYNC"] == 0xFF00
            assert not chip.active_code.any()


def busy(crossbar):
    """Rows on, muxes driven, vectors on the bit lines."""
    crossbar.mvm(np.full((3, 32), 0.05))
    assert crossbar._lines.interlock.bridge.board.chain.outputs() is not None


@contextmanager
def failing(crossbar, method, at, error):
    """The chip model raises in the `at`-th call of `method` from here on."""
    board = crossbar._lines.interlock.bridge.board
    original, calls = getattr(board, method), 0

    def call(*arguments):
        nonlocal calls
        calls += 1
        if calls == at:
            raise error
        return original(*arguments)

    setattr(board, method, call)
    try:
        yield
    finally:
        setattr(board, method, original)


def an_exception_of_the_users(crossbar, mark):
    mark()
    raise ZeroDivisionError


def a_normal_end(crossbar, mark):
    mark()


def a_refusal_at_the_host(crossbar, mark):
    mark()
    crossbar.apply_pulses(2.4, 1.0, 1e-6)


def a_chip_that_refuses(crossbar, mark):
    with failing(crossbar, "convert_stream", 1, ProtocolError("a chip refuses")):
        mark(after="connect")
        crossbar.mvm(np.full((3, 32), 0.05))


def an_interrupt_in_a_program(crossbar, mark):
    with failing(crossbar, "convert_stream", 1, KeyboardInterrupt()):
        mark(after="connect")
        crossbar.mvm(np.full((3, 32), 0.05))


def an_interrupt_between_programs(crossbar, mark):
    mark()
    signal.raise_signal(signal.SIGINT)


def an_answer_that_cannot_be(crossbar, mark):
    bridge = crossbar._lines.interlock.bridge
    original = bridge.run

    def run(program):
        result = original(program)
        mark()
        return Result(result.words[:-1], result.cycles)

    bridge.run = run
    try:
        crossbar.mvm(np.full((3, 32), 0.05))
    finally:
        bridge.run = original


def a_call_of_safe(crossbar, mark):
    mark()
    crossbar.safe()


WAYS = {
    an_exception_of_the_users: ZeroDivisionError,
    a_normal_end: None,
    a_refusal_at_the_host: LimitError,
    a_chip_that_refuses: ProtocolError,
    an_interrupt_in_a_program: KeyboardInterrupt,
    an_interrupt_between_programs: KeyboardInterrupt,
    an_answer_that_cannot_be: ProtocolError,
    a_call_of_safe: None,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_out_of_a_board_ends_in_the_safe_state_in_time(way):
    marks = {}
    bridge = open_bridge("mock", board=BOARD)
    witness = Witness(bridge.board)

    def mark(after=None):
        marks.update(at=len(witness.log), after=after, failed_s=bridge._now)

    def work():
        with Crossbar(bridge, BOARD) as crossbar:
            busy(crossbar)
            way(crossbar, mark)

    if WAYS[way] is None:
        work()
    else:
        with pytest.raises(WAYS[way]):
            work()
    start = marks["at"]
    if marks["after"] is not None:
        # Failed inside a program, which had come as far as this.
        start = next(i for i in range(start, len(witness.log)) if witness.log[i][0] == marks["after"]) + 1
    witness.check(start, marks["failed_s"])


def test_a_board_that_fails_its_check_at_opening_is_safe(mocker):
    for wrong in ({"isa_hash": 1}, {"n_dacs": 4}):
        bridge = open_bridge("mock", board=BOARD)
        witness = Witness(bridge.board)
        identity = bridge.identify()
        mocker.patch.object(MockBridge, "identify", return_value=type(identity)(**{**vars(identity), **wrong}))
        mocker.patch("drivers.connect.open_bridge", return_value=bridge)
        with pytest.raises(ProtocolError):
            open_crossbar("mock")
        # Not configured yet, so there are no safe frames: the DACs are as they powered up, and nothing was driven.
        assert {what for what, _, _ in witness.log} == {"disconnect", "release"}
        witness.check_outputs()
        mocker.stopall()


def test_a_board_that_fails_while_it_is_initialised_is_safe(mocker):
    bridge = open_bridge("mock", board=BOARD)
    witness = Witness(bridge.board)
    mocker.patch.object(MockBridge, "run", side_effect=ProtocolError("a wrong echo"))
    mocker.patch("drivers.connect.open_bridge", return_value=bridge)
    with pytest.raises(ProtocolError, match="a wrong echo"):
        open_crossbar("mock")
    witness.check(0, 0.0)


def test_a_board_that_has_been_powered_up_is_safe_before_anybody_speaks_to_it():
    bridge = open_bridge("mock", board=BOARD)
    Witness(bridge.board).check_outputs()
    with Crossbar(bridge, BOARD) as crossbar:
        busy(crossbar)
        bridge.reset()
        assert not bridge.board.gate
        assert bridge.board.chain.outputs() is None


# -- a link, a lease, a server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["the link is cut", "the host falls silent", "the server is stopped"])
def test_a_board_whose_host_is_lost_is_safe(way):
    board = open_bridge("mock", board=BOARD)
    witness = Witness(board.board)
    lease_s = 0.2 if way == "the host falls silent" else 10.0
    with serving(board, lease_s=lease_s) as server:
        address = Address.parse(server.address)
        crossbar = Crossbar(RemoteBridge(address.connect, reconnects_s=(), keep_alive=False), BOARD)
        crossbar.mvm(np.full((3, 32), 0.05))
        link = crossbar._lines.interlock.bridge._link
        start, failed_s = len(witness.log), board._now
        if way == "the link is cut":
            link.close()
        if way != "the server is stopped":
            until = time.monotonic() + 5
            while len(witness.log) < start + 10 and time.monotonic() < until:
                time.sleep(0.01)
            witness.check(start, failed_s)
    witness.check(start, failed_s)
    link.close()


# -- signals to a command, and a host that dies ------------------------------------------------------------------------

COMMAND = """
import json, os, sys
from firmware_bridge.mock.bridge import MockBridge
from test_safe_state import Witness
from lab_scripts.cli import main

number = int(sys.argv.pop())
original, opened, programs = MockBridge.run, [], 0
init = MockBridge.__init__

def begin(self, *arguments, **options):
    init(self, *arguments, **options)
    opened.append((self, Witness(self.board)))

def run(self, program):
    global programs
    programs += 1
    if programs == 9:
        opened[-1][1].log.clear()
        opened[-1][1].failed_s = self._now
        os.kill(os.getpid(), number)
    return original(self, program)

MockBridge.__init__, MockBridge.run = begin, run
try:
    main()
finally:
    bridge, witness = opened[-1]
    witness.check(0, witness.failed_s)
    print(json.dumps([what for what, _, _ in witness.log[:3]]), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_to_a_command_leaves_the_safe_state(number, tmp_path):
    here = str(__file__).rsplit("/", 1)[0]
    script = f"import sys; sys.path[:0] = [{here!r}, {here + '/support'!r}]\n{COMMAND}"
    done = subprocess.run(
        [sys.executable, "-c", script, "program", "AI4S", "--out", str(tmp_path / "r.nc"), str(int(number))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["disconnect", "release", "reset"]


@needs_verilator
def test_a_host_that_dies_leaves_the_safe_state_in_time_after_the_watchdog_has_noticed():
    patience_s = 1e-3
    config = BOARD.sequencer().model_copy(update={"watchdog_cycles": BOARD.timing.cycles(patience_s)})
    bridge = open_bridge("rtl", board=BOARD)
    witness = Witness(bridge.board)
    bridge.configure(config)
    program = Program([Wait(26_000), Shift(16, BOARD.wiring.mux_word()), OutputEnable(True), Gate(True), Wait(10**9)])
    words = program.words()
    bridge._program[: len(words)] = words
    bridge.model.write(4 * ADDRESS["PROGRAM_LENGTH"], len(words))
    bridge.model.write(4 * ADDRESS["CONTROL"], Control.START)
    while bridge.model.read(4 * ADDRESS["CYCLES_LOW"]) < 28_000:
        bridge.model.let_pass(100)
    last_sign_s = bridge.model.read(4 * ADDRESS["CYCLES_LOW"]) * BOARD.timing.period_s
    assert bridge.board.gate
    start = len(witness.log)
    bridge.model.let_pass(BOARD.timing.cycles(patience_s + WITHIN_S))
    witness.check(start, last_sign_s, patience_s + WITHIN_S)
    bridge.close()
