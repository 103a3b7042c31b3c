"""A bench beside a mock board: a source-measure unit and a multimeter behind sockets, their probes at its test points.

    with mock_bench(crossbar) as bench, open_smu(bench.address("smu")) as smu:
        bench.connect("smu", "SL3")

Test points are those of `firmware_bridge.mock.probe.Probe`. Each instrument has errors of its own, drawn from `seed`
within its data sheet's accuracy, and noise: what it shows is not what is there.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import ClassVar, Literal

import numpy as np

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock.board import MockBoard
from firmware_bridge.mock.probe import Port, Probe, Source
from firmware_bridge.mock.scpi import ErrorTable, ScpiInstrument, ScpiSocket, span_for

Function = Literal["VOLT", "CURR"]

INPUT_OHM, HIGH_INPUT_OHM = 10e6, 10e9
"""Of the multimeter: fixed, and "automatic" up to the 10 V range."""
LEAD_OHM = 0.15
"""Of one lead: two-wire resistance sees two."""


class MockBench:
    """Instruments ``"smu"`` and ``"dmm"``, each a socket; a context manager."""

    def __init__(
        self,
        board: MockBoard,
        tables: Mapping[str, ErrorTable],
        *,
        smu_model: Literal["2400", "2450"] = "2450",
        seed: int = 0,
    ) -> None:
        """`tables`: accuracies of the SMU (keys VOLT, CURR) and of the multimeter (VOLT:DC, CURR:DC, RES)."""
        self.probe = Probe(board)
        smu, dmm = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
        kind = {"2400": MockSmu2400, "2450": MockSmu2450}[smu_model]
        self.smu = kind(self.probe, tables, smu)
        self.dmm = MockDmm(self.probe, tables, dmm)
        self._sockets = {"smu": ScpiSocket(self.smu), "dmm": ScpiSocket(self.dmm)}

    def __enter__(self) -> MockBench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bench away; its instruments let go of the board."""
        for each in self._sockets.values():
            each.close()
        for instrument in (self.smu, self.dmm):
            instrument.connect(None)
        self.probe.bridge(0, 0, math.inf)

    def address(self, name: str) -> str:
        """VISA address of an instrument."""
        return self._sockets[name].address

    def connect(self, name: str, point: str | None) -> None:
        """Move an instrument's probes to a test point; None takes them away.

        Raises `ProtocolError` for a point that there is not, and under a live output.
        """
        (self.smu if name == "smu" else self.dmm).connect(point)

    def connect_resistor(self, sl: int, bl: int, ohm: float) -> None:
        """Hang a resistor between the test points of a source line and a bit line; infinite takes it away."""
        self.probe.bridge(sl, bl, ohm)

    def cut(self, name: str) -> None:
        """Pull an instrument's cable: its client is cut off, a new one may connect."""
        self._sockets[name].cut()


class _AtTheBoard(ScpiInstrument):
    """An instrument with two probes."""

    def __init__(self, probe: Probe, tables: Mapping[str, ErrorTable], rng: np.random.Generator) -> None:
        self._probe, self._tables = probe, tables
        self._point: str | None = None
        super().__init__(rng)

    def connect(self, point: str | None) -> None:
        if point is not None:
            self._probe.port(point)  # there is such a point
        if self._point is not None:
            self._probe.release(self._point)
        self._point = point

    def port(self) -> Port:
        """What the probes touch, at the present state of the board."""
        return Source("open leads", 0.0, 1e12, isolated=True) if self._point is None else self._probe.port(self._point)


