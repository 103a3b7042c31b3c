"""A host without its interlock: what the sequencer mirrors of the limits holds against any program."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from needs import MISSING

from drivers import dac80508
from drivers.board import Board, load_board
from drivers.bridges import open_bridge
from drivers.dac import DacBank, write_frame
from drivers.dac80508 import Dac80508
from drivers.interlock import Interlock
from firmware_bridge.errors import BoardError, LimitError
from firmware_bridge.isa import Gate, Mvm, OutputEnable, Pulse, Pulses, Shift, SpiWrite, Wait
from firmware_bridge.program import Program

LOW_V, HIGH_V, WIDTH_S, INTERVAL_S = 0.0, 4.0, (1e-6, 1e-5), 1e-4
LDAC = write_frame(dac80508.TRIGGER, dac80508.TRIGGER_LDAC)
HIGHEST = round(HIGH_V / (5.0 / 65536))


def narrow_board():
    data = load_board().model_dump()
    data["limits"] |= {"bl_v": (LOW_V, HIGH_V), "wl_v": (LOW_V, HIGH_V), "pulse_interval_s": INTERVAL_S}
    for kind in ("set", "reset", "form"):
        data["limits"][kind] |= {"width_s": WIDTH_S}
    data["levels"]["wl_on_v"] = 3.5
    return Board.model_validate(data)


BOARD = narrow_board()
CODES = st.one_of(st.integers(0, HIGHEST), st.integers(HIGHEST - 2, HIGHEST + 2), st.integers(0, 0xFFFF))
FRAMES = st.one_of(
    st.builds(lambda channel, code: ((8 + channel) << 16) | code, st.integers(0, 7), CODES),
    st.builds(lambda register, data: (register << 16) | data, st.integers(0, 7), st.integers(0, 0xFFFF)),
    st.sampled_from((LDAC, write_frame(dac80508.GAIN, 0x00FF), 0x02FFFF, 0x020000)),
)
WIDTHS = st.one_of(st.integers(100, 1000), st.sampled_from((1, 99, 1001)), st.integers(1, 1 << 20))


@st.composite
def streams(draw):
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    count, highest = draw(st.integers(1, 3)), draw(st.sampled_from((HIGHEST, HIGHEST + 1, 0xFFFF)))
    if draw(st.booleans()):
        codes = rng.integers(0, highest, (count, 4, 8), np.uint16, endpoint=True)
        return Mvm(codes, 0x0F, LDAC, 800, (0x7FF,), 16, 0xFF, 100)
    codes = rng.integers(0, highest, (count, 8, 8), np.uint16, endpoint=True)
    widths = np.array(draw(st.lists(WIDTHS, min_size=count, max_size=count)), np.uint32)
    return Pulses(codes, 0xFF, LDAC, draw(st.sampled_from((800, 10_000))), widths)


INSTRUCTIONS = st.one_of(
    st.builds(lambda dac, frame: SpiWrite(1 << dac, (frame,)), st.integers(0, 7), FRAMES),
    st.builds(Pulse, WIDTHS),
    st.builds(Wait, st.sampled_from((10, 9_000, 20_000))),
    st.builds(Shift, st.sampled_from((16, 16, 8)), st.integers(0, 0xFF)),
    st.builds(Gate, st.booleans()),
    st.builds(OutputEnable, st.booleans()),
    streams(),
)
PROGRAMS = st.lists(st.lists(INSTRUCTIONS, min_size=1, max_size=6), min_size=1, max_size=4)


def ready():
    program = Program([Gate(False)])
    DacBank(Dac80508(), 8).initialise(program, BOARD.timing, np.zeros((8, 8), np.uint16))
    return program


@pytest.fixture(params=["mock", "rtl"], scope="module")
def make(request):
    """``make()``: a bridge that has just been configured, and the model behind it."""
    if request.param == "rtl" and MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}")
    made = open_bridge("mock", board=BOARD)
    opened = []

    def make():
        while opened:
            opened.pop().close()
        bridge = deepcopy(made) if request.param == "mock" else open_bridge("rtl", board=BOARD)
        bridge.configure(BOARD.sequencer())
        bridge.run(ready())
        opened.append(bridge)
        return bridge

    yield make
    while opened:
        opened.pop().close()


def beyond(program):
    """Whether a program asks for what the sequencer's limits forbid; written without their implementation."""
    for it in program.expanded():
        if isinstance(it, SpiWrite):
            for frame in it.frames:
                register, data = frame >> 16, frame & 0xFFFF
                if register >= 8 and data > HIGHEST:
                    return True
        if isinstance(it, Pulse) and not WIDTH_S[0] <= it.width * 1e-8 * (1 + 1e-12) <= WIDTH_S[1] * (1 + 1e-9):
            return True
    return False


@settings(max_examples=40, deadline=None)
@given(PROGRAMS)
def test_a_host_without_an_interlock_gets_no_line_beyond_its_limits(make, programs):
    bridge = make()
    for instructions in programs:
        program = Program(instructions)
        try:
            bridge.run(program)
            executed = True
        except BoardError:
            executed = False
        assert not (executed and beyond(program))
        # What the chip models have on their outputs, and what LDAC would put there.
        for chip in bridge.board.dacs:
            assert chip.active_code.max() <= HIGHEST
            assert chip._buffer_code.max() <= HIGHEST
        if not executed:
            assert not bridge.board.gate
            bridge.run(ready())


def test_no_later_configuration_of_a_mutated_host_loosens_them(make):
    bridge = make()
    for changed in ({"limits": load_board().limits}, {"limits": BOARD.limits.model_copy(update={"bl_v": (0.0, 4.1)})}):
        looser = BOARD.model_copy(update=changed)
        with pytest.raises(BoardError, match="differs from what the board holds since it was first configured"):
            bridge.configure(looser.sequencer())
    with pytest.raises(LimitError):
        bridge.run(Program([SpiWrite(1, ((8 << 16) | (HIGHEST + 1),))]))


def test_an_interlock_that_follows_nothing_lets_no_more_through_than_the_sequencer(make, mocker):
    interlock = Interlock(make(), BOARD)
    mocker.patch.object(Interlock, "_follow")
    for instruction in (SpiWrite(1, ((8 << 16) | 0xFFFF,)), Pulse(1001), Pulse(99), Shift(8, 0)):
        with pytest.raises(LimitError, match="sequencer limits, latched"):
            interlock.run(Program([instruction]))
    interlock.run(ready())
    interlock.run(Program([Wait(20_000), Pulse(100)]))
    with pytest.raises(LimitError, match="cycles between the starts of two pulses"):
        interlock.run(Program([Pulse(100)]))
