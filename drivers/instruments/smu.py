"""Source-measure units: Keithley 2400 and 2450, behind one protocol.

Sources: Series 2400 User's Manual, 2400S-900-01; Model 2450 Reference Manual, 2450-901-01.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

from drivers.board import Instruments
from drivers.instruments.accuracy import Accuracy, Reading, Span
from drivers.instruments.keithley import CURRENT_2400, CURRENT_2450, VOLTAGE_2400, VOLTAGE_2450
from drivers.instruments.output import Off, Source
from drivers.instruments.visa import TIMEOUT_S, InstrumentError, VisaLink, identify
from firmware_bridge.errors import LimitError, ProtocolError

NPLC = (1.0, 10.0)
"""Integration, power line cycles. The accuracy tables hold from 1 on."""
_CYCLE_S = 1 / 50
_LEAST = 1e-3  # of a range: the smallest limit, by both data sheets
_CONVERSIONS = 6  # of one measurement: voltage and current, each with zero and reference


@dataclass(frozen=True)
class SourceMeasurement:
    """What stood at the terminals, both measured: V from HI to LO, A out of HI."""

    voltage: Reading
    current: Reading


class ComplianceReached(InstrumentError):
    """The limit held the output, which was not at its level; it is off now. `measurement` is what was seen."""

    def __init__(self, text: str, measurement: SourceMeasurement) -> None:
        self.measurement = measurement
        super().__init__(text)


class Smu(Protocol):
    """A source-measure unit. A context manager; its output is off on every way out.

    Any error switches the output off, but for a value that is refused before it is sent.
    """

    def configure(self, *, four_wire: bool = False, nplc: float = 1.0) -> None:
        """Sense wires and integration time, with the output off. Raises `LimitError`, `ProtocolError`."""

    def source_voltage(
        self, volts: float, *, limit_a: float, range_v: float | None = None, range_a: float | None = None
    ) -> None:
        """Source `volts`, with the current held to ±`limit_a`; the output stays off or on as it is.

        Ranges are the smallest that hold level and limit, or given. While the output is on only the level may change:
        raises `ProtocolError` otherwise, and `LimitError` for what the board does not allow; nothing is sent then.
        """

    def source_current(
        self, amps: float, *, limit_v: float, range_a: float | None = None, range_v: float | None = None
    ) -> None:
        """Source `amps` out of HI, with the voltage held to ±`limit_v`; otherwise like `source_voltage`."""

    def output_on(self) -> None:
        """Connect the output. Raises `ProtocolError` before anything is sourced."""

    def output_off(self) -> None:
        """Disconnect the output and see that it is. Raises `InstrumentLost` if nobody can say."""

    def measure(self, samples: int = 1) -> SourceMeasurement:
        """Voltage and current, with the output on. Raises `ComplianceReached` if the limit holds the output."""

    def close(self) -> None:
        """Output off, and let go of the instrument."""


@dataclass(frozen=True)
class _Setting:
    function: Literal["VOLT", "CURR"]
    level: float
    limit: float
    source: Span
    measure: Span

    @property
    def measured(self) -> Literal["VOLT", "CURR"]:
        return "CURR" if self.function == "VOLT" else "VOLT"


class Keithley(Source):
    """What both models share; `_configure`, `_read` and `SETUP` are the dialects."""

    VOLTAGE: Accuracy
    CURRENT: Accuracy
    SETUP: tuple[str, ...]
    OFF = Off(":OUTP OFF", ":OUTP?", "0")

    def __init__(self, link: VisaLink, limits: Instruments) -> None:
        super().__init__(link)
        self.limits = limits
        self.output = False
        self._four_wire, self._nplc = False, 1.0
        self._setting: _Setting | None = None
        try:
            self.send("*RST", *self.SETUP)
        except BaseException:
            self.close()
            raise

    # -- settings ------------------------------------------------------------------------------------------------------
    def configure(self, *, four_wire: bool = False, nplc: float = 1.0) -> None:
        if not NPLC[0] <= nplc <= NPLC[1]:
            raise LimitError("nplc", nplc, NPLC, source="the accuracy tables hold within")
        if self.output:
            raise ProtocolError(f"{self.link.name}: sense wires and integration change with the output off only")
        self._four_wire, self._nplc, self._setting = four_wire, nplc, None

    def source_voltage(
        self, volts: float, *, limit_a: float, range_v: float | None = None, range_a: float | None = None
    ) -> None:
        low, high = self.limits.min_voltage_v, self.limits.max_voltage_v
        _within("source voltage", volts, (low, high), "V", "instruments.min_voltage_v, max_voltage_v")
        least = _LEAST * self.CURRENT.spans[0].full_scale
        _within("limit_a", limit_a, (least, self.limits.max_current_a), "A", "instruments.max_current_a")
        source = self.VOLTAGE.span_for(volts if range_v is None else range_v)
        measure = self.CURRENT.span_for(limit_a if range_a is None else range_a)
        self._apply(_Setting("VOLT", volts, limit_a, source, measure), fixed=range_v is not None)

    def source_current(
        self, amps: float, *, limit_v: float, range_a: float | None = None, range_v: float | None = None
    ) -> None:
        top, high = self.limits.max_current_a, self.limits.max_voltage_v
        _within("source current", amps, (-top, top), "A", "instruments.max_current_a")
        _within("limit_v", limit_v, (_LEAST * self.VOLTAGE.spans[0].full_scale, high), "V", "instruments.max_voltage_v")
        source = self.CURRENT.span_for(amps if range_a is None else range_a)
        measure = self.VOLTAGE.span_for(limit_v if range_v is None else range_v)
        self._apply(_Setting("CURR", amps, limit_v, source, measure), fixed=range_a is not None)

    def _apply(self, new: _Setting, *, fixed: bool) -> None:
        old = self._setting
        if abs(new.level) > new.source.full_scale:
            raise LimitError("source level", new.level, new.source.full_scale, advice="give a larger source range")
        if old and not fixed and self.output and abs(new.level) <= old.source.full_scale:
            new = _Setting(new.function, new.level, new.limit, old.source, new.measure)
        same = old is not None and _Setting(new.function, old.level, new.limit, new.source, new.measure) == old
        if self.output and not same:
            raise ProtocolError(
                f"{self.link.name}: function, limit and ranges change with the output off only; give output_off() "
                "before, or ranges that hold all levels"
            )
        with self._off_on_error():
            if same:
                self.send(f":SOUR:{new.function}:LEV {new.level:.9g}")
            else:
                self._setting = None
                self.send(*self._configure(new))
            self._setting = new

    # -- output --------------------------------------------------------------------------------------------------------
    def output_on(self) -> None:
        if self._setting is None:
            raise ProtocolError(f"{self.link.name}: give source_voltage() or source_current() before output_on()")
        with self._off_on_error():
            self.send(":OUTP ON")
            self.output = True

    def output_off(self) -> None:
        self.output = False
        super().output_off()

    def close(self) -> None:
        self.output = False
        super().close()

    def measure(self, samples: int = 1) -> SourceMeasurement:
        if samples < 1:
            raise LimitError("samples", samples, 1)
        setting = self._setting
        if setting is None or not self.output:
            raise ProtocolError(f"{self.link.name}: measure() with the output off; give output_on() before")
        with self._off_on_error():
            seen = [self._read(setting) for _ in range(samples)]
            volts, amps, limited = zip(*seen, strict=True)
            spans = {setting.function: setting.source, setting.measured: setting.measure}
            result = SourceMeasurement(
                self.VOLTAGE.reading(volts, spans["VOLT"]), self.CURRENT.reading(amps, spans["CURR"])
            )
            if any(limited):
                unit, other = ("V", "A") if setting.function == "VOLT" else ("A", "V")
                raise ComplianceReached(
                    f"{self.link.name} reached its limit: {setting.level:g} {unit} asked for, {result.voltage} and "
                    f"{result.current} seen, limit {setting.limit:g} {other} on the {setting.measure.full_scale:g} "
                    f"{other} range; the output is off. Check the wiring, or give a larger limit or range",
                    result,
                )
        return result

    def _measure_s(self) -> float:
        return _CONVERSIONS * self._nplc * _CYCLE_S

    # -- dialects ------------------------------------------------------------------------------------------------------
    @abstractmethod
    def _configure(self, new: _Setting) -> tuple[str, ...]:
        """Commands that bring the instrument, its output off, to a setting."""

    @abstractmethod
    def _read(self, setting: _Setting) -> tuple[float, float, bool]:
        """One measurement: V, A, and whether the limit held the output."""


class Keithley2400(Keithley):
    """Keithley 2400 (SCPI-1999)."""

    MODELS = (("KEITHLEY", "2400"),)
    COMMANDS = "Series 2400 User's Manual, sections 17 and 18"
    VOLTAGE, CURRENT = VOLTAGE_2400, CURRENT_2400
    # Off is an open relay: the normal state would source 0 V into a line that may stand at the common mode.
    SETUP = (":OUTP:SMOD HIMP", ":SENS:FUNC:CONC ON", ':SENS:FUNC "VOLT","CURR"', ":FORM:ELEM VOLT,CURR,STAT")
    # Status word, section 17, :FORMat:ELEMents: over-range, compliance, over-voltage protection, range compliance.
    LIMITED = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 16

    def _configure(self, new: _Setting) -> tuple[str, ...]:
        source, measured = new.function, new.measured
        return (
            f":SYST:RSEN {_switch(self._four_wire)}",
            f":SENS:{measured}:NPLC {self._nplc:g}",
            f":SOUR:FUNC {source}",
            f":SOUR:{source}:MODE FIX",
            f":SOUR:{source}:LEV 0",
            f":SOUR:{source}:RANG {new.source.full_scale:g}",
            f":SENS:{measured}:PROT {new.limit:.9g}",
            f":SENS:{measured}:RANG {new.measure.full_scale:g}",
            f":SOUR:{source}:LEV {new.level:.9g}",
        )

    def _read(self, setting: _Setting) -> tuple[float, float, bool]:
        volts, amps, status = self.ask(":READ?", 3, extra_s=self._measure_s())
        return volts, amps, bool(int(status) & self.LIMITED)


class Keithley2450(Keithley):
    """Keithley 2450 (its own SCPI command set, not the emulation of a 2400)."""

    MODELS = (("KEITHLEY", "2450"),)
    COMMANDS = "Model 2450 Reference Manual, section 6"
    VOLTAGE, CURRENT = VOLTAGE_2450, CURRENT_2450
    SETUP = (":OUTP:VOLT:SMOD HIMP", ":OUTP:CURR:SMOD HIMP", ":SOUR:VOLT:READ:BACK ON", ":SOUR:CURR:READ:BACK ON")
    # Source status, section 8, bufferVar.sourcestatuses: over-voltage protection, over-temperature, limited.
    LIMITED = 4 | 16 | 32

    def __init__(self, link: VisaLink, limits: Instruments) -> None:
        language = link.query("*LANG?")
        if language != "SCPI":
            raise InstrumentError(
                f"{link.name} speaks {language}; choose the SCPI command set (menu, System, Settings, Command Set) and "
                "switch it off and on"
            )
        super().__init__(link, limits)

    def _configure(self, new: _Setting) -> tuple[str, ...]:
        source, measured = new.function, new.measured
        limit = {"VOLT": "ILIM", "CURR": "VLIM"}[source]
        return (
            f":SOUR:FUNC {source}",
            f":SOUR:{source}:LEV 0",
            f":SOUR:{source}:RANG {new.source.full_scale:g}",
            f':SENS:FUNC "{measured}"',
            f":SENS:{measured}:RSEN {_switch(self._four_wire)}",
            f":SENS:{measured}:NPLC {self._nplc:g}",
            f":SENS:{measured}:RANG {new.measure.full_scale:g}",
            f":SOUR:{source}:{limit} {new.limit:.9g}",
            f":SOUR:{source}:LEV {new.level:.9g}",
        )

    def _read(self, setting: _Setting) -> tuple[float, float, bool]:
        sourced, measured, status = self.ask(':READ? "defbuffer1",SOUR,READ,SOURSTAT', 3, extra_s=self._measure_s())
        volts, amps = (sourced, measured) if setting.function == "VOLT" else (measured, sourced)
        return volts, amps, bool(int(status) & self.LIMITED)


def open_smu(
    address: str,
    *,
    limits: Instruments | None = None,
    timeout_s: float = TIMEOUT_S,
    visa_library: str = "@py",
) -> Keithley2400 | Keithley2450:
    """Open the source-measure unit at a VISA address; its output is off.

    limits: what it may source, of the board that it is wired to (`Board.instruments`); by default those of a board
        file that says nothing.

    >>> with open_smu("TCPIP0::192.168.0.5::5025::SOCKET", limits=board.instruments) as smu:  # doctest: +SKIP
    ...     smu.source_current(50e-6, limit_v=3.0)
    ...     smu.output_on()
    ...     print(smu.measure(samples=10).current)
    """
    link = VisaLink(address, timeout_s=timeout_s, visa_library=visa_library)
    try:
        model = identify(link)[1]
        for kind in (Keithley2400, Keithley2450):
            if any(model == name for _, name in kind.MODELS):
                return kind(link, limits or Instruments())
        raise InstrumentError(f"{link.name} is a {model}; there are drivers for 2400 and 2450: check the address")
    except BaseException:
        link.close()
        raise


def _within(name: str, value: float, limit: tuple[float, float], unit: str, key: str) -> None:
    if not limit[0] <= value <= limit[1]:  # NaN fails the comparison
        raise LimitError(
            name, value, limit, unit, source=f"{key} of the board file", advice="what the board's lines can bear"
        )


def _switch(on: bool) -> str:
    return "ON" if on else "OFF"
