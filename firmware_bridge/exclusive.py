"""One process at a time: a lock that ends with its process, however that ends, and says who has it."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

from firmware_bridge.errors import BoardError

LOCKS = Path("/run/lock")
"""Folder of locks on devices, which every user may write; without it, that for temporary files."""


_LOOK_S = 0.1
"""How long a lock is tried for: one who only looks whether it is held has it for a moment."""


class BoardInUse(BoardError):
    """Another process has the board, or what is kept of it."""


class Exclusive:
    """Held from `take` until `close` or the end of the process. A file that a dead process left is no obstacle: what
    counts is the kernel's lock on it, never its contents."""

    def __init__(self, path: Path, file: int) -> None:
        self.path, self._file = path, file

    @classmethod
    def take(cls, path: Path, what: str, *, mode: int = 0o666, **says: Any) -> Exclusive:
        """Raises `BoardInUse`, naming the holder of `what`, its process and since when; or why there is no lock.

        mode: of the file, if it is new. says: what stands in its first line beside these.
        """
        file = _locked(path, what, mode)
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps({**says, "pid": os.getpid(), "since": now}).encode() + b"\n", 0)
        except OSError as error:
            os.close(file)
            raise BoardInUse(f"{what}: lock {path}: {error.strerror}; nothing was sent to the board") from error
        return cls(path, file)

    @classmethod
    def device(cls, name: str, what: str) -> Exclusive:
        """The lock of a device of this machine, by its name."""
        folder = LOCKS if os.access(LOCKS, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
        return cls.take(folder / f"xbar{re.sub(r'[^A-Za-z0-9.]+', '-', f'-{name}')}.lock", what)

    def close(self, *, remove: bool = False) -> None:
        """Let go. Any number of times. remove: the file goes too, while it is still this one's."""
        if self._file >= 0:
            if remove:
                self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def _locked(path: Path, what: str, mode: int) -> int:
    """The file, open and locked."""
    until = time.monotonic() + _LOOK_S
    while True:
        try:
            file = _open(path, mode)
        except OSError as error:
            raise BoardInUse(f"{what}: no lock at {path}: {error.strerror}; nothing was sent to the board") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _stands_at(path, file):
                return file
        except OSError as error:
            if time.monotonic() > until:
                holder = _holder(file)
                os.close(file)
                raise BoardInUse(
                    f"{what} is in use by {holder}; wait until that has ended, or end it (its outputs become safe "
                    "then); nothing was sent to the board"
                ) from error
            time.sleep(_LOOK_S / 10)
        os.close(file)


def _stands_at(path: Path, file: int) -> bool:
    """False if the holder before has removed the file, and its name is free or another file's."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _open(path: Path, mode: int) -> int:
    # Not through a link that somebody else put there, and not truncated: it may be somebody's.
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        # Linux lets nobody create what another user has in a folder for all, even if it may be written.
        return os.open(path, flags)
    except FileNotFoundError:
        file = os.open(path, flags | os.O_CREAT, mode)
        if os.fstat(file).st_uid == os.geteuid():
            os.fchmod(file, mode)
        return file


def _holder(file: int) -> str:
    try:
        said = json.loads(os.pread(file, 1 << 16, 0).partition(b"\n")[0])
        return f"process {int(said['pid'])} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has only just begun"
