"""Addresses and links by themselves: how they are written, who can reach them, what a byte takes."""

import os
import pty
import socket

import pytest

from firmware_bridge.errors import ConnectionLost, ProtocolError
from firmware_bridge.exclusive import BoardInUse
from firmware_bridge.isa import Nop
from firmware_bridge.program import Program
from firmware_bridge.remote.desk import MAX_FRAME
from firmware_bridge.remote.links import (
    CONNECT_TIMEOUT_S,
    MAX_TOKEN,
    MIN_TOKEN,
    SERIAL_SEND_TIMEOUT_S,
    TCP_SEND_TIMEOUT_S,
    Address,
    LinkDown,
    SerialLink,
    TcpLink,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://lab:7706", Address("tcp", host="lab", port=7706)),
        ("tcp://[::1]:0", Address("tcp", host="::1", port=0)),
        ("serial:///dev/ttyUSB0?baud=9600", Address("serial", path="/dev/ttyUSB0", baud=9600)),
        ("serial:///dev/ttyUSB0?baud=1", Address("serial", path="/dev/ttyUSB0", baud=1)),
        ("serial:///dev/ttyUSB0", Address("serial", path="/dev/ttyUSB0")),
    ],
)
def test_an_address_is_taken_apart(text, address):
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *(
            "tcp://lab",
            "tcp://:7706",
            "tcp://lab:70000",
            "tcp://lab:7706/board",
            "tcp://lab:7706?baud=9600",
            "lab:7706",
        ),
        *("serial://", "serial://lab/dev/ttyUSB0", "serial:///dev/ttyUSB0?parity=odd", "serial:///dev/ttyUSB0?baud=0"),
        *("serial:///dev/ttyUSB0?baud=-1", "serial:///dev/ttyUSB0?baud=fast", "serial:///dev/ttyUSB0?baud", ""),
    ],
)
def test_anything_else_is_refused_with_how_it_is_written(text):
    with pytest.raises(ProtocolError, match=r"is neither tcp://HOST:PORT nor serial:///dev/TTY or"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("tcp://127.0.0.1:1", True),
        ("tcp://[::1]:1", True),
        ("tcp://192.0.2.1:1", False),
        ("tcp://0.0.0.0:1", False),
        ("serial:///dev/ttyUSB0", True),
    ],
)
def test_who_can_reach_an_address_decides_whether_it_needs_a_token(text, local):
    address = Address.parse(text)
    assert address.is_local is local
    if not local:
        with pytest.raises(ProtocolError, match="set XBAR_TOKEN to a shared secret"):
            address.refuse_open(None)
    else:
        address.refuse_open(None)
    for length in (MIN_TOKEN, MAX_TOKEN):
        address.refuse_open("t" * length)
    for length in (MIN_TOKEN - 1, MAX_TOKEN + 1):
        with pytest.raises(ProtocolError, match=f"the token has {length} characters"):
            address.refuse_open("t" * length)


def test_a_socket_carries_both_ways_waits_as_long_as_it_is_told_and_says_when_it_is_closed():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = Address.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}").connect()
        accepted, _ = listener.accept()
        far = TcpLink(accepted)
        assert link.receive(0.0) == far.receive(-1.0) == b""
        link.send(b"up")
        far.send(b"down")
        assert (far.receive(5.0), link.receive(5.0)) == (b"up", b"down")
        assert link.name == f"127.0.0.1:{listener.getsockname()[1]}"
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        # Bytes cost nothing beside what answers take.
        assert link.seconds_per_byte == 0
        assert link.fileno() >= 0
        far.close()
        with pytest.raises(LinkDown, match="closed the connection"):
            link.receive(5.0)
        link.close()
        assert link.fileno() == -1


def test_where_nobody_listens_no_program_was_executed():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionLost, match=f"no board server at tcp://127.0.0.1:{port}") as lost:
        Address.parse(f"tcp://127.0.0.1:{port}").connect()
    assert lost.value.executed is False


def test_a_serial_byte_is_ten_bits():
    near, far = pty.openpty()
    link = SerialLink(os.ttyname(far), 19200)
    assert link.seconds_per_byte * 19200 == pytest.approx(10)
    link.send(b"up")
    assert os.read(near, 16) == b"up"
    assert link.receive(0.0) == b""
    os.write(near, b"down")
    assert link.receive(5.0)
    link.close()
    # Its lock is free again.
    SerialLink(os.ttyname(far), 19200).close()
    os.close(near)
    os.close(far)


def test_a_port_that_cannot_be_opened_leaves_no_lock(tmp_path):
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="at 9600 baud"):
            SerialLink(str(tmp_path / "tty"), 9600)


# -- what is waited for, and how long ----------------------------------------------------------------------------------


