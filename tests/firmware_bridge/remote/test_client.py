"""How long a client waits and for what, what it asks of a lost server, and what it never sends."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from firmware_bridge.bridge import SequencerConfig
from firmware_bridge.errors import BoardError, ConnectionLost, ProtocolError
from firmware_bridge.isa import Collect, Nop, Pulse, SpiRead, Wait
from firmware_bridge.program import Program
from firmware_bridge.remote import client
from firmware_bridge.remote.client import ANSWER_S, ATTEMPTS, RECONNECTS_S, RemoteBridge
from firmware_bridge.remote.faults import Planned
from firmware_bridge.remote.framing import OVERHEAD, Frame, FrameReader, Kind, decode, encode
from firmware_bridge.remote.links import LinkDown
from firmware_bridge.timing import SequencerTiming

DEAF = [("drop", 0, 0)] * (ATTEMPTS - 1)


class Time:
    """Stands still, and tells how long somebody wanted to sleep."""

    def __init__(self):
        self.slept = []

    def monotonic(self):
        return 500.0

    def sleep(self, seconds):
        self.slept.append(seconds)


@pytest.fixture
def still(monkeypatch):
    still = Time()
    monkeypatch.setattr(client, "time", still)
    return still


# -- patience ----------------------------------------------------------------------------------------------------------
def test_an_answer_is_waited_for_twice_as_long_from_one_repeat_to_the_next(network, still, remote):
    network.up = Planned(list(DEAF))
    remote.reset()
    assert network.links[0].patience_s == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("n", [0, 7])
def test_on_a_slow_line_the_bytes_of_a_request_and_its_answer_are_waited_for_as_well(network, still, remote, n):
    network.links[0].seconds_per_byte = 10 / 115200
    network.up = Planned([("drop", 0, 0)])
    program = Program([Nop(), *[SpiRead(0xFF, (0x810000,) * 8)] * n])
    remote.run(program)
    sent = len(encode(Frame(Kind.RUN, remote._session, 1, program.words().tobytes())))
    expected = ANSWER_S + (sent + 256 + 4 * 8 * n) * 1.01 * 10 / 115200
    assert network.links[0].patience_s == pytest.approx([expected], rel=1e-12)


def test_the_answer_to_what_is_no_program_is_short(network, still, remote):
    network.links[0].seconds_per_byte = 1.0
    network.up = Planned([("drop", 0, 0)])
    remote.reset()
    sent = len(encode(Frame(Kind.RESET, remote._session, 1)))
    assert network.links[0].patience_s == pytest.approx([ANSWER_S + 1.01 * (sent + 256)], rel=1e-12)


def test_a_program_that_the_board_will_refuse_is_not_waited_for(network, still, remote):
    program = Program([Wait(10**9), Pulse(5), Collect()])
    with pytest.raises(BoardError):
        program.cycles(remote._timing)
    network.up = Planned(DEAF[:2])
    network.bridge.error = ProtocolError("COLLECT without SAMPLE")
    with pytest.raises(ProtocolError, match="without SAMPLE"):
        remote.run(program)
    assert network.links[0].patience_s == [ANSWER_S, 2 * ANSWER_S]


def test_a_program_is_waited_for_by_the_timing_that_was_configured(network, still, remote):
    config = network.bridge.config
    slow = config.model_copy(update={"timing": config.timing.model_copy(update={"clock_hz": 50e6})})
    remote.configure(slow)
    network.up = Planned(DEAF[:2])
    remote.run(Program([Wait(10**8)]))
    assert network.links[0].patience_s == pytest.approx([1.0, 2.0 + (10**8 + 3) / 50e6], rel=1e-12)


# -- a lost server -----------------------------------------------------------------------------------------------------
def test_a_lost_server_is_looked_for_after_each_of_the_waits_and_the_old_link_is_closed(network, still, remote):
    remote._reconnects_s = RECONNECTS_S
    network.up = lambda data: None
    network.reachable = False
    with pytest.raises(ConnectionLost, match="the server cannot be reached"):
        remote.run(Program([Nop()]))
    assert still.slept == list(RECONNECTS_S)
    assert network.links[0].is_down
    assert RECONNECTS_S == (0.05, 0.5, 2.0)  # as docs/remote.md says, and well within the usual lease


def test_a_server_that_is_back_at_the_last_look_still_tells(network, still, remote):
    remote._reconnects_s = RECONNECTS_S
    network.down = Planned([("cut", 0, 0)])
    looked = []
    connect = remote._connect

    def later():
        looked.append(len(still.slept))
        if len(looked) < len(RECONNECTS_S):
            raise LinkDown("not yet")
        return connect()

    remote._connect = later
    with pytest.raises(ConnectionLost, match="the program was executed") as lost:
        remote.run(Program([Nop()]))
    assert lost.value.executed is True
    assert looked == [1, 2, 3]


def test_the_fate_is_waited_for_as_long_as_a_first_answer(network, still, remote):
    network.up = Planned([("drop", 0, 0)] * (ATTEMPTS + 1))
    with pytest.raises(ConnectionLost):
        remote.run(Program([Nop()]))
    assert network.links[1].patience_s == [ANSWER_S]
    # Each look is over a link of its own, and none is left open.
    assert len(network.links) == 3
    assert all(link.is_down for link in network.links)


def test_the_fate_is_asked_for_by_the_number_of_the_request(network, remote):
    remote.reset()
    remote.reset()
    asked = []

    def up(data):
        asked.extend(decode(encoded) for encoded in FrameReader(4096).feed(data))
        return [data] if asked[-1].kind is Kind.FATE else None

    network.up = up
    with pytest.raises(ConnectionLost):
        remote.run(Program([Nop()]))
    assert [(frame.kind, frame.sequence, frame.session) for frame in asked] == [
        (Kind.RUN, 3, remote._session), (Kind.FATE, 3, remote._session),
    ]  # fmt: skip


def test_what_was_lost_beside_a_program_was_not_a_program(network, remote):
    network.up = Planned([("cut", 0, 0)])
    with pytest.raises(ConnectionLost, match="no program was in flight; open the board anew") as lost:
        remote.reset()
    assert lost.value.executed is False


# -- what is sent ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n_words", [1, 59, 60, 122, 123, 124, 500])
def test_a_program_is_sent_if_its_frame_fits_whatever_is_in_it(network, remote, n_words):
    sent = []
    network.up = lambda data: sent.append(data) or [data]
    program = Program([Nop()] * (n_words - 1))
    n = 4 * n_words + OVERHEAD
    remote._max_frame = n * 255 // 254 + 1
    remote.run(program)
    assert len(sent[-1]) - 2 <= remote._max_frame
    # Without a zero COBS takes the most room.
    longest = encode(Frame(Kind.RUN, 2**64 - 1, 2**32 - 1, b"\xff" * 4 * n_words))
    assert len(longest) - 2 <= remote._max_frame
    remote._max_frame -= 1
    network.bridge.is_safe = False
    with pytest.raises(ProtocolError, match=f"the program has {n_words} words, {n * 255 // 254 + 1} bytes on the link"):
        remote.run(program)
    assert network.bridge.is_safe
    assert len(network.bridge.executed) == 1


def test_the_last_number_of_a_session_is_not_used_twice(network, remote):
    remote._sequence = 2**32 - 2
    remote.reset()
    with pytest.raises(ProtocolError, match="has used all its numbers; open another one"):
        remote.reset()
    remote._link.close()
    remote._closed = True


def test_numbers_follow_one_another_and_sessions_are_told_apart(network):
    first = network.open()
    first.reset()
    first.reset()
    assert first._sequence == 2
    first.close()
    second = network.open()
    assert second._session != first._session
    second.close()


def test_a_bridge_that_is_closed_has_let_go_of_link_and_lease(network):
    remote = network.open()
    assert not remote._stop.is_set()
    remote.close()
    assert remote._stop.is_set()
    assert network.links[0].is_down


def test_closing_is_said_to_the_server_which_on_a_serial_line_learns_of_it_by_nothing_else(network):
    remote = network.open()
    remote.close()
    assert network.desk._ended[remote._session].reason == "its client closed it"


def test_a_server_that_refuses_leaves_no_link_open(network):
    network.desk.token = "x" * 16
    with pytest.raises(ProtocolError, match="token is missing or wrong"):
        network.open()
    assert network.links[0].is_down


def test_a_session_that_is_over_is_closed_without_a_word(network):
    remote = network.open()
    network.pass_time(11.0)
    remote.close()
    assert network.bridge.is_safe


@pytest.mark.parametrize(("ask", "kind"), [("identify", "IDENTIFY"), ("reset", "RESET")])
def test_an_answer_of_the_wrong_kind_is_another_release(network, remote, ask, kind):
    def down(data):
        (encoded,) = FrameReader(4096).feed(data)
        frame = decode(encoded)
        return [encode(Frame(Kind.RESULT, frame.session, frame.sequence, bytes(12)))]

    network.down = down
    with pytest.raises(ProtocolError, match=f"the server answers {kind} with RESULT; it is of another release"):
        getattr(remote, ask)()
    network.down = Planned([])


def test_what_comes_back_of_a_request_is_no_answer(network, still, remote):
    # A line that echoes.
    network.up = lambda data: network.links[0].arrived.append(data) or [data]
    assert np.array_equal(remote.run(Program([Nop()])).words, [1])
    network.up = Planned([])


# -- the lease ---------------------------------------------------------------------------------------------------------
def test_a_sign_of_life_is_given_four_times_in_a_lease_by_a_thread_that_keeps_no_process_alive(network, mocker):
    thread = mocker.patch.object(threading, "Thread")
    remote = RemoteBridge(network.connect)
    options = thread.call_args.kwargs
    bridge, stop, every_s = options["args"]
    assert (bridge(), stop, every_s) == (remote, remote._stop, network.desk.lease_s / 4)
    assert options["daemon"] is True
    thread.return_value.start.assert_called_once_with()
    remote.close()


def test_signs_of_life_keep_a_lease_and_end_with_the_link(network):
    remote = network.open()
    waited = []

    class Stop:
        def wait(self, seconds):
            waited.append(seconds)
            network.pass_time(seconds)
            if len(waited) == 9:
                network.up = Planned([("cut", 0, 0)])
            return len(waited) > 20

    client._keep_alive(lambda: remote, Stop(), 2.5)
    assert waited == [2.5] * 9
    assert network.desk.counts.lapsed == 0
    assert remote._lost is not None


def test_signs_of_life_end_when_nobody_holds_the_bridge(network):
    waited = []
    client._keep_alive(lambda: None, type("Stop", (), {"wait": lambda self, s: waited.append(s)})(), 2.5)
    assert waited == [2.5]


# -- the bridge --------------------------------------------------------------------------------------------------------
def test_every_call_of_a_bridge_arrives(network, remote):
    config = SequencerConfig(safe_frames=(1, 2))
    remote.configure(config)
    assert network.bridge.config == config
    remote.reset()
    assert not network.bridge.is_safe
    remote.safe()
    assert network.bridge.is_safe
    result = remote.run(Program([Wait(1234)]))
    assert (result.cycles, result.words.tolist()) == (Program([Wait(1234)]).cycles(SequencerTiming()), [1])
    assert network.bridge.executed == [Program([Wait(1234)]).words().tobytes()]


def test_a_bridge_that_is_closed_stays_safe_and_refuses_programs(network):
    remote = network.open()
    remote.reset()
    remote.close()
    remote.close()
    remote.safe()
    assert network.bridge.is_safe
    with pytest.raises(ProtocolError, match="closed; open another one"):
        remote.run(Program([]))


def test_a_program_beyond_the_links_frame_is_refused_at_the_host_with_outputs_safe(network, remote):
    remote.reset()
    with pytest.raises(ProtocolError, match=r"the program has 300001 words.* which takes 1048576; cut it"):
        remote.run(Program([Wait(1)] * 150000))
    assert network.bridge.is_safe
    assert network.bridge.executed == []


def test_a_server_of_another_version_is_named_by_the_client(network):
    network.down = lambda data: [encode(decode(data[1:-1]), version=3)]
    with pytest.raises(ProtocolError, match="the other side speaks protocol version 3, this one 1; install the same"):
        network.open()
