"""A notebook beside a calibration that takes a person an afternoon: what was measured at each stop of the probes.

A calibration pulses nothing, so that one which was interrupted can be begun again at any time. Moving thirty-two probes
again is what nobody should have to: each reading is on the disk before the next move is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

import numpy as np

from calibration.board_calibration.measuring import Array
from firmware_bridge import records
from firmware_bridge.errors import BoardError


class NotebookError(BoardError):
    """A notebook that cannot be written, is damaged, or is of another board."""


class _Kind(IntEnum):
    OF = 1
    """Board and instruments."""
    NOTE = 2
    """A name, a zero byte, numbers as 64-bit floats."""


FORMAT = records.Format(b"XBARNOT1", "notebook", NotebookError, "make room, then resume the calibration")


class Notebook:
    """The file, as `measuring.Notes`. An append-only file of checksummed records (`firmware_bridge.records`)."""

    def __init__(self, path: Path, of: str) -> None:
        """Begin one, or go on with it. of: the board, and what it is measured with. Raises `NotebookError`."""
        begun = path.exists()
        self._file = (
            records.RecordFile.resume(path, FORMAT, _damage) if begun else records.RecordFile.create(path, FORMAT)
        )
        if not self._file.records:
            self._file.append(_Kind.OF, of.encode(), sync=True)
        elif (before := self._file.records[0][1].decode()) != of:
            self.close()
            raise NotebookError(
                f"notebook {path}: is of {before}, this is {of}; connect what it was begun with, or begin anew with "
                "--force"
            )
        self._noted = dict(_note(payload) for _, payload in self._file.records[1:])

    @property
    def count(self) -> int:
        """How many measurements are noted."""
        return len(self._noted)

    def keep(self, name: str, measure: Callable[[], Array]) -> Array:
        """See `measuring.Notes`. Raises `NotebookError` for a disk that is full, and what `measure` raises."""
        if name not in self._noted:
            value = np.asarray(measure(), "<f8")
            self._file.append(_Kind.NOTE, name.encode() + b"\0" + value.tobytes(), sync=True)
            self._noted[name] = value
        return self._noted[name]

    def close(self) -> None:
        """Let go of the file. Any number of times."""
        self._file.close()


def _note(payload: bytes) -> tuple[str, Array]:
    name, _, numbers = payload.partition(b"\0")
    return name.decode(), np.frombuffer(numbers, "<f8")


def _damage(before: records.Records) -> str:
    return f"{max(len(before) - 1, 0)} readings before that are whole; begin the calibration anew with --force"
