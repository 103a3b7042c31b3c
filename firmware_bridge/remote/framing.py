"""Frames on the wire: COBS between zero bytes, with a header and a CRC.

::

    00 | COBS( version kind reserved sequence session | body | CRC-32 ) | 00

COBS takes every zero out of a frame, so a receiver that has lost its place finds it again at the next zero byte,
whatever the link did. A frame begins with a zero as well: what an interrupted sender left behind then spoils itself
and not the frame that follows. CRC-32 is that of IEEE 802.3 (zlib's); everything is little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from cobs import cobs

PROTOCOL_VERSION = 1
_HEADER = struct.Struct("<BBHIQ")
_CRC = struct.Struct("<I")
OVERHEAD = _HEADER.size + _CRC.size
"""Bytes of a frame, before COBS, that are not its body."""
MAX_SEQUENCE = (1 << 32) - 1


class Kind(IntEnum):
    """What a frame asks, and what it answers."""

    HELLO = 1
    IDENTIFY = 2
    CONFIGURE = 3
    RUN = 4
    RESET = 5
    SAFE = 6
    PING = 7
    CLOSE = 8
    FATE = 9
    """Ask what became of a session and of the request with this sequence number; executes nothing."""
    DONE = 64
    WELCOME = 65
    IDENTITY = 66
    RESULT = 67
    ERROR = 68
    """The request was executed, or refused, and this is the board's error."""
    OVER = 69
    """The session has ended; the body says why, and what became of the request."""
    REFUSED = 70
    """No session was opened; the body is the error."""


REQUESTS = frozenset(k for k in Kind if k < Kind.DONE)


@dataclass(frozen=True)
class Frame:
    """One message. `session` and `sequence` say which request it is, or which one it answers."""

    kind: Kind
    session: int
    sequence: int
    body: bytes | memoryview = b""


class Malformed(ValueError):
    """Bytes between two delimiters that are no frame."""


class WrongVersion(Malformed):
    """A frame that arrived intact, in another version of this protocol."""


def encode(frame: Frame, *, version: int = PROTOCOL_VERSION) -> bytes:
    """The bytes of a frame, delimiters included."""
    header = _HEADER.pack(version, frame.kind, 0, frame.sequence, frame.session)
    crc = zlib.crc32(frame.body, zlib.crc32(header))
    return b"".join((b"\0", cobs.encode(b"".join((header, frame.body, _CRC.pack(crc)))), b"\0"))


def decode(encoded: bytes) -> Frame:
    """The frame in what stood between two delimiters. Raises `Malformed`."""
    try:
        data = cobs.decode(encoded)
    except cobs.DecodeError as error:
        raise Malformed(f"not COBS: {error}") from error
    if len(data) < OVERHEAD:
        raise Malformed(f"{len(data)} bytes; a frame has at least {OVERHEAD}")
    end = len(data) - _CRC.size
    view = memoryview(data)  # programs and results are long: no copies of them
    if zlib.crc32(view[:end]) != _CRC.unpack_from(data, end)[0]:
        raise Malformed("wrong CRC")
    version, kind, reserved, sequence, session = _HEADER.unpack_from(data)
    if version != PROTOCOL_VERSION:
        raise WrongVersion(f"the other side speaks protocol version {version}, this one {PROTOCOL_VERSION}")
    if reserved:
        raise Malformed(f"reserved bits {reserved:#x} are set")
    try:
        return Frame(Kind(kind), session, sequence, view[_HEADER.size : end])
    except ValueError as error:
        raise Malformed(f"unknown kind {kind}") from error


class FrameReader:
    """Cuts a stream of bytes into what stands between delimiters; holds at most `max_bytes` of it."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.oversized = 0
        """Stretches without a delimiter that were longer than `max_bytes`, and dropped."""
        self._parts: list[bytes] = []
        self._held = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The encoded frames that `data` completes, empty ones left out."""
        *ends, rest = data.split(b"\0")
        done = []
        for end in ends:
            self._hold(end)
            if self._held and not self._skipping:
                done.append(b"".join(self._parts))
            self._forget()
            self._skipping = False
        self._hold(rest)
        return done

    def _hold(self, part: bytes) -> None:
        if not part or self._skipping:
            return
        self._held += len(part)
        if self._held > self.max_bytes:
            self._forget()
            self._skipping = True
            self.oversized += 1
        else:
            self._parts.append(part)

    def _forget(self) -> None:
        self._parts, self._held = [], 0
