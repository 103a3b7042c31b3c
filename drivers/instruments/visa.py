"""A line to an instrument over VISA, whose answers are looked at before anybody uses them.

pyvisa is imported when a line is opened, so that a board server runs without it. Its pyvisa-py backend needs no vendor
library: sockets, VXI-11, HiSLIP, USBTMC, serial ports.
"""

from __future__ import annotations

import math
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

from firmware_bridge.errors import BoardError, LimitError

TERMINATION = "\n"
TIMEOUT_S = 3.0
SELF_TEST_S = 30.0
"""How long a self-test may take."""
_NO_MEASUREMENT = 9.905e37  # SCPI-1999, 7.2.1.5: infinity is 9.9E37, not a number 9.91E37
_ERROR = re.compile(r'([+-]?\d+)\s*,\s*"(.*)"$')


class InstrumentError(BoardError):
    """An instrument refused a command, or its answer cannot be used."""


class InstrumentLost(InstrumentError):
    """No answer, or an answer out of step with the questions: the state of the instrument is unknown."""


@dataclass(frozen=True)
class SerialLine:
    """Settings of a serial port; it has one stop bit."""

    baud: int
    data_bits: int = 8
    parity: Literal["none", "odd", "even"] = "none"


class VisaLink:
    """One open resource: lines of ASCII out, lines of ASCII in.

    After a missing answer the line is *lost*: an answer that comes late would pass for that of the next question. Then
    nothing more is asked; open the instrument anew.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = TIMEOUT_S,
        line: SerialLine | None = None,
        visa_library: str = "@py",
    ) -> None:
        """Open `address`, a VISA resource name such as ``TCPIP0::192.168.0.5::5025::SOCKET``.

        line: how a serial port is set. visa_library: pyvisa's choice of backend; ``"@ivi"`` is an installed vendor's.

        Raises `LimitError` for a timeout that is not positive and finite, `InstrumentLost` if nothing can be opened.
        """
        if not 0 < timeout_s < math.inf:
            raise LimitError("timeout_s", timeout_s, (1e-3, 1e6), "s", advice="give how long an answer may take")
        self.address = address
        self.name = f"instrument at {address}"
        self.lost = ""
        self._settings: dict[str, Any] = dict(timeout_s=timeout_s, line=line, visa_library=visa_library)
        self._timeout_s = timeout_s
        self._errors = _line_errors()
        options: dict[str, Any] = {}
        if line is not None and address.upper().startswith("ASRL"):
            parity = getattr(_pyvisa().constants.Parity, line.parity)
            options = {"baud_rate": line.baud, "data_bits": line.data_bits, "parity": parity}
        try:
            _pyvisa().rname.ResourceName.from_string(address)
        except _pyvisa().rname.InvalidResourceName as error:
            raise InstrumentLost(
                f"{address!r} is no VISA address; write TCPIP0::HOST::PORT::SOCKET, USB0::…::INSTR, "
                "GPIB0::NUMBER::INSTR or ASRL/dev/TTY::INSTR"
            ) from error
        try:
            # A backend tells of a refused connection in many ways, one of them a plain Exception.
            self._resource = _resource_manager(visa_library).open_resource(
                address,
                open_timeout=int(1e3 * timeout_s),
                timeout=int(1e3 * timeout_s),
                read_termination=TERMINATION,
                write_termination=TERMINATION,
                **options,
            )
        except Exception as error:
            raise InstrumentLost(
                f"{address} cannot be opened: {error}; check that the instrument is on, its cable, and its VISA address"
            ) from error

    def __enter__(self) -> VisaLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the resource. What a lost line says to that is of no use to anybody."""
        self.lost = self.lost or "it was closed"
        with suppress(*self._errors):
            self._resource.close()

    def again(self) -> VisaLink:
        """A new line to the same instrument, in step; this one is closed."""
        self.close()
        link = VisaLink(self.address, **self._settings)
        link.name = self.name
        return link

    def write(self, command: str) -> None:
        """Send a command. Raises `InstrumentLost`."""
        self._refuse_lost(command)
        try:
            self._resource.write(command)
        except BaseException as error:
            self.lost = f"{command!r} could not be sent"
            if isinstance(error, self._errors):
                raise InstrumentLost(
                    f"{self.name}: {command!r} could not be sent: {error}; check cable and power, open it anew"
                ) from error
            raise

    def query(self, command: str, *, extra_s: float = 0.0) -> str:
        """Answer to a question, without its termination. `extra_s`: time that measuring takes, over the timeout.

        Raises `InstrumentLost` if no whole line comes, `InstrumentError` for an empty one or one that is not ASCII.
        """
        self.write(command)
        wait_s = self._timeout_s + extra_s
        try:
            self._resource.timeout = 1e3 * wait_s
            raw = self._resource.read_raw()
        except BaseException as error:
            # An interrupt, too, leaves an answer under way.
            self.lost = f"{command!r} was not answered"
            if isinstance(error, self._errors):
                raise InstrumentLost(
                    f"{self.name}: no answer to {command!r} within {wait_s:g} s ({error}); check cable and power, and "
                    "open it anew: an answer that comes late would be taken for another"
                ) from error
            raise
        try:
            text = raw.decode("ascii").strip()
        except UnicodeDecodeError as error:
            raise self.unusable(command, repr(raw), "bytes that are not ASCII: check baud rate and cable") from error
        if not text:
            raise self.unusable(command, "an empty line", "check that the instrument speaks this command set")
        return text

    def numbers(self, command: str, count: int, *, extra_s: float = 0.0) -> list[float]:
        """The `count` numbers that answer a question. Raises `InstrumentError` for anything else, overflow included."""
        return parse_numbers(self, command, self.query(command, extra_s=extra_s), count)

    def unusable(self, command: str, answer: str, reason: str) -> InstrumentError:
        """The error for an answer that cannot be used."""
        return InstrumentError(f"{self.name}: {command!r} was answered by {answer}: {reason}")

    def _refuse_lost(self, command: str) -> None:
        if self.lost:
            raise InstrumentLost(f"{self.name}: {command!r} is not sent, since {self.lost}; open it anew")


