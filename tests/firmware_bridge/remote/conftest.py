"""A board server and its client joined in memory: no sockets, no waiting, and every fault on the way at will."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from firmware_bridge.bridge import Identity, Result, SequencerConfig
from firmware_bridge.isa import ISA_HASH, ISA_VERSION
from firmware_bridge.program import Program
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.remote.desk import MAX_FRAME, Desk, Peer
from firmware_bridge.remote.faults import LinkFault
from firmware_bridge.remote.framing import FrameReader, encode
from firmware_bridge.remote.links import LinkDown
from firmware_bridge.timing import SequencerTiming


def intact(data: bytes) -> list[bytes] | None:
    return [data]


class Recorder:
    """A `Bridge` that records what it executes and whether its outputs are safe."""

    def __init__(self) -> None:
        self.executed: list[bytes] = []
        self.is_safe = False
        self.safes = 0
        self.error: BaseException | None = None
        self.config = SequencerConfig()

    def identify(self) -> Identity:
        return Identity("recorder", "0", ISA_VERSION, ISA_HASH, 8, 8, 32, 24576, 24576, 8)

    def configure(self, config: SequencerConfig) -> None:
        self.config = config

    def run(self, program: Program) -> Result:
        self.is_safe = False
        self.executed.append(program.words().tobytes())
        if self.error is not None:
            self.safe()
            raise self.error
        return Result(np.array([len(self.executed)], np.uint32), program.cycles(SequencerTiming()))

    def reset(self) -> None:
        self.is_safe = False

    def safe(self) -> None:
        self.is_safe = True
        self.safes += 1

    def close(self) -> None:
        self.safe()


class Network:
    """A desk, a clock, and links to it that do what `up` and `down` do to what is sent."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.bridge = Recorder()
        self.desk = Desk(self.bridge, clock=lambda: self.now_s)
        self.up: LinkFault = intact
        self.down: LinkFault = intact
        self.reachable = True
        self.links: list[MemoryLink] = []

    def connect(self) -> MemoryLink:
        if not self.reachable:
            raise LinkDown("nobody there")
        link = MemoryLink(self, f"host:{len(self.links)}")
        self.links.append(link)
        return link

    def open(self, *, token: str | None = None) -> RemoteBridge:
        return RemoteBridge(self.connect, token=token, reconnects_s=(0.0, 0.0), keep_alive=False)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.desk.tick()


class MemoryLink:
    """One connection; both ends of it."""

    seconds_per_byte = 0.0

    def __init__(self, network: Network, name: str) -> None:
        self.network, self.name = network, name
        self.peer = Peer(name)
        self.reader = FrameReader(MAX_FRAME)
        self.arrived: list[bytes] = []
        self.is_down = False
        self.patience_s: list[float] = []
        """What `receive` was given each time that nothing came."""

    def fileno(self) -> int:
        return -1

    def send(self, data: bytes) -> None:
        if self.is_down:
            raise LinkDown("it was cut")
        arriving = self.network.up(data)
        if arriving is None:
            self._cut()
            raise LinkDown("it was cut")
        for piece in arriving:
            for encoded in self.reader.feed(piece):
                answer = self.network.desk.handle(self.peer, encoded)
                if answer is not None and not self.is_down:
                    returning = self.network.down(encode(answer))
                    if returning is None:
                        self._cut()
                    else:
                        self.arrived += returning

    def receive(self, timeout_s: float) -> bytes:
        if self.arrived:
            return self.arrived.pop(0)
        if self.is_down:
            raise LinkDown("it was cut")
        self.patience_s.append(timeout_s)
        return b""

    def close(self) -> None:
        self._cut()

    def _cut(self) -> None:
        if not self.is_down:
            self.is_down = True
            self.network.desk.lost(self.peer)


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture(scope="session")
def make_network() -> Callable[[], Network]:
    return Network


@pytest.fixture
def remote(network: Network) -> Iterator[RemoteBridge]:
    bridge = network.open()
    yield bridge
    if bridge._lost is None:
        bridge.close()