class Socket:
    """A connected socket that says what it was asked."""

    def __init__(self, answer=b""):
        self.asked, self.answer = [], answer

    def setsockopt(self, *option):
        self.asked.append(("option", *option))

    def getpeername(self):
        return "192.0.2.7", 4711, 0, 0  # as four of IPv6

    def settimeout(self, seconds):
        self.asked.append(("timeout", seconds))

    def sendall(self, data):
        self.asked.append(("send", data))
        self.recv(0)

    def recv(self, most):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_frame_is_sent_at_once_and_a_client_that_does_not_read_is_lost_before_its_lease_is():
    near = Socket()
    link = TcpLink(near)
    assert near.asked == [("option", socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    assert link.name == "192.0.2.7:4711"
    near.asked.clear()
    link.send(b"up")
    assert near.asked == [("timeout", TCP_SEND_TIMEOUT_S), ("send", b"up")]
    assert TCP_SEND_TIMEOUT_S <= 10.0 / 2  # the usual lease


@pytest.mark.parametrize(("asked_s", "waited_s"), [(-3.0, 0.0), (0.0, 0.0), (0.25, 0.25), (7.0, 7.0)])
def test_as_long_as_was_asked_is_waited_and_never_for_ever(asked_s, waited_s):
    near = Socket(b"down")
    link = TcpLink(near)
    assert link.receive(asked_s) == b"down"
    assert near.asked[1:] == [("timeout", waited_s)]


@pytest.mark.parametrize(
    ("error", "down"),
    [(TimeoutError(), False), (BlockingIOError(), False), (ConnectionResetError("reset"), True), (OSError("x"), True)],
)
def test_nothing_yet_is_told_from_a_link_that_is_gone(error, down):
    link = TcpLink(Socket(error))
    if down:
        with pytest.raises(LinkDown, match=r"192\.0\.2\.7:4711: "):
            link.receive(1.0)
    else:
        assert link.receive(1.0) == b""
    # Nothing that was to be sent is ever let drop in silence.
    with pytest.raises(LinkDown, match=r"192\.0\.2\.7:4711: "):
        link.send(b"up")


def test_who_is_not_there_is_given_up_after_seconds(mocker):
    create = mocker.patch("socket.create_connection", side_effect=TimeoutError("timed out"))
    with pytest.raises(ConnectionLost, match="timed out; start it with xbar serve"):
        Address("tcp", "192.0.2.1", 7706).connect()
    create.assert_called_once_with(("192.0.2.1", 7706), timeout=CONNECT_TIMEOUT_S)
    assert 1.0 <= CONNECT_TIMEOUT_S <= 10.0


class Port:
    """A serial port that says how it was opened and what was asked of it."""

    def __init__(self, path, baud, **options):
        self.opened, self.asked, self.has, self.timeout = (path, baud, options), [], b"", None

    @property
    def in_waiting(self):
        return len(self.has)

    def fileno(self):
        return 77

    def write(self, data):
        if isinstance(self.has, Exception):
            raise self.has
        self.asked.append(data)

    def read(self, most):
        if isinstance(self.has, Exception):
            raise self.has
        self.asked.append((most, self.timeout))
        data, self.has = self.has[:most], self.has[most:]
        return data

    def close(self):
        self.asked.append("close")


@pytest.fixture
def port(mocker, tmp_path):
    mocker.patch("serial.Serial", side_effect=Port)
    path = tmp_path / "ttyUSB0"
    path.touch()
    link = Address("serial", path=str(path), baud=115200).connect()
    yield link
    link.close()


def test_a_port_is_opened_for_this_program_alone_at_the_rate_that_was_named(port):
    path, baud, options = port._port.opened
    assert (path, baud, port.name) == (port.name, 115200, path)
    assert options == {"timeout": 0, "write_timeout": SERIAL_SEND_TIMEOUT_S, "exclusive": True}
    assert port.fileno() == 77
    with pytest.raises(BoardInUse, match="serial port"):
        SerialLink(path)
    port.close()
    SerialLink(path).close()


def test_a_port_by_another_name_is_the_same_port(port, tmp_path):
    other = tmp_path / "by-id"
    other.symlink_to(port.name)
    with pytest.raises(BoardInUse):
        SerialLink(str(other))


def test_the_longest_program_is_sent_over_the_slowest_usual_line_in_half_of_what_is_allowed():
    words = Program([Nop()] * 24575).words()
    assert len(words) == 24576
    assert 10 / 115200 * words.nbytes * 255 / 254 < SERIAL_SEND_TIMEOUT_S / 2
    assert words.nbytes * 8 < MAX_FRAME


@pytest.mark.parametrize(("asked_s", "waited_s"), [(-1.0, 0.0), (0.0, 0.0), (2.5, 2.5)])
def test_one_byte_is_waited_for_and_all_that_is_there_is_taken(port, asked_s, waited_s):
    port._port.has = b"frame"
    assert port.receive(asked_s) == b"frame"
    assert port._port.asked == [(1, waited_s), (4, waited_s)]
    assert port.receive(asked_s) == b""
    assert port._port.asked[2:] == [(1, waited_s)]


@pytest.mark.parametrize("call", [lambda link: link.send(b"up"), lambda link: link.receive(0.0)])
def test_a_port_that_was_unplugged_is_a_link_that_is_down(port, call):
    port._port.has = OSError("device disconnected")
    with pytest.raises(LinkDown, match="ttyUSB0: device disconnected"):
        call(port)
    port._port.has = b""


@pytest.mark.parametrize("error", [OSError("denied"), ValueError("no such rate")])
def test_a_port_that_does_not_open_is_free_for_the_next_try(mocker, tmp_path, error):
    path = tmp_path / "ttyUSB1"
    path.touch()
    mocker.patch("serial.Serial", side_effect=error)
    for _ in range(2):
        with pytest.raises(ConnectionLost, match=f"serial port {path} at 9600 baud: {error}") as lost:
            SerialLink(str(path), 9600)
        assert lost.value.executed is False


def test_a_name_is_local_only_if_all_that_it_stands_for_is(mocker):
    def stands_for(*addresses):
        found = [(None, None, None, "", (address, 1)) for address in addresses]
        mocker.patch("socket.getaddrinfo", return_value=found)
        return Address("tcp", "lab", 1).is_local

    assert stands_for("127.0.0.1", "::1")
    assert not stands_for("127.0.0.1", "192.0.2.1")
    assert not stands_for("192.0.2.1")
    mocker.patch("socket.getaddrinfo", side_effect=OSError("unknown"))
    assert not Address("tcp", "lab", 1).is_local
    mocker.patch("socket.getaddrinfo", side_effect=AssertionError("nobody is asked"))
    assert Address("serial", path="/dev/ttyUSB0").is_local
