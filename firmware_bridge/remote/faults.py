"""Faults of the link to a board server: what is sent, and what arrives of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from firmware_bridge.remote.links import Link, LinkDown

LinkFault = Callable[[bytes], list[bytes] | None]
"""From the bytes that one side sends to those that arrive, in pieces; None cuts the link before the last of them."""


@dataclass
class Planned:
    """Applies a list of (kind, position, value), one to each thing that is sent, then none.

    Kinds: pass, drop (a missing acknowledgement, on the way down), double, late (overtaken by what is sent next), cut
    (the link), and at a byte `position`: flip (bits `value`), truncate, insert (`value`), cut inside.
    """

    planned: list[tuple[str, int, int]]
    late: list[bytes] = field(default_factory=list)

    def __call__(self, data: bytes) -> list[bytes] | None:
        kind, position, value = self.planned.pop(0) if self.planned else ("pass", 0, 0)
        at = position % len(data)
        before, self.late = self.late, []
        if kind == "cut":
            return None
        if kind == "late":
            self.late = [data]
            return before or [b""]
        now = {
            "pass": [data],
            "drop": [],
            "double": [data, data],
            "flip": [data[:at] + bytes([data[at] ^ value]) + data[at + 1 :]],
            "truncate": [data[:at]],
            "insert": [data[:at] + bytes([value]) + data[at:]],
            "cut inside": [data[:at]],
        }[kind]
        return now + before


@dataclass
class Dead:
    """Nothing arrives any more after `after` things that were sent."""

    after: int = 0

    def __call__(self, data: bytes) -> list[bytes]:
        self.after -= 1
        return [data] if self.after >= 0 else []


@dataclass
class Slow:
    """Everything arrives `delay_s` later."""

    delay_s: float

    def __call__(self, data: bytes) -> list[bytes]:
        time.sleep(self.delay_s)
        return [data]


class FaultyLink:
    """A `Link` with faults on the way up, to the server, and down.

    RemoteBridge(lambda: FaultyLink(Address.parse("tcp://127.0.0.1:7788").connect(), down=Dead(after=10)))
    """

    def __init__(self, link: Link, up: LinkFault | None = None, down: LinkFault | None = None) -> None:
        self.link, self.name, self.seconds_per_byte = link, link.name, link.seconds_per_byte
        self._up, self._down = up or Planned([]), down or Planned([])

    def fileno(self) -> int:
        return self.link.fileno()

    def send(self, data: bytes) -> None:
        for piece in self._through(self._up, data):
            self.link.send(piece)

    def receive(self, timeout_s: float) -> bytes:
        data = self.link.receive(timeout_s)
        return b"".join(self._through(self._down, data)) if data else data

    def close(self) -> None:
        self.link.close()

    def _through(self, fault: LinkFault, data: bytes) -> Sequence[bytes]:
        arriving = fault(data)
        if arriving is None:
            self.link.close()
            raise LinkDown(f"{self.name} was cut")
        return arriving
