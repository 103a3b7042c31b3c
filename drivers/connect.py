"""`open_crossbar`: from an address to a `Crossbar`."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from drivers.board import PAPER_BOARD, Board, load_board, load_model
from drivers.bridges import open_bridge
from drivers.calibration_record import Accept, CalibrationRecord
from drivers.crossbar import Crossbar
from drivers.instruments import dmm, keithley
from drivers.ledger import Ledger, board_name, ledger_folder
from firmware_bridge.errors import ProtocolError
from firmware_bridge.journal import Journal, JournalBridge
from firmware_bridge.mock.board import MockBoard, MockParams
from firmware_bridge.mock.bridge import MockBridge
from firmware_bridge.mock.instruments import MockBench
from firmware_bridge.mock.rehearsal import RehearsalBridge
from firmware_bridge.rtl_bridge import RtlBridge

_log = logging.getLogger(__name__)


def open_crossbar(
    address: str = "mock",
    *,
    board: Board | str | Path = PAPER_BOARD,
    seed: int = 0,
    mock: MockParams | None = None,
    journal: Path | None = None,
    vcd: Path | None = None,
    calibration: CalibrationRecord | str | Path | None = None,
    accept: Collection[Accept] = (),
    ledger: Path | None = None,
) -> Crossbar:
    """Open a board.

    address: ``"mock"``, ``"tcp://host:port"`` or ``"serial:///dev/…?baud=…"`` of a board server (`xbar serve`);
        ``"rtl"``, the Verilated gateware with the mock board at its pins (needs the `[rtl]` extra); or
        ``"zc706[:PATH][?loaded]"``, the fabric of the board that this runs on (pynq), which is loaded with a bitstream
        unless it says that it is loaded; or ``"rehearsal"``, the mock board that counts what it is given and keeps no
        ledger (`rehearsal`).
    board: a `Board` or the path of a board file.
    seed: of the mock board, behind `rtl` as well: its chips' errors, its array's devices and all noise. A served
        board has its own.
    mock: non-idealities of the mock board, default those of the datasheets and the paper.
    journal: file that every program is written to before the board gets it. If it is there already, the run that it
        belongs to goes on: until its end the board's answers come from it (`firmware_bridge.journal`).
    vcd: on `rtl`, FILE.vcd for the waveform of the pins; FILE.json beside it gets the frames meant for the DACs.
    calibration: a record, or the path of one, that corrects the board. Without one, nothing is corrected.
    accept: ``"expired"``, ``"foreign"``: use a record although it has expired, or is another board's.

    ledger: folder of the ledgers, which hold what each array has been given over its life. By default that of
        `drivers.ledger.ledger_folder`: for a real board always one, for a model none unless XBAR_LEDGER names it.

    Raises `BoardInUse` if another process has the board, `LedgerError` if its ledger cannot be kept, and `RecordError`
    for a record that cannot be used, before anything is sent to the board.

    The token for a board server is the environment variable XBAR_TOKEN.

    >>> with open_crossbar("mock", seed=1) as crossbar:
    ...     crossbar.shape
    (32, 32)
    """
    if not isinstance(board, Board):
        board = load_board(board)
    if calibration is not None and not isinstance(calibration, CalibrationRecord):
        calibration = CalibrationRecord.load(calibration)
    bridge = open_bridge(address, board=board, seed=seed, mock=mock, vcd=vcd)
    with ExitStack() as unless_opened:
        # Nobody else can let go of the board.
        unless_opened.callback(bridge.close)
        identity = bridge.identify()
        if calibration is not None:
            calibration.refuse_unfit(identity, board, accept=accept)
        run = None
        if journal is not None:
            begun = (Journal.resume if journal.exists() else Journal.create)(journal, identity)
            run, inner = begun.run_id, bridge
            bridge = JournalBridge(inner, begun, rebuild=isinstance(inner, MockBridge | RtlBridge))
            unless_opened.callback(begun.close)
        kept = None
        if (folder := ledger or ledger_folder(identity)) is not None:
            kept = Ledger.open(folder, board_name(identity, board), board.shape, run=run, journal=journal)
            unless_opened.callback(kept.close)
        crossbar = Crossbar(bridge, board, calibration, kept)
        unless_opened.pop_all()
    _log.info("opened", extra={"address": address, "kind": identity.kind, "serial": identity.serial})
    return crossbar


def load_mock(path: str | Path) -> MockParams:
    """Read what a mock board's chips and cells are like: tables and keys as in `MockParams`, what is left out as it is
    there, and ``telegraph = "off"`` in the table ``array`` for a non-ideality without. Raises `BoardFileError`."""
    return load_model(Path(path), MockParams, "give parameters of the mock board in TOML")


def mock_board(crossbar: Crossbar) -> MockBoard | None:
    """The model behind a crossbar opened on the mock or on `rtl`, else None: ground truth for tests and reports.

    Calibration must not ask for it: what it needs, it has to measure.
    """
    bridge = crossbar._lines.interlock.bridge
    if isinstance(bridge, JournalBridge):
        bridge = bridge.inner
    return bridge.board if isinstance(bridge, MockBridge | RtlBridge) else None


def rehearsal(crossbar: Crossbar) -> RehearsalBridge:
    """What a crossbar opened on ``"rehearsal"`` was asked to do."""
    bridge = crossbar._lines.interlock.bridge
    if not isinstance(bridge, RehearsalBridge):
        raise ProtocolError(
            f"{crossbar.identity.kind} board {crossbar.identity.serial} is no rehearsal; open 'rehearsal'"
        )
    return bridge


def mock_bench(crossbar: Crossbar, *, smu_model: Literal["2400", "2450"] = "2450", seed: int = 0) -> MockBench:
    """A source-measure unit and a multimeter beside the model behind a crossbar, each with a VISA address.

    For work without instruments: their probes can be put at the board's test points, and they err as their data sheets
    allow. `seed` is theirs.

    >>> from drivers.instruments.dmm import open_dmm
    >>> with open_crossbar("mock") as crossbar, mock_bench(crossbar) as bench, open_dmm(bench.address("dmm")) as meter:
    ...     bench.connect("dmm", "VCM")
    ...     round(meter.dc_voltage(3.0).value, 3)
    2.5
    """
    board = mock_board(crossbar)
    if board is None:
        raise ProtocolError(
            f"{crossbar.identity.kind} board {crossbar.identity.serial} is no model in this process: real instruments "
            "belong to it; open 'mock' or 'rtl' for those of the mock"
        )
    sheets = {
        "2400": (keithley.VOLTAGE_2400, keithley.CURRENT_2400),
        "2450": (keithley.VOLTAGE_2450, keithley.CURRENT_2450),
    }
    tables = {
        **dict(zip(("VOLT", "CURR"), sheets[smu_model], strict=True)),
        "VOLT:DC": dmm.DC_VOLTAGE,
        "CURR:DC": dmm.DC_CURRENT,
        "RES": dmm.RESISTANCE,
    }
    return MockBench(board, tables, smu_model=smu_model, seed=seed)