class _MockSmu(_AtTheBoard):
    """Sources against the port at its probes; both quantities are measured. Sense wires see no lead."""

    output = False

    def connect(self, point: str | None) -> None:
        if self.output and point is not None:
            raise ProtocolError(f"the probes are moved to {point} with the output on; switch it off before")
        super().connect(point)

    def reset(self) -> None:
        super().reset()
        self.output = False
        self._carry()

    def changed(self, command: str) -> None:
        if command == "OUTP":
            self.output = self.settings["OUTP"] in ("ON", "1")
        if command == "OUTP" or command.endswith(":LEV"):
            try:
                self._carry()
            except BaseException:
                self.output = False
                raise

    @abstractmethod
    def limit(self, function: Function) -> float:
        """Limit of what is not sourced, V or A."""

    @abstractmethod
    def measure_setting(self) -> tuple[float, float]:
        """(power line cycles, range) of what is not sourced."""

    def function(self) -> Function:
        return "VOLT" if self.settings["SOUR:FUNC"] == "VOLT" else "CURR"

    def _state(self) -> tuple[float, float, bool]:
        """True V, A, and whether the limit holds the output."""
        port, function = self.port(), self.function()
        level, limit = self.number(f"SOUR:{function}:LEV"), self.limit(function)
        # What is sourced is off by as much as what is measured may be; the instrument measures it with another error.
        span = span_for(self._tables[function], self.number(f"SOUR:{function}:RANG"))
        gain, offset = self.flaw(f"source {function}", span.full_scale)
        level += gain * span.of_reading * level + offset * span.offset
        if function == "VOLT":
            amps = port.current_a(level)
            if abs(amps) > limit:
                amps = math.copysign(limit, amps)
                return port.voltage_v(amps), amps, True
            return level, amps, False
        volts = port.voltage_v(level)
        if abs(volts) > limit:
            volts = math.copysign(limit, volts)
            return volts, port.current_a(volts), True
        return volts, level, False

    def _carry(self) -> None:
        if self._point is not None:
            self.port().carry(self._state()[1] if self.output else 0.0)

    def measured(self) -> tuple[float, float, bool]:
        """V and A as the instrument shows them, and whether the limit holds the output."""
        volts, amps, limited = self._state()
        self._carry()
        nplc, measured = self.measure_setting()
        sourced = self.number(f"SOUR:{self.function()}:RANG")
        volt_range, amp_range = (sourced, measured) if self.function() == "VOLT" else (measured, sourced)
        return (
            self.shown(self._tables["VOLT"], volts, volt_range, nplc),
            self.shown(self._tables["CURR"], amps, amp_range, nplc),
            limited,
        )


class MockSmu2400(_MockSmu):
    """Keithley 2400, as far as its driver goes."""

    IDN = "KEITHLEY INSTRUMENTS INC.,MODEL 2400,1234567,C33   Mar 31 2015 09:32:39/A02  /K/J"
    DEFAULTS: ClassVar = {
        "SOUR:FUNC": "VOLT", "SOUR:VOLT:MODE": "FIX", "SOUR:CURR:MODE": "FIX", "SOUR:VOLT:LEV": "0",
        "SOUR:CURR:LEV": "0", "SOUR:VOLT:RANG": "20", "SOUR:CURR:RANG": "1e-4", "SENS:CURR:PROT": "1.05e-4",
        "SENS:VOLT:PROT": "21",
        "SENS:CURR:RANG": "1e-4", "SENS:VOLT:RANG": "20", "SENS:CURR:NPLC": "1", "SENS:VOLT:NPLC": "1",
        "SENS:FUNC:CONC": "ON", "SENS:FUNC": '"CURR"', "SYST:RSEN": "OFF", "OUTP": "OFF", "OUTP:SMOD": "NORM",
        "FORM:ELEM": "VOLT,CURR,RES,TIME,STAT",
    }  # fmt: skip

    def limit(self, function: Function) -> float:
        return self.number("SENS:CURR:PROT" if function == "VOLT" else "SENS:VOLT:PROT")

    def measure_setting(self) -> tuple[float, float]:
        other = "CURR" if self.function() == "VOLT" else "VOLT"
        return self.number(f"SENS:{other}:NPLC"), self.number(f"SENS:{other}:RANG")

    def answer(self, command: str, argument: str) -> str | None:
        if command == "OUTP?":
            return str(int(self.output))
        if command != "READ?":
            return None
        if not self.output:
            self.refuse('+803,"Not permitted with OUTPUT off"')
            return None
        volts, amps, limited = self.measured()
        status = 1 << 11 | 1 << 12 | int(limited) << 3
        return f"{volts:+.6E},{amps:+.6E},{status:+.6E}"