def parse_numbers(link: VisaLink, command: str, answer: str, count: int) -> list[float]:
    """See `VisaLink.numbers`."""
    fields = answer.split(",")
    if len(fields) != count:
        raise link.unusable(
            command, repr(answer), f"{len(fields)} values where {count} belong; is it the answer to another question?"
        )
    values = []
    for field in fields:
        try:
            value = float(field)
        except ValueError as error:
            raise link.unusable(
                command, repr(answer), f"{field.strip()!r} is not a number; check the instrument's front panel"
            ) from error
        if math.isnan(value) or abs(value) >= _NO_MEASUREMENT:
            raise link.unusable(
                command, repr(answer), "9.91E37 is SCPI's NaN: nothing was measured; check the function"
            )
        if abs(value) >= 9.895e37:
            raise link.unusable(
                command, repr(answer), "9.9E37 is SCPI's infinity, an overload; choose a larger range, check the wiring"
            )
        values.append(value)
    return values


class ScpiInstrument:
    """An instrument with ``*IDN?`` and an error queue, which is read after every group of commands.

    Attributes
    ----------
    maker, model, serial, firmware: of its identity.
    """

    MODELS: tuple[tuple[str, str], ...] = ()
    """(beginning of the maker, model) that a class drives; in capitals."""
    COMMANDS = ""
    """What its documentation calls the commands, for messages."""

    def __init__(self, link: VisaLink) -> None:
        """Identify, and forget old errors. Raises `InstrumentError` for another instrument, which is left alone."""
        self.link = link
        self.maker, self.model, self.serial, self.firmware = identify(link)
        if not any(self.maker.upper().startswith(m) and self.model == n for m, n in self.MODELS):
            raise InstrumentError(
                f"{link.name} is {self.maker} {self.model}; {type(self).__name__} drives "
                f"{', '.join(n for _, n in self.MODELS)}: check the address"
            )
        link.name = f"{self.model} {self.serial} at {link.address}"
        self.send("*CLS")

    def send(self, *commands: str) -> None:
        """Send a group of commands and see whether the instrument took them. Raises `InstrumentError` if not."""
        for command in commands:
            self.link.write(command)
        self.check("; ".join(commands))

    def ask(self, command: str, count: int, *, extra_s: float = 0.0) -> list[float]:
        """Numbers that answer a question that went well."""
        answer = self.link.query(command, extra_s=extra_s)
        self.check(command)
        return parse_numbers(self.link, command, answer, count)

    def self_test(self) -> None:
        """Let the instrument test itself. Raises `InstrumentError` if it fails."""
        answer = self.link.query("*TST?", extra_s=SELF_TEST_S)
        if answer.lstrip("+") != "0":
            raise self.link.unusable("*TST?", repr(answer), "it fails its self-test; switch it off and on, else repair")
        self.check("*TST?")

    def check(self, after: str) -> None:
        """Empty the error queue. Raises `InstrumentError` with all that was in it."""
        found = []
        while True:
            answer = self.link.query(":SYST:ERR?")
            match = _ERROR.match(answer)
            if match is None:
                self.link.lost = "answers and questions are out of step"
                raise InstrumentLost(
                    f"{self.link.name}: ':SYST:ERR?' was answered by {answer!r}, which is no entry of an error queue: "
                    "an answer to an earlier question came late; open it anew"
                )
            if int(match[1]) == 0:
                break
            found.append(f"{match[1]} {match[2]}")
            if len(found) > 100:
                raise InstrumentError(f"{self.link.name}: the error queue does not end, last {found[-1]}")
        if found:
            raise InstrumentError(
                f"{self.link.name} refused {after!r}: {', '.join(found)}; see {self.COMMANDS or 'its manual'}"
            )


