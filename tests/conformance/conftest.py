"""The bridges that the conformance suite runs on. Another one is one more line in `BRIDGES`: a name, and a function
from a seed to a context manager that opens it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from functools import cache

import pytest
from loopback import cable, serving
from needs import MISSING, MISSING_PYNQ

from drivers.board import load_board
from drivers.bridges import open_bridge
from firmware_bridge.bridge import Bridge, SequencerLimits
from firmware_bridge.remote import server
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.remote.links import Address

BOARD = load_board()
# Without the board's limits: what chips and the sequencer itself refuse is looked at here; limits have their own cases.
SEQUENCER = BOARD.sequencer().model_copy(update={"limits": SequencerLimits()})


@cache
def _as_made(seed: int) -> Bridge:
    return open_bridge("mock", board=BOARD, seed=seed)


def mock(seed: int) -> Bridge:
    """A copy of a board that has never been used costs an eighth of making one."""
    return deepcopy(_as_made(seed))


@contextmanager
def local(seed: int) -> Iterator[Bridge]:
    yield mock(seed)


@contextmanager
def gateware(seed: int) -> Iterator[Bridge]:
    if MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}")
    bridge = open_bridge("rtl", board=BOARD, seed=seed)
    yield bridge
    bridge.close()


@contextmanager
def over_pynq(seed: int) -> Iterator[Bridge]:
    if missing := [*MISSING, *MISSING_PYNQ]:
        pytest.skip(f"needs {', '.join(missing)}")
    from pynq_stage import StageBridge

    bridge = StageBridge(deepcopy(_as_made(seed)).board)
    yield bridge
    bridge.close()


@contextmanager
def over_tcp(seed: int) -> Iterator[Bridge]:
    with serving(mock(seed)) as there:
        bridge = RemoteBridge.open(there.address)
        yield bridge
        bridge.close()


@contextmanager
def over_serial(seed: int) -> Iterator[Bridge]:
    with cable() as (at_board, at_host, _), serving(mock(seed), Address.parse(f"serial://{at_board}")):
        bridge = RemoteBridge.open(f"serial://{at_host}")
        yield bridge
        bridge.close()


Open = Callable[[int], AbstractContextManager[Bridge]]
"""From a seed to a board just powered up."""
BRIDGES: dict[str, Open] = {
    "mock": local,
    "rtl": gateware,
    "pynq": over_pynq,
    "tcp": over_tcp,
    "serial": over_serial,
}
SEED = 5


@pytest.fixture(params=BRIDGES)
def bridge(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    """A board just powered up and configured as its board file says, behind each bridge in turn."""
    monkeypatch.setattr(server, "TICK_S", 0.002)
    with BRIDGES[request.param](SEED) as opened:
        opened.configure(SEQUENCER)
        yield opened


@pytest.fixture(params=BRIDGES)
def limited(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    """The same with the board's limits latched."""
    monkeypatch.setattr(server, "TICK_S", 0.002)
    with BRIDGES[request.param](SEED) as opened:
        opened.configure(BOARD.sequencer())
        yield opened


@pytest.fixture
def unused_mock() -> Bridge:
    """An equal board on the local mock, not yet configured."""
    return mock(SEED)


@pytest.fixture
def reference() -> Bridge:
    """An equal board on the local mock: what every bridge must agree with."""
    bridge = mock(SEED)
    bridge.configure(SEQUENCER)
    return bridge
