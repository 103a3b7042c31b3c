"""A journal beside a run: every program is written down before a board gets it, and its words when they are back.

So a run that was killed goes on where it was. The command is simply done again, with a `JournalBridge` that answers
from the journal until that ends: commands are deterministic given what the board answers, so they come to the same
place by the same way, and nothing that the journal has confirmed is sent to the board again.

A journal is a file of records (`firmware_bridge.records`). What changes an array is on the disk, by fsync, before the
board gets it; that it was executed need not be, since pulses in doubt count as given.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from firmware_bridge import records
from firmware_bridge.bridge import Bridge, Identity, Result, SequencerConfig
from firmware_bridge.errors import BoardError
from firmware_bridge.isa import Pulse, Pulses
from firmware_bridge.program import Program

_DONE = struct.Struct("<Q")
_DIGEST_BYTES = 16


class Kind(IntEnum):
    """What a record says."""

    BOARD = 1
    """Kind and serial of the board."""
    BEGUN = 2
    """The board will be given the program with this digest; then a byte, 1 if it has pulses."""
    DONE = 3
    """It has been executed: cycles, result words."""
    RESUMED = 4
    """Another process goes on from here; a program that was begun and not done is in doubt."""


class JournalError(BoardError):
    """A journal that cannot be written, or not be gone on from."""


class Resumed(Exception):
    """The journal has ended and the board itself is next: bring its lines to where they would be, then run again."""


@dataclass(frozen=True)
class Step:
    """A program by its digest, and what came of it; None: it was begun, and nobody knows how far it came."""

    digest: bytes
    result: Result | None


FORMAT = records.Format(b"XBARJRN2", "journal", JournalError, "make room, then resume the run")


class Journal:
    """The file. Use `create` or `resume`.

    Attributes
    ----------
    run_id: of the run that it belongs to, 16 random bytes.
    steps: what it held when it was opened. lost_bytes: length of a last record that was cut short, and is dropped.
    """

    def __init__(self, file: records.RecordFile, run_id: bytes) -> None:
        self.path, self.lost_bytes, self.run_id = file.path, file.lost_bytes, run_id
        self.steps = steps(kinds(file.records))
        self.append, self.close = file.append, file.close

    @classmethod
    def create(cls, path: Path, identity: Identity) -> Journal:
        """A new one. Raises `JournalError` if there is one already or it cannot be written."""
        return cls._begin(records.RecordFile.create(path, FORMAT), identity)

    @classmethod
    def _begin(cls, file: records.RecordFile, identity: Identity) -> Journal:
        run_id = os.urandom(_DIGEST_BYTES)
        file.append(Kind.BOARD, run_id + _board(identity), sync=True)
        return cls(file, run_id)

    @classmethod
    def resume(cls, path: Path, identity: Identity) -> Journal:
        """Go on with one. Raises `JournalError` if it is damaged, or another board's."""
        file = records.RecordFile.resume(path, FORMAT, _damage)
        if not file.records:
            # Cut short before anything was sent.
            return cls._begin(file, identity)
        first = file.records[0][1]
        run_id, board = first[:_DIGEST_BYTES], first[_DIGEST_BYTES:]
        if board != _board(identity):
            file.close()
            raise JournalError(
                f"journal {path}: belongs to board {board.decode()}, this is {_board(identity).decode()}; "
                "connect that board"
            )
        file.append(Kind.RESUMED, b"", sync=True)
        return cls(file, run_id)


def read(path: Path) -> tuple[list[tuple[Kind, bytes]], int]:
    """Records of a journal, and how many bytes of a last one were cut short. Raises `JournalError`: it cannot be read,
    is none, or is damaged."""
    content = records.read_bytes(path, FORMAT)
    found, end = records.parse(path, content, FORMAT, _damage)
    return kinds(found), len(content) - end


def kinds(found: records.Records) -> list[tuple[Kind, bytes]]:
    """Records by what they say; the CRC has passed, so these are kinds that this version wrote."""
    return [(Kind(kind), payload) for kind, payload in found]


