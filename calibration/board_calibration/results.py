"""What a calibration has found so far, and the record that comes of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np

from calibration.board_calibration.measuring import Array, CalibrationError, vcm_code
from drivers.board import Board
from drivers.calibration_record import CalibrationRecord, InstrumentUsed, board_sha256
from drivers.crossbar import Crossbar
from drivers.estimate import Estimate

VALID_FOR = datetime.timedelta(days=90)
"""How long a record holds unless somebody says otherwise (assumed: a quarter, as drift is not known)."""


class Findings:
    """estimates: quantities by name. not_identified: those that were looked for in vain, and why."""

    def __init__(self) -> None:
        self.estimates: dict[str, Estimate] = {}
        self.not_identified: dict[str, str] = {}

    def add(self, name: str, estimate: Estimate) -> None:
        """A quantity, in place of an earlier value."""
        self.estimates[name] = estimate
        self.not_identified.pop(name, None)

    def try_to(self, measure: Callable[..., None], *arguments: Any) -> None:
        """Run a measurement whose failure is a finding, too: what this board, as it is, does not show."""
        try:
            measure(*arguments)
        except CalibrationError as error:
            name, _, why = str(error).partition(": ")
            self.not_identified[name] = why

    def record(
        self,
        crossbar: Crossbar,
        methods: tuple[str, ...],
        *,
        instruments: tuple[InstrumentUsed, ...] = (),
        temperature_k: float | None = None,
        valid_for: datetime.timedelta = VALID_FOR,
    ) -> CalibrationRecord:
        """The record of a board, valid from now."""
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        return CalibrationRecord(
            board=crossbar.board.name,
            board_sha256=board_sha256(crossbar.board),
            kind=crossbar.identity.kind,
            serial=crossbar.identity.serial,
            created=now,
            valid_until=now + valid_for,
            temperature_k=temperature_k,
            methods=methods,
            instruments=instruments,
            estimates=self.estimates,
            not_identified=self.not_identified,
        )


def rest_code(board: Board, findings: Findings) -> Array:
    """(n_bl,) DAC codes at which bit lines are at the common mode: as found so far, or by the board file."""
    found = findings.estimates.get("bl.zero_code")
    return np.full(board.shape[1], vcm_code(board)) if found is None else found.value
