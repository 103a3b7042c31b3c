"""A journal beside a run: every program is written down before a board gets it, and its words when they are back.

So a run that was killed goes on where it was. The command is simply done again, with a `JournalBridge` that answers
from the journal until that ends: commands are deterministic given what the board answers, so they come to the same
place by the same way, and nothing that the journal has confirmed is sent to the board again.

A model that began anew gives its words again, so of them a journal keeps a checksum only, by which it is checked that
they are the same; what a real board said is kept word by word, packed.

A journal is a file of records (`firmware_bridge.records`). What changes an array is on the disk, by fsync, before the
board gets it; that it was executed need not be, since pulses in doubt count as given.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from firmware_bridge import records
from firmware_bridge.bridge import Bridge, Identity, Result, SequencerConfig
from firmware_bridge.errors import BoardError
from firmware_bridge.isa import Pulse, Pulses, Words
from firmware_bridge.program import Program

_U32 = struct.Struct("<I")
_DONE = struct.Struct("<QB")
_DIGEST_BYTES = 16
PACKED_FROM_BYTES = 1024
"""Shorter results are kept as they are."""


class Kind(IntEnum):
    """What a record says."""

    BOARD = 1
    """Kind and serial of the board."""
    BEGUN = 2
    """The board will be given the program with this digest; then a byte, 1 if it has pulses."""
    DONE = 3
    """It has been executed: cycles, a byte of `_Words`, result words as that says."""
    RESUMED = 4
    """Another process goes on from here; a program that was begun and not done is in doubt."""


class _Words(IntEnum):
    """How the result words of a program are kept."""

    RAW = 0
    """One after the other."""
    CHECKSUM = 1
    """By their CRC-32: a model gives them again."""
    PLANES = 2
    """Their even bytes, then their odd ones deflated: of a code of 16 bits the low byte is noise, the other not."""


class JournalError(BoardError):
    """A journal that cannot be written, or not be gone on from."""


class Resumed(Exception):
    """The journal has ended and the board itself is next: bring its lines to where they would be, then run again."""


@dataclass(frozen=True)
class Step:
    """A program by its digest, and what came of it; None: it was begun, and nobody knows how far it came.

    checksum: of the words, if they are not kept.
    """

    digest: bytes
    result: Result | None
    checksum: int | None = None


FORMAT = records.Format(b"XBARJRN3", "journal", JournalError, "make room, then resume the run")


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
            found.append(Step(begun, *_unpack(payload)))
            begun = None
    return found if begun is None else [*found, Step(begun, None)]


def has_pulses(path: Path) -> bool:
    """Whether a board may have been given pulses. Raises `JournalError`."""
    return any(kind is Kind.BEGUN and payload[_DIGEST_BYTES] for kind, payload in read(path)[0])


@dataclass(frozen=True)
class Entry:
    """A record as who looks on sees it. pulses: of a program that begins; cycles: of one that is done."""

    kind: Kind
    pulses: bool = False
    cycles: int = 0


class JournalReader:
    """Looks on while somebody else writes. Who goes on from a journal uses `Journal.resume`, which checks it."""

    def __init__(self, path: Path) -> None:
        self._follower = records.Follower(path, FORMAT)

    def new(self) -> list[Entry]:
        """Records that were completed since the last call, oldest first; none if there is no journal yet."""
        return [_entry(kind, head) for kind, head in self._follower.new(_DIGEST_BYTES + 1) if kind in set(Kind)]


def _entry(kind: int, head: bytes) -> Entry:
    if kind == Kind.BEGUN:
        return Entry(Kind.BEGUN, pulses=bool(head[_DIGEST_BYTES]))
    return Entry(Kind(kind), cycles=_DONE.unpack_from(head)[0] if kind == Kind.DONE else 0)


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
                return self._repeated(program, step) if self._rebuild else self._recorded(step)
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

    def _recorded(self, step: Step) -> Result:
        assert step.result is not None
        if step.checksum is not None:
            raise JournalError(
                f"journal {self._journal.path}: was written on a model, which gives its words again and keeps none; "
                "resume on that model"
            )
        return step.result

    def _repeated(self, program: Program, step: Step) -> Result:
        assert step.result is not None
        result = self.inner.run(program)
        known = _checksum(step.result.words) if step.checksum is None else step.checksum
        if result.cycles != step.result.cycles or _checksum(result.words) != known:
            raise JournalError(
                f"journal {self._journal.path}: the model gives other words than it gave before; resume with the same "
                "version of this program, board file and seed"
            )
        return result

    def _done(self, result: Result) -> Result:
        self._journal.append(Kind.DONE, _pack(result, keep=not self._rebuild), sync=False)
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
    # The fastest of those at hand; it guards against another version's program, not against an enemy.
    return hashlib.sha1(program.words().data, usedforsecurity=False).digest()[:_DIGEST_BYTES]


def _checksum(words: Words) -> int:
    return zlib.crc32(np.ascontiguousarray(words, np.uint32).data)


def _pack(result: Result, *, keep: bool) -> bytes:
    words = np.ascontiguousarray(result.words, np.uint32)
    if not keep:
        kept, content = _Words.CHECKSUM, _U32.pack(_checksum(words))
    elif words.nbytes < PACKED_FROM_BYTES:
        kept, content = _Words.RAW, words.tobytes()
    else:
        planes = words.view(np.uint8).reshape(-1, 2)
        kept, content = _Words.PLANES, _U32.pack(len(planes)) + planes[:, 0].tobytes()
        content += zlib.compress(planes[:, 1].tobytes(), 1)
    return _DONE.pack(result.cycles, kept) + content


def _unpack(payload: bytes) -> tuple[Result, int | None]:
    """A result, and the checksum of its words if they are not kept."""
    cycles, kept = _DONE.unpack_from(payload)
    content = payload[_DONE.size :]
    if kept == _Words.CHECKSUM:
        return Result(np.zeros(0, np.uint32), cycles), _U32.unpack(content)[0]
    if kept == _Words.RAW:
        return Result(np.frombuffer(content, np.uint32), cycles), None
    (length,) = _U32.unpack_from(content)
    planes = np.empty((length, 2), np.uint8)
    planes[:, 0] = np.frombuffer(content, np.uint8, length, _U32.size)
    planes[:, 1] = np.frombuffer(zlib.decompress(content[_U32.size + length :]), np.uint8)
    return Result(planes.reshape(-1).view(np.uint32), cycles), None