def _damage(before: records.Records) -> str:
    done = sum(kind == Kind.DONE for kind, _ in before)
    return (
        f"{done} programs before that are whole, and what was sent to the board after them is not known: do not "
        "resume; read the array and program anew"
    )


def steps(found_records: list[tuple[Kind, bytes]]) -> list[Step]:
    """The programs of a journal in order. One that was begun twice was found in doubt and begun again."""
    found: list[Step] = []
    begun: bytes | None = None
    for kind, payload in found_records:
        if kind is Kind.BEGUN:
            begun = payload[:_DIGEST_BYTES]
        elif kind is Kind.DONE and begun is not None:
            found.append(Step(begun, _unpack(payload)))
            begun = None
    return found if begun is None else [*found, Step(begun, None)]


def has_pulses(path: Path) -> bool:
    """Whether a board may have been given pulses. Raises `JournalError`."""
    return any(kind is Kind.BEGUN and payload[_DIGEST_BYTES] for kind, payload in read(path)[0])


class JournalBridge:
    """Wraps `inner`; same interface.

    rebuild: the board began anew with this process, as the mock does, so that what the journal holds is executed again
        on it (and must give the same); else it is only answered from the journal.

    At the end of the journal a board that was not rebuilt gets a program with pulses that is in doubt not again: they
    count as given, and the next read shows what they did. Then `run` raises `Resumed`, once, and takes the next program
    as the one that restores the lines; it is not written down.
    """

    def __init__(self, inner: Bridge, journal: Journal, *, rebuild: bool) -> None:
        self.inner, self._journal, self._rebuild = inner, journal, rebuild
        self._held = deque(journal.steps)
        self._must_restore = bool(journal.steps) and not rebuild
        self._restoring = False
        self._timing = SequencerConfig().timing

    def identify(self) -> Identity:
        return self.inner.identify()

    def configure(self, config: SequencerConfig) -> None:
        self._timing = config.timing
        self.inner.configure(config)

    def run(self, program: Program) -> Result:
        if self._restoring:
            self._restoring = False
            return self.inner.run(program)
        digest = program_digest(program)
        pulses = any(isinstance(i, Pulse | Pulses) for i in program)
        if self._held:
            step = self._held.popleft()
            self._refuse_another_way(step, digest)
            if step.result is not None:
                return self._repeated(program, step.result) if self._rebuild else step.result
            if pulses and not self._rebuild:
                return self._done(Result(np.zeros(0, np.uint32), program.cycles(self._timing)))
        if self._must_restore:
            self._must_restore, self._restoring = False, True
            raise Resumed
        self._journal.append(Kind.BEGUN, digest + bytes([pulses]), sync=pulses)
        return self._done(self.inner.run(program))

    def _refuse_another_way(self, step: Step, digest: bytes) -> None:
        if step.digest != digest:
            raise JournalError(
                f"journal {self._journal.path}: {len(self._held)} programs before its end the run takes another way "
                "than it took before; resume with the same version of this program, its libraries and inputs"
            )

    def _repeated(self, program: Program, recorded: Result) -> Result:
        result = self.inner.run(program)
        if result.cycles != recorded.cycles or not np.array_equal(result.words, recorded.words):
            raise JournalError(
                f"journal {self._journal.path}: the model gives other words than it gave before; resume with the same "
                "version of this program, board file and seed"
            )
        return result

    def _done(self, result: Result) -> Result:
        words = np.ascontiguousarray(result.words, np.uint32).tobytes()
        self._journal.append(Kind.DONE, _DONE.pack(result.cycles) + words, sync=False)
        return result

    def reset(self) -> None:
        self.inner.reset()

    def safe(self) -> None:
        self.inner.safe()

    def close(self) -> None:
        self.inner.close()
        self._journal.close()


def _board(identity: Identity) -> bytes:
    return f"{identity.kind} {identity.serial}".encode()


def program_digest(program: Program) -> bytes:
    """By which a journal knows a program."""
    return hashlib.blake2b(program.words().tobytes(), digest_size=_DIGEST_BYTES).digest()


def _unpack(payload: bytes) -> Result:
    (cycles,) = _DONE.unpack_from(payload)
    return Result(np.frombuffer(payload, np.uint32, offset=_DONE.size), cycles)
