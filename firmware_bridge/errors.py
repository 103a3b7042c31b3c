"""Errors of the board, shared by every layer above.

Each names the parameter, its value, the limit, the unit and what to do, so that a message read at night is enough to
act on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ASKING: ContextVar[tuple[str, ...]] = ContextVar("asking", default=())


@contextmanager
def asking(who: str) -> Iterator[None]:
    """Within this context, or a function that it decorates, `who` is among those whom a refusal names as asking."""
    token = _ASKING.set((*_ASKING.get(), who))
    try:
        yield
    finally:
        _ASKING.reset(token)


def asked_for() -> str:
    """Who asks now, as the end of a message; empty if nobody says so."""
    return f"; asked for by {' → '.join(_ASKING.get())}" if _ASKING.get() else ""


class BoardError(Exception):
    """Anything that the board, a bridge or a chip refuses or fails at."""


class LimitError(BoardError):
    """A value lies outside its limit; nothing was executed.

    Parameters
    ----------
    parameter: what is limited, by its datasheet or board-file name.
    value, limit: in `unit`; `limit` is a bound or a ``(low, high)`` pair.
    unit: SI unit, or ``""`` for a count.
    source: who sets the limit (chip and datasheet section, board file key).
    advice: what the reader can do about it.

    Attributes
    ----------
    asked_by: who asked for it, from the command down to the call (see `asking`); empty if nobody said so.
    """

    def __init__(
        self,
        parameter: str,
        value: float,
        limit: float | tuple[float, float],
        unit: str = "",
        *,
        source: str = "",
        advice: str = "",
    ) -> None:
        self.parameter, self.value, self.limit, self.unit = parameter, value, limit, unit
        self.source, self.advice, self.asked_by = source, advice, _ASKING.get()
        if isinstance(limit, tuple):
            bound = f"outside {_si(limit[0], unit)} … {_si(limit[1], unit)}"
        elif value < limit:
            bound = f"below the minimum of {_si(limit, unit)}"
        else:
            bound = f"above the maximum of {_si(limit, unit)}"
        text = f"{parameter} = {_si(value, unit)} is {bound}"
        if source:
            text += f" ({source})"
        text += asked_for()
        if advice:
            text += f"; {advice}"
        super().__init__(text)


class TimingViolation(LimitError):
    """A chip saw an interval or a rate outside its datasheet's timing table."""


class ProtocolError(BoardError):
    """A chip, a program or a link was given something that its protocol does not allow."""


class ConnectionLost(BoardError):
    """The board stopped answering; its outputs must be taken as unknown until it is made safe again.

    executed: whether the program in flight was executed, an execution that ended in an error included; None if nobody
        can say. No program was in flight: False.
    """

    def __init__(self, text: str, *, executed: bool | None = None) -> None:
        self.executed = executed
        super().__init__(text)


_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def _si(value: float, unit: str) -> str:
    """`value` with an SI prefix: ``_si(5e-9, "s") == "5 ns"``."""
    if not unit or value == 0 or value != value or abs(value) == float("inf"):
        return f"{value:g} {unit}".rstrip()
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * 0.9999:
            return f"{value / scale:.6g} {prefix}{unit}"
    return f"{value:g} {unit}"
