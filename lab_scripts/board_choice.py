"""The board that a command works on: its options, stated once, and what they open; or a rehearsal of it (--dry-run)."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import numpy as np
import typer

from drivers.board import Board, load_board
from drivers.connect import open_crossbar, rehearsal
from drivers.crossbar import Crossbar
from drivers.self_test import self_test
from lab_scripts.console import Report
from lab_scripts.exits import OutsideBound
from lab_scripts.live_events import tell_board
from lab_scripts.options import (
    PAPER,
    UNCORRECTED,
    AcceptExpired,
    AcceptForeign,
    Backend,
    Backends,
    BoardFile,
    Calibration,
    Corrected,
    MockFile,
    Seed,
    mock_params,
)
from lab_scripts.runs import RehearsalEnds, RunFile

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Rehearse on a mock board in this process and say what the board would be given; send and write nothing.",
    ),
]


@dataclass(frozen=True)
class BoardOptions:
    """Options of every command that works on boards: those of a parameter of a subclass, if it is `expanded`."""

    board_file: BoardFile = PAPER
    mock_file: MockFile = None
    seed: Seed = 0
    dry_run: DryRun = False
    _rehearsed: list[Crossbar] = field(default_factory=list, init=False, compare=False)

    @property
    def where(self) -> str:
        """Where the boards are, in words."""
        raise NotImplementedError

    @functools.cached_property
    def board(self) -> Board:
        """The board file's. Raises `BoardFileError`."""
        return load_board(self.board_file)

    def open_at(
        self,
        address: str,
        report: Report,
        run_file: RunFile | None = None,
        corrected: Corrected = UNCORRECTED,
        *,
        chip: int | None = None,
    ) -> Crossbar:
        """The board at an address, once it has passed its self-test; with --dry-run a mock one instead, whatever the
        address.

        report: is told what could not be tested. run_file: where its journal and waveform go. chip: seed of a mock
        board, if it is not --seed. Raises `SelfTestError`, the outputs safe, for a board not to be worked on.
        """
        mock = None if self.mock_file is None else mock_params(address, self.mock_file)
        common: dict[str, Any] = {
            "board": self.board, "seed": self.seed if chip is None else chip, "mock": mock,
            "calibration": corrected.calibration,
        }  # fmt: skip
        if self.dry_run:
            # Nobody asks the real board who it is, so a record cannot be held against it.
            crossbar = open_crossbar("rehearsal", **common, accept=("expired", "foreign"))
            self._rehearsed.append(crossbar)
        else:
            if run_file is not None:
                common |= {"journal": run_file.next_journal(), "vcd": run_file.next_waveform()}
            crossbar = open_crossbar(address, **common, accept=corrected.accept)
        with ExitStack() as unless_passed:
            unless_passed.callback(crossbar.close)
            untested = self_test(crossbar).untested
            unless_passed.pop_all()
        if not self.dry_run:
            tell_board(crossbar, address)
            who = f"{crossbar.identity.kind} board {crossbar.identity.serial}"
            for part, why in untested.items():
                report.say(f"{who}: {part} {why}")
        return crossbar

    def rehearsed(self) -> None:
        """Where a command has done with its boards: the end of a rehearsal."""
        if self.dry_run:
            raise RehearsalEnds

    def tell(self, report: Report) -> None:
        """What boards would be given: operations, time, and each dose beside its limit."""
        operations: Counter[str] = Counter()
        programs, board_time_s, cycles, given = 0, 0.0, 0, []
        for crossbar in self._rehearsed:
            bridge = rehearsal(crossbar)
            operations += bridge.operations
            programs, cycles = programs + bridge.programs, cycles + crossbar.cycles
            board_time_s += crossbar.board_time_s
            given.append(crossbar.doses)
        pulses = sum(int(d.pulses.sum()) for d in given)
        rows = [
            ("boards", str(len(given))), ("programs", str(programs)),
            *((f"  {name}", str(count)) for name, count in sorted(operations.items())),
            ("board time", f"{board_time_s:.6g} s in {cycles} cycles"), ("pulses", str(pulses)),
        ]  # fmt: skip
        report.table(f"Dry run for {self.where}: nothing was sent, nothing written", ("", ""), rows)
        limits = self.board.limits
        worst = {
            name: (max((float(np.max(getattr(d, name))) for d in given), default=0.0), limit, unit)
            for name, limit, unit in (
                ("pulses", limits.pulses_per_cell, ""),
                ("forming", limits.forming_per_cell, ""),
                ("dose_v2s", limits.dose_per_cell_v2s, "V²·s"),
                ("exposure_s", limits.read_exposure_s, "s"),
            )
        }
        titles = {"pulses": "pulses on a cell", "forming": "forming pulses on a cell", "dose_v2s": "dose of a cell",
                  "exposure_s": "read exposure of a bit line"}  # fmt: skip
        report.table(
            "What this run gives at most, beside the limits of an array's life",
            ("", "at most", "limit"),
            [
                (titles[name], f"{value:.6g}", f"{limit:g} {unit}".rstrip())
                for name, (value, limit, unit) in worst.items()
            ],
        )
        report.say(
            "Pulses that follow what is read, as in write-verify, are those of the mock's cells. What the array was "
            "given before is not counted here: xbar ledger."
        )
        report.finish(
            {
                "dry_run": True, "backend": self.where, "boards": len(given), "programs": programs,
                "operations": dict(operations), "cycles": cycles, "board_time_s": board_time_s, "pulses": pulses,
                **{f"{name}_worst": value for name, (value, _, _) in worst.items()},
                **{f"{name}_limit": limit for name, (_, limit, _) in worst.items()},
            }
        )  # fmt: skip


