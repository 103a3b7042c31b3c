"""Instruments as a socket shows them: lines in, lines out, settings, an error queue, and errors of their own."""

from __future__ import annotations

import math
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import ClassVar, Protocol

import numpy as np

from firmware_bridge.errors import BoardError

OVERLOAD = 9.9e37
"""What stands for a value beyond the range (SCPI-1999, 7.2.1.5)."""
UNDEFINED = '-113,"Undefined header"'


class Span(Protocol):
    """One range of an error table: a reading is off by at most ± (of_reading · |value| + offset)."""

    @property
    def full_scale(self) -> float:
        """Largest value of the range, in the unit of the quantity."""

    @property
    def of_reading(self) -> float:
        """Share of the reading."""

    @property
    def offset(self) -> float:
        """In the unit of the quantity."""


class ErrorTable(Protocol):
    """How wrong one function of an instrument may be: its data sheet's accuracy table."""

    @property
    def quantity(self) -> str:
        """What it measures or sources, in words."""

    @property
    def spans(self) -> Sequence[Span]:
        """Its ranges, smallest first."""


class ScpiInstrument(ABC):
    """Settings by command, an error queue, and errors drawn from `rng` within the tables.

    Attributes
    ----------
    log: every line that came in.
    settings: argument of each setting, as it came.
    """

    IDN: str
    NO_ERROR = '0,"No error"'
    DEFAULTS: ClassVar[Mapping[str, str]]

    def __init__(self, rng: np.random.Generator) -> None:
        self.log: list[str] = []
        self._rng = rng
        self._errors: deque[str] = deque()
        self._flaws: dict[tuple[str, float], tuple[float, float]] = {}
        self.reset()

    def reset(self) -> None:
        """As after ``*RST``."""
        self.settings = dict(self.DEFAULTS)

    def execute(self, line: str) -> str | None:
        """Answer to a line, if it is a question that has one; what cannot be done lands in the error queue."""
        self.log.append(line)
        command, _, argument = line.removeprefix(":").partition(" ")
        try:
            match command:
                case "*IDN?":
                    return self.IDN
                case "*TST?":
                    return "0"
                case "*CLS":
                    self._errors.clear()
                case "*RST":
                    self.reset()
                case "SYST:ERR?":
                    return self._errors.popleft() if self._errors else self.NO_ERROR
                case _ if command.endswith("?"):
                    answer = self.answer(command, argument)
                    if answer is None and not self._errors:
                        self.refuse(UNDEFINED)
                    return answer
                case _ if command in self.settings:
                    self.settings[command] = argument
                    self.changed(command)
                case _:
                    self.refuse(UNDEFINED)
        except BoardError as error:
            # The queue is ASCII, its texts stand in quotes.
            text = str(error).replace('"', "'").encode("ascii", "replace").decode()
            self.refuse(f'-200,"Execution error;{text}"')
        except ValueError:
            self.refuse('-104,"Data type error"')
        return None

    def refuse(self, entry: str) -> None:
        """Put an entry into the error queue."""
        self._errors.append(entry)

    @abstractmethod
    def answer(self, command: str, argument: str) -> str | None:
        """Answer to a question; None if there is none."""

    def changed(self, command: str) -> None:  # noqa: B027
        """A setting has changed. May raise `BoardError`, which the client finds in the error queue."""

    def number(self, key: str) -> float:
        """A setting as a number."""
        return float(self.settings[key])

    def flaw(self, function: str, full_scale: float) -> tuple[float, float]:
        """(gain error, offset error) of this instrument on one range, each as a part of its bound."""
        key = (function, full_scale)
        if key not in self._flaws:
            gain, offset = self._rng.uniform(-1, 1, 2)
            self._flaws[key] = (float(gain), float(offset))
        return self._flaws[key]

    def shown(self, table: ErrorTable, value: float, full_scale: float, nplc: float) -> float:
        """What the instrument shows for a true value: its flaw on this range, and noise after integration."""
        span = span_for(table, full_scale)
        if not abs(value) <= 1.05 * span.full_scale:
            return OVERLOAD
        gain, offset = self.flaw(table.quantity, span.full_scale)
        # Noise: a fiftieth of the offset's bound at one power line cycle (assumed; data sheets bound it far lower).
        noise = 0.02 * span.offset / math.sqrt(nplc) * self._rng.standard_normal()
        return value * (1 + gain * span.of_reading) + offset * span.offset + noise


def _acknowledge_at_once(client: socket.socket) -> None:
    """No delayed acknowledgement, for which a client holds its next command back by 40 ms. The kernel forgets it."""
    if hasattr(socket, "TCP_QUICKACK"):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def span_for(table: ErrorTable, full_scale: float) -> Span:
    """The smallest range that holds `full_scale`. Raises `ValueError` if none does."""
    for span in table.spans:
        if full_scale <= span.full_scale * (1 + 1e-9):
            return span
    raise ValueError(f"no range of {table.quantity} for {full_scale:g}")


class ScpiSocket:
    """An instrument behind a TCP port of this machine, for one client at a time. It keeps its settings between them."""

    def __init__(self, instrument: ScpiInstrument) -> None:
        self._instrument = instrument
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"TCPIP0::127.0.0.1::{self._listener.getsockname()[1]}::SOCKET"
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, name=self.address, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            self._client = client
            with client, client.makefile("rw", encoding="ascii", newline="\n") as lines, suppress(OSError):
                _acknowledge_at_once(client)
                for line in lines:
                    _acknowledge_at_once(client)
                    answer = self._instrument.execute(line.strip())
                    if answer is not None:
                        lines.write(answer + "\n")
                        lines.flush()
            self._client = None

    def cut(self) -> None:
        """Pull the cable: the present client is cut off, a new one may connect."""
        client = self._client
        if client is not None:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """No more clients."""
        # shutdown() wakes the thread from accept() on Linux; closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join(timeout=5)
