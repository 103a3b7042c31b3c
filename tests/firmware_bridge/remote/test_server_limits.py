"""How many connections a server keeps, for how long, and what one may send: each limit at its bound and one beyond.

The server's own clock, and links in memory behind its listener: nothing waits.
"""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from pathlib import Path

import pytest

from firmware_bridge.errors import ConnectionLost
from firmware_bridge.isa import ISA_HASH, ISA_VERSION
from firmware_bridge.remote import server as server_module
from firmware_bridge.remote.desk import LEASE_S, MAX_FRAME, REMEMBERED
from firmware_bridge.remote.framing import Frame, Kind, encode
from firmware_bridge.remote.links import MAX_TOKEN, MIN_TOKEN, Address, LinkDown
from firmware_bridge.remote.messages import Hello
from firmware_bridge.remote.server import HANDSHAKE_S, MAX_CONNECTIONS, MAX_WAITING, Server, listen_at

ROOT = Path(__file__).parents[3]
HELLO = Hello(isa_version=ISA_VERSION, isa_hash=ISA_HASH).body()


class FakeLink:
    """A link that has sent what a test gives it. Its file is a socket that never becomes readable."""

    seconds_per_byte = 0.0

    def __init__(self, name):
        self.name, self.sent, self.arrived, self.closed, self.waits = name, [], deque(), 0, []
        self._near, self._far = socket.socketpair()

    def fileno(self):
        return self._near.fileno()

    def send(self, data):
        self.sent.append(data)

    def receive(self, timeout_s):
        self.waits.append(timeout_s)
        data = self.arrived.popleft()
        if isinstance(data, Exception):
            raise data
        return data

    def close(self):
        self.closed += 1
        self._near.close()
        self._far.close()


class Hall:
    """A server, its clock, and who comes."""

    def __init__(self, bridge, monkeypatch, address="tcp://127.0.0.1:0"):
        self.now_s = 100.0
        self.came = 0
        monkeypatch.setattr(server_module, "_now", lambda: self.now_s)
        monkeypatch.setattr(server_module, "TcpLink", lambda accepted: accepted)
        monkeypatch.setattr(server_module, "SerialLink", lambda path, baud: FakeLink(path))
        self.server = Server(bridge, Address.parse(address))
        if self.server._listener is not None:
            self.server._listener.close()
            self.server._selector.unregister(self.server._listener)
            self.server._listener = self
        self.next = None

    def accept(self):
        if isinstance(self.next, Exception):
            raise self.next
        return self.next, None

    def close(self):
        pass

    def come(self):
        self.came += 1
        self.next = FakeLink(f"host{self.came}:1")
        self.server._accept()
        return self.next

    def connection(self, link):
        return next(c for c in self.server._connections if c.link is link)

    def says(self, link, data):
        link.arrived.append(data)
        self.server._receive(self.connection(link))

    def visits(self):
        """Opens a session and closes it; stays connected."""
        link = self.come()
        self.says(link, encode(Frame(Kind.HELLO, self.came, 0, HELLO)))
        self.says(link, encode(Frame(Kind.CLOSE, self.came, 1)))
        assert len(link.sent) == 2
        return link

    def turn(self):
        """One turn of the server's loop."""
        turns = iter([False, True])
        self.server.serve(lambda: next(turns))


@pytest.fixture
def hall(network, monkeypatch):
    hall = Hall(network.bridge, monkeypatch)
    monkeypatch.setattr(server_module, "TICK_S", 0.0)
    yield hall
    hall.server.close()


@pytest.fixture
def line(network, monkeypatch):
    hall = Hall(network.bridge, monkeypatch, "serial:///dev/ttyS9")
    monkeypatch.setattr(server_module, "TICK_S", 0.0)
    yield hall
    hall.server.close()


def test_who_opens_no_session_is_sent_away_when_the_time_for_it_is_over_and_not_before(hall):
    silent, guest = hall.come(), hall.visits()
    hall.now_s += HANDSHAKE_S
    hall.turn()
    assert not silent.closed
    hall.now_s += 1e-3
    hall.turn()
    assert (silent.closed, guest.closed) == (1, 0)
    assert {c.link for c in hall.server._connections} == {guest}


