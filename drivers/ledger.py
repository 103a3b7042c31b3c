"""What one array has been given over its life, on disk: the interlock's sums outlive the process.

A ledger is a file of records (`firmware_bridge.records`), one for each board. A session writes what a program gives
before the board gets it, under a number that counts such programs; a run that is resumed comes to the same programs
again by their numbers, and those that are in the ledger already are not counted twice. So doses are never forgotten,
whenever the process is killed; at most one program is counted that was not given.
"""

from __future__ import annotations

import datetime
import os
import re
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

import numpy as np

from drivers.board import Board
from drivers.doses import Doses
from firmware_bridge import records
from firmware_bridge.bridge import Identity
from firmware_bridge.errors import BoardError
from firmware_bridge.exclusive import Exclusive

FOLDER_VARIABLE = "XBAR_LEDGER"
"""Environment variable with the folder of the ledgers. Set, it makes model boards keep one as well."""
MODELS = ("mock", "rtl")
"""Kinds of boards whose arrays begin anew with their process."""
REHEARSAL = "rehearsal"
"""Kind of a model that stands in for a board: it never keeps a ledger."""
PACK_BYTES = 1 << 20
"""A ledger above this size is packed when it is opened."""

_NUMBER = struct.Struct("<II")
_CELL = np.dtype([("cell", "<u4"), ("pulses", "<i8"), ("forming", "<i8"), ("dose_v2s", "<f8")])
_LINE = np.dtype([("line", "<u4"), ("exposure_s", "<f8")])
_RUN_BYTES = 16
_SINCE = struct.Struct("<d")
_EVERYBODY = b"\0" * _RUN_BYTES


class LedgerError(BoardError):
    """A ledger that cannot be read or written, or is another array's. Without it nothing can be counted."""


class _Kind(IntEnum):
    ARRAY = 1
    """Shape, and the name of the board."""
    SESSION = 2
    """What follows was given by the run with this number, which began at this time (Unix, s); and its journal."""
    GIVEN = 3
    """Number of the program, count of cells, those cells, lines."""


FORMAT = records.Format(
    b"XBARLGR1", "ledger", LedgerError, "make room or choose another folder by XBAR_LEDGER, then open the board anew"
)


def ledger_folder(identity: Identity) -> Path | None:
    """Where the ledger of a board is: the folder that XBAR_LEDGER names, else that of the user's state. A board that is
    a model has none unless XBAR_LEDGER is set: its array begins anew with each process."""
    if identity.kind == REHEARSAL:
        return None
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    return None if identity.kind in MODELS else state_folder() / "ledger"


def state_folder() -> Path:
    """What this program keeps for its user (XDG base directories)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "xbar"


def board_name(identity: Identity, board: Board) -> str:
    """Of the board and its array, as a file may be called."""
    kind = [] if identity.serial.startswith(identity.kind) else [identity.kind]
    parts = [*kind, identity.serial, *([board.chip] if board.chip else [])]
    return "-".join(re.sub(r"[^\w.-]+", "_", part) for part in parts)


class Ledger:
    """The ledger of one board, held by this process alone. Use `open`.

    Attributes
    ----------
    others: what other sessions gave. number: of programs that this session has given.
    """

    def __init__(self, file: records.RecordFile, lock: Exclusive, others: Doses, known: int) -> None:
        self.others = others
        self._file, self._lock, self._known = file, lock, known

    @classmethod
    def open(
        cls, folder: Path, name: str, shape: tuple[int, int], *, run: bytes | None = None, journal: Path | None = None
    ) -> Ledger:
        """Open or begin it.

        name: of the board (`board_name`). shape: (n_sl, n_bl).
        run: number of the run, if it can be resumed: what it gave before is not among `others`, since it comes to that
            again. journal: its journal; once that is gone nothing of the run comes again.

        Raises `LedgerError`, or `BoardInUse` if another process has it.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LedgerError(
                f"ledger folder {folder}: {error.strerror}; give another by {FOLDER_VARIABLE}; nothing was sent to the "
                "board"
            ) from error
        path = folder / f"{name}.ledger"
        lock = Exclusive.take(path.with_suffix(".lock"), f"the ledger of board {name}")
        try:
            if path.exists():
                history = History.read(path)
                history.refuse_another(shape)
                if path.stat().st_size > PACK_BYTES:
                    history.pack(path)
                file = records.RecordFile.resume(path, FORMAT, _damage)
            else:
                history, file = History(name, shape), records.RecordFile.create(path, FORMAT)
            if not file.records:
                file.append(_Kind.ARRAY, struct.pack("<II", *shape) + name.encode(), sync=True)
            run = run or os.urandom(_RUN_BYTES)
            others = history.total(without=run)
            known = history.numbers.get(run, 0)
            now = datetime.datetime.now(datetime.timezone.utc).timestamp()
            file.append(
                _Kind.SESSION, run + _SINCE.pack(now) + str(journal.resolve() if journal else "").encode(), sync=True
            )
        except BaseException:
            lock.close()
            raise
        return cls(file, lock, others, known)

    def record(self, number: int, given: Doses) -> None:
        """Write down what program `number`, counted from 1, gives; on the disk when this returns. A number that is in
        the ledger already stays as it is. Raises `LedgerError`; nothing may be sent then."""
        if number <= self._known:
            return
        self._file.append(_Kind.GIVEN, _packed(number, given), sync=True)
        self._known = number

    def close(self) -> None:
        """Let go of it. Any number of times."""
        self._file.close()
        self._lock.close()


