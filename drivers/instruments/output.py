"""Instruments whose output goes off on every way out: of a `with` block, by an error, by a signal, with a lost line.

What nothing here can do anything about is a process that is killed, or a host without power.
"""

from __future__ import annotations

import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from drivers.instruments.visa import InstrumentError, InstrumentLost, ScpiInstrument, VisaLink

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Off:
    """How an output is switched off, and what the instrument then answers."""

    command: str
    question: str
    answer: str
    what: str = "output"


class Source(ScpiInstrument):
    """An instrument with an output. A context manager; the output is off on every way out, or the user is told."""

    OFF: Off

    def __init__(self, link: VisaLink) -> None:
        super().__init__(link)
        self._terminable = _terminable()
        # Also if nobody closes it: at the end of the interpreter, or when it is forgotten.
        self._last_resort = weakref.finalize(self, _shut, link, self.OFF)

    def __enter__(self) -> Self:
        self._terminable.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        finally:
            self._terminable.__exit__(None, None, None)

    def close(self) -> None:
        """Output off, and let go of the instrument."""
        self._last_resort()

    def output_off(self) -> None:
        """Switch the output off and see that it is. Raises `InstrumentLost` if nobody can say."""
        _switch_off(self.link, self.OFF)

    @contextmanager
    def _off_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.output_off()
            raise


def _shut(link: VisaLink, off: Off) -> None:
    try:
        _switch_off(link, off)
    finally:
        link.close()


def _switch_off(link: VisaLink, off: Off) -> None:
    """Output off, on this line or, if it is lost, on a new one. Raises `InstrumentLost` unless the instrument says so.

    The settings are unknown after a new line was needed, so the lost one is not replaced.
    """
    with _signals_wait():
        try:
            if not link.lost:
                _off_and_see(link, off)
                return
        except InstrumentError:
            link.lost = link.lost or f"its {off.what} could not be switched off"
        try:
            with link.again() as fresh:
                _off_and_see(fresh, off)
        except InstrumentError as error:
            raise InstrumentLost(
                f"{link.name}: its {off.what} may still be ON, switch it off at the front panel now ({error})"
            ) from error


def _off_and_see(link: VisaLink, off: Off) -> None:
    link.write(off.command)
    answer = link.query(off.question)
    if answer != off.answer:
        raise link.unusable(off.question, repr(answer), f"{off.answer} is expected after {off.command}")


@contextmanager
def _terminable() -> Iterator[None]:
    """Within this context a request to terminate (SIGTERM) raises `SystemExit`, where it would end the process at once.

    Whoever has a handler of their own keeps it, and so do threads, which cannot have one.
    """
    if not _main_thread() or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def _signals_wait() -> Iterator[None]:
    """An impatient second Ctrl-C acts after this, which the timeouts of the line bound in time."""
    if not _main_thread():
        yield
        return
    waiting: list[int] = []
    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    ours = [n for n, handler in before.items() if handler is not None]  # None: not Python's, so not ours to restore
    for number in ours:
        signal.signal(number, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
        if waiting:
            signal.raise_signal(waiting[0])


def _main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
