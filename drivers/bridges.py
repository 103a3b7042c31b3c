"""`open_bridge`: from an address to a `Bridge`. Needs numpy and pydantic alone, so that a board can serve one."""

from __future__ import annotations

import os
from pathlib import Path

from drivers.board import Board
from firmware_bridge.bridge import Bridge
from firmware_bridge.errors import BoardError, ProtocolError
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.mock.dac_chips import CHIPS
from firmware_bridge.mock.rehearsal import RehearsalBridge
from firmware_bridge.remote.client import RemoteBridge
from firmware_bridge.rtl_bridge import RtlBridge
from firmware_bridge.rtl_build import RtlUnavailable
from firmware_bridge.zc706_bridge import Zc706Bridge, Zc706Unavailable

TOKEN_VARIABLE = "XBAR_TOKEN"
"""Environment variable with the token that a board server asks for. A command line would show it to everybody."""


class BackendUnavailable(BoardError):
    """An address that this release, or this installation, cannot open."""


def open_bridge(
    address: str, *, board: Board, seed: int = 0, mock: MockParams | None = None, vcd: Path | None = None
) -> Bridge:
    """The bridge at an address; see `drivers.connect.open_crossbar`, which is what a user calls."""
    scheme = address.partition(":")[0]
    if vcd is not None and address != "rtl":
        raise BackendUnavailable(f"vcd = {vcd}: backend {address!r} has no pins to record; use 'rtl'")
    if scheme in ("tcp", "serial"):
        return RemoteBridge.open(address, token=os.environ.get(TOKEN_VARIABLE))
    if scheme.partition("?")[0] == "zc706":
        try:
            return Zc706Bridge.open(board.wiring, address)
        except Zc706Unavailable as error:
            raise BackendUnavailable(f"backend {address!r} cannot be opened here: {error}") from error
    if address not in ("mock", "rtl", "rehearsal"):
        raise BackendUnavailable(
            f"backend {address!r} is unknown; there are mock, rtl, zc706, tcp://host:port, serial:///dev/…"
        )
    if mock is None:
        mock = MockParams()
    if "dac" not in mock.model_fields_set:
        mock = mock.model_copy(update={"dac": CHIPS[board.dac.part][1]()})
    if mock.dac.part != board.dac.part:
        raise ProtocolError(
            f"the mock's DACs are {mock.dac.part}, the board file says {board.dac.part}; give the mock parameters of "
            "that, or none"
        )
    mock = mock.model_copy(
        update={
            "array": mock.array.model_copy(update={"n_sl": board.shape[0], "n_bl": board.shape[1]}),
            "tia": mock.tia.model_copy(update={"rf_ohm": board.tia.rf_ohm}),
            "adc": mock.adc.model_copy(update={"vref_v": board.adc.vref_v}),
            "dac": mock.dac.model_copy(update={"vref_v": board.dac.vref_v}),
        }
    )
    chips = MockBoard(board.wiring, mock, seed=seed)
    if address == "mock":
        return MockBridge(chips, serial=f"mock-{seed}")
    if address == "rehearsal":
        return RehearsalBridge(chips, serial=f"rehearsal-{seed}")
    try:
        return RtlBridge(chips, serial=f"rtl-{seed}", vcd=vcd)
    except RtlUnavailable as error:
        raise BackendUnavailable(f"backend 'rtl' cannot be opened here: {error}") from error