class History:
    """What a ledger file holds, session by session.

    Attributes
    ----------
    name: of the board. shape: (n_sl, n_bl). lost_bytes: of a last record that was cut short.
    numbers: how many programs each run gave. since_s: when the first session began, Unix time, None if none did.
    sessions: how many there were since the file was begun or packed.
    """

    def __init__(self, name: str, shape: tuple[int, int]) -> None:
        self.name, self.shape, self.lost_bytes = name, shape, 0
        self.numbers: dict[bytes, int] = {}
        self.sessions = 0
        self.since_s: float | None = None
        self._given: dict[bytes, Doses] = {}
        self._begun: dict[bytes, tuple[float, str]] = {}

    @classmethod
    def read(cls, path: Path) -> History:
        """Raises `LedgerError`: it cannot be read, is none, or is damaged before its end."""
        content = records.read_bytes(path, FORMAT)
        found, end = records.parse(path, content, FORMAT, _damage)
        shape, name = (0, 0), path.stem
        if found:
            shape, name = struct.unpack_from("<II", found[0][1]), found[0][1][8:].decode()
        history = cls(name, (shape[0], shape[1]))
        history.lost_bytes = len(content) - end
        run = _EVERYBODY
        for kind, payload in found[1:]:
            if kind == _Kind.SESSION:
                run = payload[:_RUN_BYTES]
                history._begin(run, payload[_RUN_BYTES:])
            else:
                history._add(run, payload)
        return history

    def _begin(self, run: bytes, rest: bytes) -> None:
        (since,) = _SINCE.unpack_from(rest)
        self.sessions += 1
        # The clock may have been put back since.
        self.since_s = since if self.since_s is None else min(self.since_s, since)
        self._begun.setdefault(run, (since, rest[_SINCE.size :].decode()))

    def _add(self, run: bytes, payload: bytes) -> None:
        number, n_cells = _NUMBER.unpack_from(payload)
        cells = np.frombuffer(payload, _CELL, n_cells, _NUMBER.size)
        lines = np.frombuffer(payload, _LINE, offset=_NUMBER.size + cells.nbytes)
        doses = self._given.setdefault(run, Doses.none(self.shape))
        for name in ("pulses", "forming", "dose_v2s"):
            np.add.at(getattr(doses, name).reshape(-1), cells["cell"], cells[name])
        np.add.at(doses.exposure_s, lines["line"], lines["exposure_s"])
        self.numbers[run] = number

    def total(self, *, without: bytes | None = None) -> Doses:
        """The sum of all sessions, or of all but those of one run."""
        total = Doses.none(self.shape)
        for run, doses in self._given.items():
            if run != without:
                total = total + doses
        return total

    def refuse_another(self, shape: tuple[int, int]) -> None:
        """Raise `LedgerError` for an array of another shape."""
        if self.shape not in (shape, (0, 0)):
            raise LedgerError(
                f"ledger of board {self.name}: is of an array of {self.shape[0]} × {self.shape[1]} cells, the board "
                f"file has {shape[0]} × {shape[1]}; name the array by `chip` in the board file; nothing was sent to "
                "the board"
            )
        self.shape = shape

    def pack(self, path: Path) -> None:
        """Write the file anew, in one record for each run that may be resumed and one for all others."""
        try:
            records.replace_file(path, records.pack(FORMAT, list(self._packed())))
        except OSError as error:
            raise LedgerError(f"ledger {path}: {error.strerror}; {FORMAT.advice}") from error

    def _packed(self) -> Iterator[tuple[int, bytes]]:
        yield _Kind.ARRAY, struct.pack("<II", *self.shape) + self.name.encode()
        alive = [run for run, (_, journal) in self._begun.items() if journal and Path(journal).exists()]
        over = Doses.none(self.shape)
        for run, doses in self._given.items():
            if run not in alive:
                over = over + doses
        first = _SINCE.pack(self.since_s or 0.0)
        for run, doses in [(_EVERYBODY, over), *((run, self._given[run]) for run in alive if run in self._given)]:
            since, journal = (
                (first, "") if run == _EVERYBODY else (_SINCE.pack(self._begun[run][0]), self._begun[run][1])
            )
            yield _Kind.SESSION, run + since + journal.encode()
            yield _Kind.GIVEN, _packed(self.numbers.get(run, 0), doses)


def _packed(number: int, given: Doses) -> bytes:
    flat = [array.reshape(-1) for array in given.arrays()[:3]]
    (cell,) = np.nonzero(flat[0] + (flat[2] != 0))
    cells = np.empty(cell.size, _CELL)
    cells["cell"] = cell
    for name, values in zip(("pulses", "forming", "dose_v2s"), flat, strict=True):
        cells[name] = values[cell]
    (line,) = np.nonzero(given.exposure_s)
    lines = np.empty(line.size, _LINE)
    lines["line"], lines["exposure_s"] = line, given.exposure_s[line]
    return _NUMBER.pack(number, cell.size) + cells.tobytes() + lines.tobytes()


def _damage(before: records.Records) -> str:
    return (
        f"{len(before)} records before that are whole, but what the array was given after them is not known: put the "
        "file back from a backup, or move it away to begin a new one and lower the limits of the board file by what "
        "you know was given"
    )