def identify(link: VisaLink) -> tuple[str, str, str, str]:
    """(maker, model, serial, firmware) by ``*IDN?``. Raises `InstrumentError` for an answer of another form."""
    answer = link.query("*IDN?")
    fields = [field.strip() for field in answer.split(",")]
    if len(fields) != 4:
        raise link.unusable("*IDN?", repr(answer), "not maker, model, serial, firmware; check the address")
    maker, model, serial, firmware = fields
    return maker, model.upper().removeprefix("MODEL").strip(), serial, firmware


def _resource_manager(visa_library: str) -> Any:
    """pyvisa's entrance to a backend."""
    return _pyvisa().ResourceManager(visa_library)


def resources(visa_library: str = "@py") -> list[str]:
    """VISA addresses that can be found from here. Nothing is opened: a serial port may be anything.

    Raw sockets (``TCPIP…::SOCKET``) cannot be found by anybody; VXI-11 answers to a broadcast on the default interface.
    """
    pyvisa = _pyvisa()
    with warnings.catch_warnings():
        # What pyvisa-py could find with more packages installed, and sockets that its broadcast leaves open.
        warnings.simplefilter("ignore")
        try:
            return sorted(_resource_manager(visa_library).list_resources())
        except pyvisa.errors.VisaIOError as error:
            if error.error_code == pyvisa.constants.StatusCode.error_resource_not_found:
                return []
            raise InstrumentError(f"VISA resources cannot be listed: {error}; check the VISA library") from error


def _line_errors() -> tuple[type[Exception], ...]:
    """What a backend raises where a line fails."""
    return _pyvisa().errors.Error, OSError


def _pyvisa() -> Any:
    try:
        import pyvisa
    except ImportError as error:
        raise InstrumentLost("instruments need pyvisa and pyvisa-py; pip install pyvisa pyvisa-py") from error
    return pyvisa