@dataclass(frozen=True)
class BoardChoice(BoardOptions):
    """For a command that works on one board."""

    backend: Backend = "mock"

    @property
    def where(self) -> str:
        return self.backend

    def open(
        self,
        report: Report,
        run_file: RunFile | None = None,
        corrected: Corrected = UNCORRECTED,
        *,
        chip: int | None = None,
    ) -> Crossbar:
        """The board of --backend, as `open_at`."""
        return self.open_at(self.backend, report, run_file, corrected, chip=chip)


@dataclass(frozen=True)
class BoardsChoice(BoardOptions):
    """For a command that may work on several."""

    backends: Backends = None

    @property
    def where(self) -> str:
        return ", ".join(self.backends or ["mock boards"])


@dataclass(frozen=True)
class CorrectionChoice:
    """Options of every command that can be corrected by a calibration record."""

    calibration: Calibration = None
    accept_expired: AcceptExpired = False
    accept_foreign: AcceptForeign = False

    def load(self) -> Corrected:
        """Raises `RecordError` for a file that is no record, before a board is opened."""
        return Corrected.by(self.calibration, expired=self.accept_expired, foreign=self.accept_foreign)


def option_fields(group: type) -> dict[str, inspect.Parameter]:
    """The options of a group as parameters of a command."""
    hints = get_type_hints(group, include_extras=True)
    return {
        f.name: inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields(group)
        if f.init
    }


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as typer takes it: each parameter that is a group of options stands for the options of the group.

    A rehearsal (--dry-run) ends where the command would write its results, and says what it found instead.
    """
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    signature = inspect.signature(command)
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in signature.parameters.items():
        hint = hints[name]
        if isinstance(hint, type) and is_dataclass(hint):
            groups[name] = hint
            parameters += option_fields(hint).values()
        else:
            parameters.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{option: values.pop(option) for option in option_fields(group)})
        boards = [it for it in values.values() if isinstance(it, BoardOptions) and it.dry_run]
        report = Report(as_json=bool(values.get("json_output")))
        try:
            command(**values)
        except RehearsalEnds:
            pass
        except OutsideBound:
            for it in boards:
                it.tell(report)
            raise
        for it in boards:
            it.tell(report)

    del run.__wrapped__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
