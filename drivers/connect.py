"""`open_crossbar`: from an address to a `Crossbar`."""

from __future__ import annotations

from pathlib import Path

from drivers.board import PAPER_BOARD, Board, load_board
from drivers.crossbar import Crossbar
from firmware_bridge.errors import BoardError
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.rtl_bridge import RtlBridge
from firmware_bridge.rtl_build import RtlUnavailable


class BackendUnavailable(BoardError):
    """An address that this release, or this installation, cannot open."""


_NOT_BUILT = {
    "zc706": "the PYNQ bridge to the ZC706 and its bitstream",
    "tcp": "the board server and its TCP bridge",
    "serial": "the board server and its UART bridge",
}


def open_crossbar(
    address: str = "mock", *, board: Board | str | Path = PAPER_BOARD, seed: int = 0, mock: MockParams | None = None
) -> Crossbar:
    """Open a board.

    address: ``"mock"``; ``"rtl"``, the Verilated gateware with the mock board at its pins (needs the `[rtl]` extra);
        ``"zc706"``, ``"tcp://host:port"`` and ``"serial:///dev/…"`` this release names but does not have yet.
    board: a `Board` or the path of a board file.
    seed: of the mock board, behind `rtl` as well: its chips' errors, its array's devices and all noise.
    mock: non-idealities of the mock board, default those of the datasheets and the paper.

    >>> with open_crossbar("mock", seed=1) as crossbar:
    ...     crossbar.shape
    (32, 32)
    """
    if not isinstance(board, Board):
        board = load_board(board)
    scheme = address.partition(":")[0]
    if scheme in _NOT_BUILT:
        raise BackendUnavailable(
            f"backend {address!r} needs {_NOT_BUILT[scheme]}, which this release does not contain; use 'mock' or 'rtl'"
        )
    if address not in ("mock", "rtl"):
        raise BackendUnavailable(
            f"backend {address!r} is unknown; there are mock, rtl, zc706, tcp://host:port, serial:///dev/…"
        )
    if mock is None:
        mock = MockParams()
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
        return Crossbar(MockBridge(chips, serial=f"mock-{seed}"), board)
    try:
        return Crossbar(RtlBridge(chips, serial=f"rtl-{seed}"), board)
    except RtlUnavailable as error:
        raise BackendUnavailable(f"backend 'rtl' cannot be opened here: {error}") from error


def mock_board(crossbar: Crossbar) -> MockBoard | None:
    """The model behind a crossbar opened on the mock or on `rtl`, else None: ground truth for tests and reports.

    Calibration must not ask for it: what it needs, it has to measure.
    """
    bridge = crossbar._interlock.bridge
    return bridge.board if isinstance(bridge, MockBridge | RtlBridge) else None
