"""Append-only files of checksummed records, for what must survive a kill at any instant.

A magic word, then records of a kind (1 byte), a length, a CRC-32 of all three, and a payload. A record that was cut
short by the end of the file never happened; one that is damaged before the end is refused, since others follow it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.errors import BoardError

_HEADER = struct.Struct("<BII")

Records = list[tuple[int, bytes]]


@dataclass(frozen=True)
class Format:
    """One kind of such file: what it begins with, what messages call it, and what its errors are.

    advice: what to do when it cannot be written.
    """

    magic: bytes
    name: str
    error: type[BoardError]
    advice: str


class RecordFile:
    """A file that is open for appending. Use `create` or `resume`.

    Attributes
    ----------
    records: what it held when it was opened. lost_bytes: length of a last record that was cut short, and is dropped.
    """

    def __init__(self, path: Path, form: Format, file: int, records: Records, lost_bytes: int) -> None:
        self.path, self.records, self.lost_bytes = path, records, lost_bytes
        self._form, self._file, self._broken = form, file, ""

    @classmethod
    def create(cls, path: Path, form: Format) -> RecordFile:
        """A new one. Raises the format's error if there is one already or it cannot be written."""
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise form.error(f"{form.name} {path}: {error.strerror}; nothing was sent to the board") from error
        created = cls(path, form, file, [], 0)
        created._write(form.magic)
        sync_folder(path)
        return created

    @classmethod
    def resume(cls, path: Path, form: Format, damage: Callable[[Records], str]) -> RecordFile:
        """Go on with one. Raises the format's error if it cannot be read or written, or is damaged (see `parse`)."""
        content = read_bytes(path, form)
        records, end = parse(path, content, form, damage)
        try:
            file = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.ftruncate(file, end)
        except OSError as error:
            raise form.error(f"{form.name} {path}: {error.strerror}; nothing was sent to the board") from error
        resumed = cls(path, form, file, records, len(content) - end)
        if not end:
            resumed._write(form.magic)
        return resumed

    def append(self, kind: int, payload: bytes, *, sync: bool) -> None:
        """Write a record; with `sync` it is on the disk when this returns. Raises the format's error, and again at
        every later call: what follows a gap would be read as something else."""
        self._write(_HEADER.pack(kind, len(payload), _crc(kind, payload)) + payload)
        if sync:
            try:
                os.fdatasync(self._file)
            except OSError as error:
                raise self._failed(error.strerror) from error

    def _write(self, data: bytes) -> None:
        if self._broken:
            raise self._failed(self._broken)
        try:
            written = os.write(self._file, data)
        except OSError as error:
            raise self._failed(error.strerror) from error
        if written != len(data):
            raise self._failed("the disk is full")

    def _failed(self, why: str | None) -> BoardError:
        self._broken = why or "it could not be written"
        return self._form.error(f"{self._form.name} {self.path}: {self._broken}; {self._form.advice}")

    def close(self) -> None:
        """Let go of the file. Any number of times."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Follower:
    """Looks on while somebody else appends: records that are whole, nothing else checked, of long payloads the head."""

    def __init__(self, path: Path, form: Format) -> None:
        self._path, self._position = path, len(form.magic)

    def new(self, most_bytes: int) -> Records:
        """Kind and the first `most_bytes` of each record completed since the last call; none if there is no file."""
        found: Records = []
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return found
        with file:
            size = os.fstat(file.fileno()).st_size
            while self._position + _HEADER.size <= size:
                file.seek(self._position)
                kind, length, _ = _HEADER.unpack(file.read(_HEADER.size))
                end = self._position + _HEADER.size + length
                if end > size:
                    break
                found.append((kind, file.read(min(length, most_bytes))))
                self._position = end
        return found


def read_bytes(path: Path, form: Format) -> bytes:
    """The file at `path`. Raises the format's error if it cannot be read or is none of it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise form.error(f"{form.name} {path}: {error.strerror}") from error
    if not content.startswith(form.magic) and not form.magic.startswith(content):
        raise form.error(f"{path} is not a {form.name} of this version")
    return content


def parse(path: Path, content: bytes, form: Format, damage: Callable[[Records], str]) -> tuple[Records, int]:
    """Records, and where the whole ones end (0 if not even the magic word is whole).

    damage: what damage before the end means, from the records before it; it ends the message of the error.
    """
    records: Records = []
    if len(content) < len(form.magic):
        return records, 0
    position = len(form.magic)
    while position + _HEADER.size <= len(content):
        kind, length, crc = _HEADER.unpack_from(content, position)
        end = position + _HEADER.size + length
        payload = content[position + _HEADER.size : end]
        if end > len(content) or (crc != _crc(kind, payload) and end == len(content)):
            break  # cut short
        if crc != _crc(kind, payload):
            raise form.error(f"{form.name} {path}: is damaged at byte {position} of {len(content)}; {damage(records)}")
        records.append((kind, payload))
        position = end
    return records, position


def pack(form: Format, records: Records) -> bytes:
    """A whole file."""
    parts = [form.magic]
    for kind, payload in records:
        parts += [_HEADER.pack(kind, len(payload), _crc(kind, payload)), payload]
    return b"".join(parts)


def replace_file(path: Path, content: bytes) -> None:
    """The file at `path` anew: all of it or, after any failure, as it was. On the disk when this returns. Raises
    OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """The entry of a new file in its folder on the disk as well."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _crc(kind: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(struct.pack("<BI", kind, len(payload))))
