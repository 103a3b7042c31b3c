"""The output of a source goes off on every way out: of a `with` block, by an error, by a signal, with a lost line."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from drivers.instruments.visa import InstrumentError, InstrumentLost, VisaLink


def switch_off(link: VisaLink) -> None:
    """Output off, on this line or, if it is lost, on a new one. Raises `InstrumentLost` unless the instrument says so.

    The settings are unknown after a new line was needed, so the lost one is not replaced.
    """
    with _signals_wait():
        try:
            if not link.lost:
                _off_and_see(link)
                return
        except InstrumentError:
            link.lost = link.lost or "its output could not be switched off"
        try:
            with link.again() as fresh:
                _off_and_see(fresh)
        except InstrumentError as error:
            raise InstrumentLost(
                f"{link.name}: its output may still be ON, switch it off at the front panel now ({error})"
            ) from error


def shut(link: VisaLink) -> None:
    """Output off, and let go of the instrument."""
    try:
        switch_off(link)
    finally:
        link.close()


@contextmanager
def terminable() -> Iterator[None]:
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


def _off_and_see(link: VisaLink) -> None:
    link.write(":OUTP OFF")
    answer = link.query(":OUTP?")
    if answer != "0":
        raise link.unusable(":OUTP?", repr(answer), "0 is expected after :OUTP OFF")