class MockSmu2450(_MockSmu):
    """Keithley 2450 in its SCPI command set, as far as its driver goes."""

    IDN = "KEITHLEY INSTRUMENTS,MODEL 2450,04096331,1.7.0b"
    NO_ERROR = '0,"No error;0;0 0"'
    DEFAULTS: ClassVar = {
        "SOUR:FUNC": "VOLT", "SOUR:VOLT:LEV": "0", "SOUR:CURR:LEV": "0", "SOUR:VOLT:RANG": "0.02",
        "SOUR:CURR:RANG": "1e-8", "SOUR:VOLT:ILIM": "1.05e-4", "SOUR:CURR:VLIM": "21", "SENS:FUNC": '"CURR"',
        "SENS:CURR:RANG": "1e-4", "SENS:VOLT:RANG": "0.02", "SENS:CURR:NPLC": "1", "SENS:VOLT:NPLC": "1",
        "SENS:CURR:RSEN": "OFF", "SENS:VOLT:RSEN": "OFF", "SOUR:VOLT:READ:BACK": "ON", "SOUR:CURR:READ:BACK": "ON",
        "OUTP": "OFF", "OUTP:VOLT:SMOD": "NORM", "OUTP:CURR:SMOD": "NORM",
    }  # fmt: skip

    def limit(self, function: Function) -> float:
        return self.number("SOUR:VOLT:ILIM" if function == "VOLT" else "SOUR:CURR:VLIM")

    def measure_setting(self) -> tuple[float, float]:
        other = self.settings["SENS:FUNC"].strip('"')
        return self.number(f"SENS:{other}:NPLC"), self.number(f"SENS:{other}:RANG")

    def answer(self, command: str, argument: str) -> str | None:
        if command == "*LANG?":
            return "SCPI"
        if command == "OUTP?":
            return str(int(self.output))
        if command != "READ?" or argument != '"defbuffer1",SOUR,READ,SOURSTAT':
            return None
        volts, amps, limited = self.measured()
        pair = (volts, amps) if self.function() == "VOLT" else (amps, volts)
        return f"{pair[0]:.6E},{pair[1]:.6E},{128 * self.output + 32 * limited}"


class MockDmm(_AtTheBoard):
    """Keysight 34465A, as far as its driver goes."""

    IDN = "Keysight Technologies,34465A,MY54505388,A.02.17-02.40-02.17-00.52-03-02"
    NO_ERROR = '+0,"No error"'
    DEFAULTS: ClassVar = {
        "CONF:VOLT:DC": "10", "CONF:CURR:DC": "1", "CONF:RES": "1000", "CONF:FRES": "1000", "SAMP:COUN": "1",
        "SENS:VOLT:DC:NPLC": "10", "SENS:CURR:DC:NPLC": "10", "SENS:RES:NPLC": "10", "SENS:FRES:NPLC": "10",
        "SENS:VOLT:DC:IMP:AUTO": "OFF",
    }  # fmt: skip
    TEST_A: ClassVar = {100.0: 1e-3, 1e3: 1e-3, 10e3: 100e-6, 100e3: 10e-6, 1e6: 5e-6}
    """Current of resistance measurements, by range, Ω."""

    def reset(self) -> None:
        super().reset()
        self._function, self._range = "VOLT:DC", 10.0

    def changed(self, command: str) -> None:
        if command.startswith("CONF:"):
            self._function, self._range = command.removeprefix("CONF:"), self.number(command)
            self.settings["SAMP:COUN"] = "1"

    def answer(self, command: str, argument: str) -> str | None:
        if command != "READ?":
            return None
        nplc = self.number(f"SENS:{self._function}:NPLC")
        table, value = self._true()
        shown = (self.shown(table, value, self._range, nplc) for _ in range(int(self.settings["SAMP:COUN"])))
        return ",".join(f"{x:+.8E}" for x in shown)

    def _true(self) -> tuple[ErrorTable, float]:
        port = self.port()
        if self._function == "VOLT:DC":
            high = self.settings["SENS:VOLT:DC:IMP:AUTO"] == "ON" and self._range <= 10
            open_v = port.voltage_v(0.0)
            inner_ohm = (port.voltage_v(1e-9) - open_v) / 1e-9
            input_ohm = HIGH_INPUT_OHM if high else INPUT_OHM
            return self._tables["VOLT:DC"], open_v * input_ohm / (input_ohm + inner_ohm)
        if self._function == "CURR:DC":
            return self._tables["CURR:DC"], -port.current_a(0.0)
        test_a = self.TEST_A[self._range]
        leads_ohm = 2 * LEAD_OHM if self._function == "RES" else 0.0
        return self._tables["RES"], port.voltage_v(test_a) / test_a + leads_ohm
