"""The calibration record of a board: a JSON file with every value, its uncertainty, and whose it is.

A record belongs to one board (kind, serial number, board file) and holds for a stated time. One that does not fit is
refused unless it is asked for by name.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError, model_validator

from drivers.board import Board
from drivers.estimate import Estimate
from firmware_bridge.bridge import Identity
from firmware_bridge.errors import BoardError
from firmware_bridge.records import replace_file

MODEL = 1
"""Version of the observation model, docs/calibration.md."""
Accept = Literal["expired", "foreign"]


class RecordError(BoardError):
    """A calibration record that cannot be used: which, why, and what to do."""


class InstrumentUsed(BaseModel):
    """An instrument that values rest on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    maker: str
    model: str
    serial: str
    firmware: str = ""


class CalibrationRecord(BaseModel):
    """What a calibration found. Quantities and their units: docs/calibration.md, "The model"."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["xbar calibration record"] = "xbar calibration record"
    version: Literal[1] = 1
    model: int = MODEL
    board: str
    board_sha256: str
    kind: str
    serial: str
    created: AwareDatetime
    valid_until: AwareDatetime
    temperature_k: float | None = None
    methods: tuple[str, ...]
    instruments: tuple[InstrumentUsed, ...] = ()
    estimates: dict[str, Estimate]
    not_identified: dict[str, str] = {}
    """Quantities that were looked for and not found, and why."""

    @model_validator(mode="after")
    def _known_model(self) -> CalibrationRecord:
        if self.model != MODEL:
            raise ValueError(f"is of model {self.model}; this software has model {MODEL}: calibrate anew")
        return self

    def value(self, name: str) -> np.ndarray | None:
        """Values of a quantity, None if the record does not have it."""
        return self.estimates[name].value if name in self.estimates else None

    def save(self, path: str | Path) -> None:
        """Write the file, all of it or nothing; on the disk when this returns. Raises OSError."""
        replace_file(Path(path), (self.model_dump_json(indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | Path) -> CalibrationRecord:
        """Read a file. Raises `RecordError` for one that is no record or a damaged one."""
        try:
            return cls.model_validate_json(Path(path).read_bytes())
        except OSError as error:
            raise RecordError(f"calibration {path}: {error.strerror}; make one with `xbar calibrate`") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise RecordError(
                f"calibration {path}: {where}: {first['msg']} ({error.error_count()} in all); make one with "
                "`xbar calibrate`"
            ) from error

    def refuse_unfit(
        self,
        identity: Identity,
        board: Board,
        *,
        accept: Collection[Accept] = (),
        now: datetime.datetime | None = None,
    ) -> None:
        """Raise `RecordError` if this is another board's record, or has expired, unless that is in `accept`."""
        now = now or datetime.datetime.now(datetime.timezone.utc)
        if "foreign" not in accept:
            mine = (identity.kind, identity.serial)
            if (self.kind, self.serial) != mine:
                raise RecordError(
                    f"calibration of {self.kind} board {self.serial}, {self.created:%Y-%m-%d}, is not of this board, "
                    f"{mine[0]} {mine[1]}; give this board's record, calibrate it (xbar calibrate), or ask for a "
                    'foreign one by name: --accept-foreign, accept={"foreign"}'
                )
            if self.board_sha256 != board_sha256(board):
                raise RecordError(
                    f"calibration of board {self.serial} was made with another board file than {board.name}; use that "
                    'one, calibrate anew, or ask for it by name: --accept-foreign, accept={"foreign"}'
                )
        self._refuse_shape(board)
        if now > self.valid_until and "expired" not in accept:
            raise RecordError(
                f"calibration of board {self.serial} expired on {self.valid_until:%Y-%m-%d %H:%M} UTC; calibrate anew, "
                'or ask for it by name: --accept-expired, accept={"expired"}'
            )
        if now < self.created - datetime.timedelta(days=1):
            raise RecordError(
                f"calibration of board {self.serial} is of {self.created:%Y-%m-%d}, which is yet to come; set this "
                "computer's clock"
            )

    def _refuse_shape(self, board: Board) -> None:
        counts = {"bl": board.shape[1], "sl": board.shape[0], "adc": board.wiring.n_adcs}
        for name, estimate in self.estimates.items():
            expected = counts.get(name.partition(".")[0])
            if expected is not None and len(estimate.value) not in (1, expected):
                raise RecordError(
                    f"calibration: {name} has {len(estimate.value)} values, board {board.name} needs {expected}; it is "
                    "another board's"
                )


def board_sha256(board: Board) -> str:
    """What identifies a board file: SHA-256 of its contents, without the instruments' addresses."""
    return hashlib.sha256(board.model_dump_json(exclude={"instruments"}).encode()).hexdigest()
