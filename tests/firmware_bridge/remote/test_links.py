"""Addresses and links by themselves: how they are written, who can reach them, what a byte takes."""

import os
import pty
import socket

import pytest

from firmware_bridge.errors import ConnectionLost, ProtocolError
from firmware_bridge.remote.links import MAX_TOKEN, MIN_TOKEN, Address, LinkDown, SerialLink, TcpLink


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://lab:7706", Address("tcp", host="lab", port=7706)),
        ("tcp://[::1]:0", Address("tcp", host="::1", port=0)),
        ("serial:///dev/ttyUSB0?baud=9600", Address("serial", path="/dev/ttyUSB0", baud=9600)),
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
