"""What a command's exit code says, and the errors that lab scripts add to those of the layers below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

from pydantic import ValidationError

from drivers.board import BoardFileError
from drivers.calibration_record import RecordError
from firmware_bridge.errors import BoardError


class Exit(IntEnum):
    """Exit codes of `xbar`."""

    OK = 0
    OUTSIDE_BOUND = 1
    BAD_INPUT = 2
    BOARD = 3
    FILE = 4
    DEFECT = 70
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done",
    Exit.OUTSIDE_BOUND: "done, but a result lies outside its bound: yield, a check, training that diverged",
    Exit.BAD_INPUT: "usage or bad input; nothing was sent to a board",
    Exit.BOARD: "the board refused or failed: a limit, the protocol, the link; its outputs are safe",
    Exit.FILE: "a file is missing, damaged, for something else, or exists already",
    Exit.DEFECT: "a defect of this program, with its traceback",
    Exit.INTERRUPTED: "interrupted; the outputs are safe, and what was measured is kept where the command says so",
}


class InputError(ValueError):
    """A value on the command line or in an input file that cannot be used."""


class FileError(Exception):
    """A file that cannot be read or written as asked."""


class OutsideBound(Exception):
    """A run is complete and written, and its result lies outside its bound."""


@contextmanager
def bad_input() -> Iterator[None]:
    """Within this context a ValueError is the user's: layers below raise it for parameters that they cannot take."""
    try:
        yield
    except ValueError as error:
        if exit_code(error) is not Exit.DEFECT:
            raise
        raise InputError(_in_words(error)) from error


def _in_words(error: ValueError) -> str:
    """What is wrong, without the form that pydantic gives it."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = []
    for one in error.errors():
        if "error" in one.get("ctx", {}):  # a check of ours, which names the value itself
            found.append(str(one["ctx"]["error"]))
        else:
            found.append(f"{'.'.join(map(str, one['loc']))} = {one['input']}: {one['msg'].lower()}")
    return "; ".join(found)


def exit_code(error: BaseException) -> Exit:
    """The code for an error that ends a command."""
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, InputError):
        return Exit.BAD_INPUT
    if isinstance(error, (BoardFileError, RecordError, FileError, OSError)):
        return Exit.FILE
    if isinstance(error, BoardError):
        return Exit.BOARD
    if isinstance(error, OutsideBound):
        return Exit.OUTSIDE_BOUND
    # By name: these live beside torch, whose import takes seconds that `xbar --help` should not cost.
    for kind in type(error).__mro__:
        if kind.__module__ == "anf.flows.checkpoint" and kind.__name__ == "CheckpointError":
            return Exit.FILE
        if kind.__module__ == "anf.training.loop" and kind.__name__ == "TrainingDiverged":
            return Exit.OUTSIDE_BOUND
        if kind.__module__ == "anf.samplers.guard" and kind.__name__ == "OutOfBand":
            return Exit.OUTSIDE_BOUND
    return Exit.DEFECT