def test_on_a_serial_line_there_is_no_time_to_open_a_session_in(line):
    line.now_s += 100 * HANDSHAKE_S
    line.turn()
    (connection,) = line.server._connections
    assert not connection.link.closed


def test_one_stranger_too_many_takes_the_place_of_the_one_who_has_waited_longest(hall):
    guest = hall.visits()
    strangers = []
    for _ in range(MAX_WAITING):
        hall.now_s += 0.1
        strangers.append(hall.come())
    assert not any(link.closed for link in strangers)
    late = hall.come()
    assert [link.closed for link in strangers] == [1] + [0] * (MAX_WAITING - 1)
    assert not late.closed
    assert not guest.closed


def test_one_connection_too_many_is_closed_at_once_and_a_place_that_is_left_is_taken(hall, caplog):
    guests = [hall.visits() for _ in range(MAX_CONNECTIONS - 1)]
    last = hall.come()
    assert not last.closed
    with caplog.at_level(logging.WARNING):
        refused = hall.come()
    assert refused.closed == 1
    assert refused.name in caplog.text
    assert len(hall.server._connections) == MAX_CONNECTIONS
    hall.says(guests[0], LinkDown("it hung up"))
    assert guests[0].closed == 1
    assert not hall.come().closed


def test_the_limits_are_those_that_the_documentation_states(network):
    page = " ".join((ROOT / "docs" / "remote.md").read_text().split())
    for stated in (
        f"Frames are bounded ({MAX_FRAME / 2**20:g} MiB), so are connections ({MAX_CONNECTIONS})",
        f"have not opened a session ({MAX_WAITING}; one more takes the place of the oldest)",
        f"the time to open one ({HANDSHAKE_S:g} s), and what is remembered of old sessions ({REMEMBERED})",
        f"nothing is heard for the lease ({LEASE_S:g} s;",
        f"`XBAR_TOKEN`, {MIN_TOKEN} to {MAX_TOKEN} characters",
    ):
        assert stated in page
    assert network.desk.lease_s == LEASE_S


def test_a_server_gives_the_lease_that_it_was_told_and_else_the_usual_one(network):
    for options, lease_s in (({}, LEASE_S), ({"lease_s": 3.0}, 3.0)):
        with Server(network.bridge, Address.parse("tcp://127.0.0.1:0"), **options) as server:
            assert server.desk.lease_s == lease_s


def test_a_connection_that_was_gone_before_it_was_taken_costs_nothing(hall):
    hall.next = OSError("gone")
    hall.server._accept()
    assert not hall.server._connections


@pytest.mark.parametrize(("length", "kept"), [(MAX_FRAME, True), (MAX_FRAME + 1, False)])
def test_a_stretch_without_a_delimiter_closes_its_connection_once_it_is_longer_than_any_frame(hall, length, kept):
    guest = hall.visits()
    hall.says(guest, b"x" * length)
    assert bool(guest.closed) is not kept
    assert hall.server.desk.counts.malformed == (not kept)


def test_a_stretch_that_is_too_long_on_a_serial_line_is_skipped_and_counted_once(line):
    (connection,) = line.server._connections
    link = connection.link
    line.says(link, b"x" * (MAX_FRAME + 1))
    assert line.server.desk.counts.malformed == 1
    line.says(link, b"x\0" + encode(Frame(Kind.HELLO, 1, 0, HELLO)))
    assert (line.server.desk.counts.malformed, len(link.sent), link.closed) == (1, 1, 0)


def test_a_serial_line_that_is_gone_ends_the_server_with_safe_outputs(line, network):
    (connection,) = line.server._connections
    line.says(connection.link, encode(Frame(Kind.HELLO, 1, 0, HELLO)))
    line.says(connection.link, encode(Frame(Kind.RESET, 1, 1)))
    assert not network.bridge.is_safe
    with pytest.raises(ConnectionLost, match=r"serial port /dev/ttyS9: unplugged; the outputs are safe") as lost:
        line.says(connection.link, LinkDown("unplugged"))
    assert lost.value.executed is False
    assert network.bridge.is_safe


