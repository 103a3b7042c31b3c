"""The board server: a `Desk` behind a listening socket or a serial port. One thread; a program is never interrupted
by what happens on a link."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from firmware_bridge.bridge import Bridge
from firmware_bridge.errors import ConnectionLost
from firmware_bridge.remote.desk import LEASE_S, MAX_FRAME, Desk, Peer
from firmware_bridge.remote.framing import FrameReader, encode
from firmware_bridge.remote.links import Address, Link, LinkDown, SerialLink, TcpLink

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 8
MAX_WAITING = 4
"""Of them, those that have not opened a session. One more takes the place of the oldest, so that strangers who keep
their connections open keep nobody out."""
HANDSHAKE_S = 5.0
"""A connection that has not opened a session by then is closed."""
TICK_S = 0.05


@dataclass(eq=False)
class _Connection:
    link: Link
    peer: Peer
    reader: FrameReader
    since_s: float


class Server:
    """Serves `bridge` at one address. A context manager: leaving it makes the outputs safe.

    Raises `ProtocolError` for an address beyond this machine without a token, or a token that is none, and
    `ConnectionLost` if the address cannot be had.
    """

    def __init__(self, bridge: Bridge, address: Address, *, token: str | None = None, lease_s: float = LEASE_S) -> None:
        address.refuse_open(token)
        self.desk = Desk(bridge, token, lease_s)
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        if address.scheme == "serial":
            link = SerialLink(address.path, address.baud)
            self.address = f"serial://{address.path}?baud={address.baud}"
            self._selector = selectors.DefaultSelector()
            self._add(link)
        else:
            self._listener = listen_at(address)
            self._selector = selectors.DefaultSelector()
            host, port = self._listener.getsockname()[:2]
            self.address = f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"
            self._selector.register(self._listener, selectors.EVENT_READ)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Outputs safe first, then the links."""
        try:
            self.desk.close()
        finally:
            for connection in list(self._connections):
                self._remove(connection)
            if self._listener is not None:
                self._listener.close()
            self._selector.close()

    def serve(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Answer until `stop()`. Raises `ConnectionLost` when a serial port is gone."""
        while not stop():
            for key, _ in self._selector.select(TICK_S):
                if key.data is None:
                    self._accept()
                elif key.data in self._connections:
                    self._receive(key.data)
            self.desk.tick()
            for connection in list(self._connections):
                if self._listener and not connection.peer.welcome and _now() - connection.since_s > HANDSHAKE_S:
                    self._lose(connection, "no session was opened")

    # -- connections -----------------------------------------------------------------------------------------------
    def _accept(self) -> None:
        assert self._listener is not None
        try:
            accepted, _ = self._listener.accept()
            link = TcpLink(accepted)
        except OSError as error:  # gone before it was taken
            log.info("a connection was not accepted: %s", error)
            return
        waiting = sorted((c for c in self._connections if not c.peer.welcome), key=lambda c: c.since_s)
        if len(waiting) >= MAX_WAITING:
            self._lose(waiting[0], "others came while it opened no session")
        if len(self._connections) >= MAX_CONNECTIONS:
            log.warning("%s is one connection too many", link.name)
            link.close()
            return
        self._add(link)

    def _add(self, link: Link) -> None:
        connection = _Connection(link, Peer(link.name), FrameReader(MAX_FRAME), _now())
        self._connections.add(connection)
        self._selector.register(link.fileno(), selectors.EVENT_READ, connection)

    def _remove(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        self._selector.unregister(connection.link.fileno())
        connection.link.close()

    def _lose(self, connection: _Connection, why: str) -> None:
        log.info("%s: %s", connection.peer.name, why)
        self.desk.lost(connection.peer)
        self._remove(connection)
        if self._listener is None:
            raise ConnectionLost(f"serial port {connection.link.name}: {why}; the outputs are safe", executed=False)

    def _receive(self, connection: _Connection) -> None:
        peer, reader = connection.peer, connection.reader
        try:
            for encoded in reader.feed(connection.link.receive(0.0)):
                answer = self.desk.handle(peer, encoded)
                if answer is not None:
                    connection.link.send(encode(answer))
                if self._listener is not None and (peer.refused or (answer is None and not peer.welcome)):
                    return self._lose(connection, "refused")
        except LinkDown as error:
            return self._lose(connection, str(error))
        if reader.oversized:
            self.desk.counts.malformed += reader.oversized
            reader.oversized = 0
            # On a serial line there is nothing to close: the rest is skipped up to the next delimiter.
            if self._listener is not None:
                self._lose(connection, f"a frame above {MAX_FRAME} bytes")


def listen_at(address: Address) -> socket.socket:
    """A listening socket that does not block. Raises `ConnectionLost` if the address cannot be had."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(MAX_CONNECTIONS)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        asked = f"tcp://{address.host}:{address.port}"
        text = f"cannot listen on {asked}: {error.strerror or error}; name another by --listen"
        raise ConnectionLost(text, executed=False) from error
    return listener


def _now() -> float:
    return time.monotonic()
