"""Byte streams that frames travel on: TCP and serial ports, and the addresses that name them."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

from firmware_bridge.errors import ConnectionLost, ProtocolError
from firmware_bridge.exclusive import Exclusive

DEFAULT_BAUD = 921600
TCP_SEND_TIMEOUT_S = 5.0
"""Half of the usual lease: a client that does not read is lost."""
SERIAL_SEND_TIMEOUT_S = 30.0
"""Three times what a full program takes at 115 200 baud."""
CONNECT_TIMEOUT_S = 5.0
MIN_TOKEN, MAX_TOKEN = 16, 256
"""Length of a token, characters."""
_CHUNK = 1 << 17


class LinkDown(ConnectionError):
    """The other end is gone, or the device is."""


class Link(Protocol):
    """A stream of bytes in both directions."""

    name: str
    seconds_per_byte: float
    """What a byte takes on the line; 0 where that is not worth counting."""

    def fileno(self) -> int:
        """For `select`."""

    def send(self, data: bytes) -> None:
        """All of `data`. Raises `LinkDown`; the last byte has then not left."""

    def receive(self, timeout_s: float) -> bytes:
        """What has arrived, after at most `timeout_s`; empty if nothing has. Raises `LinkDown`."""

    def close(self) -> None:
        """Let go of it."""


class Address(NamedTuple):
    """``tcp://host:port`` or ``serial:///dev/tty…?baud=…``, taken apart."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    baud: int = DEFAULT_BAUD

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises `ProtocolError` that says how an address is written."""
        try:
            url = urlsplit(text)
            query = parse_qs(url.query, strict_parsing=bool(url.query))
            if url.scheme == "tcp" and url.hostname and url.port is not None and not (url.path or query):
                return cls("tcp", host=url.hostname, port=url.port)
            if url.scheme == "serial" and url.path and not url.netloc and set(query) <= {"baud"}:
                baud = int(query.get("baud", [str(DEFAULT_BAUD)])[-1])
                if baud > 0:
                    return cls("serial", path=url.path, baud=baud)
        except ValueError:  # a port or a baud rate that is no number: told below with the rest
            pass
        raise ProtocolError(
            f"address {text!r} is neither tcp://HOST:PORT nor serial:///dev/TTY or serial:///dev/TTY?baud=RATE"
        )

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine, or the other end of a cable, can reach it."""
        if self.scheme == "serial":
            return True
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except OSError:
            return False
        return all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found)

    def refuse_open(self, token: str | None) -> None:
        """Raise `ProtocolError` for an address beyond this machine without a token, or a token that is none."""
        if token is None and not self.is_local:
            raise ProtocolError(
                f"{self.host} can be reached from other machines: set XBAR_TOKEN to a shared secret, or listen on "
                "127.0.0.1"
            )
        if token is not None and not MIN_TOKEN <= len(token) <= MAX_TOKEN:
            raise ProtocolError(f"the token has {len(token)} characters; it needs {MIN_TOKEN} to {MAX_TOKEN}")

    def connect(self) -> Link:
        """The link. Raises `ConnectionLost` if nobody is there."""
        if self.scheme == "serial":
            return SerialLink(self.path, self.baud)
        try:
            return TcpLink(socket.create_connection((self.host, self.port), timeout=CONNECT_TIMEOUT_S))
        except OSError as error:
            raise ConnectionLost(
                f"no board server at tcp://{self.host}:{self.port}: {error}; start it with xbar serve", executed=False
            ) from error


class TcpLink:
    """A connected socket."""

    seconds_per_byte = 0.0

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        # A frame is a whole message: waiting for more to send would only cost time.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host, port = connected.getpeername()[:2]
        self.name = f"{host}:{port}"

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(TCP_SEND_TIMEOUT_S)
            self._socket.sendall(data)
        except OSError as error:
            raise LinkDown(f"{self.name}: {error}") from error

    def receive(self, timeout_s: float) -> bytes:
        try:
            self._socket.settimeout(max(0.0, timeout_s))
            data = self._socket.recv(_CHUNK)
        except (TimeoutError, BlockingIOError):
            return b""
        except OSError as error:
            raise LinkDown(f"{self.name}: {error}") from error
        if not data:
            raise LinkDown(f"{self.name} closed the connection")
        return data

    def close(self) -> None:
        self._socket.close()


class SerialLink:
    """A serial port, 8N1, held exclusively."""

    def __init__(self, path: str, baud: int = DEFAULT_BAUD) -> None:
        """Raises `ConnectionLost` if the port cannot be opened, `BoardInUse` if another process has it."""
        import serial

        self.name = path
        self.seconds_per_byte = 10 / baud
        # The port has a lock of its own, against programs that are not of this project, but that names nobody.
        self._lock = Exclusive.device(os.path.realpath(path), f"serial port {path}")
        try:
            self._port = serial.Serial(path, baud, timeout=0, write_timeout=SERIAL_SEND_TIMEOUT_S, exclusive=True)
        except (OSError, ValueError) as error:
            self._lock.close()
            raise ConnectionLost(f"serial port {path} at {baud} baud: {error}", executed=False) from error

    def fileno(self) -> int:
        return int(self._port.fileno())

    def send(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except OSError as error:
            raise LinkDown(f"{self.name}: {error}") from error

    def receive(self, timeout_s: float) -> bytes:
        try:
            self._port.timeout = max(0.0, timeout_s)
            # One byte is waited for, the rest taken as it is.
            data: bytes = self._port.read(1)
            return data + self._port.read(self._port.in_waiting) if data else b""
        except OSError as error:
            raise LinkDown(f"{self.name}: {error}") from error

    def close(self) -> None:
        self._port.close()
        self._lock.close()