def test_noise_on_a_serial_line_sends_nobody_away(line):
    (connection,) = line.server._connections
    line.says(connection.link, b"login:\0")
    line.says(connection.link, encode(Frame(Kind.HELLO, 1, 5, HELLO)))  # refused: a session begins with request 0
    line.says(connection.link, encode(Frame(Kind.HELLO, 2, 0, HELLO)))
    assert (len(connection.link.sent), connection.link.closed) == (2, 0)


def test_a_guest_may_send_noise_and_a_stranger_or_who_is_refused_may_not(hall):
    guest, stranger, refused = hall.visits(), hall.come(), hall.come()
    for link in (guest, stranger):
        hall.says(link, b"noise\0")
    hall.says(refused, encode(Frame(Kind.HELLO, 99, 5, HELLO)))
    assert (guest.closed, stranger.closed, refused.closed) == (0, 1, 1)
    assert len(refused.sent) == 1


def test_a_server_serves_until_it_is_interrupted_and_looks_at_the_lease_at_every_turn(hall, mocker):
    tick = mocker.patch.object(hall.server.desk, "tick", side_effect=[None, None, KeyboardInterrupt])
    with pytest.raises(KeyboardInterrupt):
        hall.server.serve()
    assert tick.call_count == 3


def test_a_link_is_never_waited_for(hall):
    assert set(hall.visits().waits) == {0.0}


def test_closing_makes_safe_first_and_then_closes_every_connection(hall, network, mocker):
    links = [hall.come(), hall.visits()]
    closed = []
    mocker.patch.object(network.bridge, "close", side_effect=lambda: closed.extend(link.closed for link in links))
    hall.server.close()
    assert closed == [0, 0]  # when the board was let go of
    assert [link.closed for link in links] == [1, 1]
    hall.server._selector = mocker.Mock()  # the fixture closes once more


def test_links_are_closed_even_if_the_board_cannot_be_made_safe(hall, network, mocker):
    link = hall.come()
    mocker.patch.object(network.bridge, "close", side_effect=OSError("the board is gone"))
    with pytest.raises(OSError, match="the board is gone"):
        hall.server.close()
    assert link.closed == 1
    mocker.patch.object(network.bridge, "close")
    hall.server._selector = mocker.Mock()


def test_leaving_a_server_ends_its_session_with_safe_outputs(network):
    with Server(network.bridge, Address.parse("tcp://127.0.0.1:0")) as server:
        host, port = server._listener.getsockname()[:2]
        assert server.address == f"tcp://{host}:{port}"
        listener, selector = server._listener, server._selector
        network.bridge.reset()
    assert network.bridge.is_safe
    assert listener.fileno() == -1
    assert selector.get_map() is None


def test_a_listener_neither_blocks_nor_keeps_its_port_from_the_next_server():
    with listen_at(Address.parse("tcp://127.0.0.1:0")) as listener:
        assert not listener.getblocking()
        assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert os.get_inheritable(listener.fileno()) is False


def test_a_listener_that_cannot_be_had_is_closed(mocker):
    made = mocker.spy(socket, "socket")
    with listen_at(Address.parse("tcp://127.0.0.1:0")) as taken:
        with pytest.raises(ConnectionLost, match="Address already in use; name another by --listen") as lost:
            listen_at(Address.parse(f"tcp://127.0.0.1:{taken.getsockname()[1]}"))
        assert lost.value.executed is False
        assert made.spy_return.fileno() == -1


def test_an_ipv6_address_is_named_so_that_it_can_be_used(network):
    try:
        server = Server(network.bridge, Address.parse("tcp://[::1]:0"))
    except ConnectionLost:
        pytest.skip("no IPv6 here")
    with server:
        assert Address.parse(server.address) == Address("tcp", host="::1", port=server._listener.getsockname()[1])
