"""What instruments at the mock board's test points see, and what they do to the board.

A `Port` is two terminals: how voltage and current there depend on each other, at the state in which the last program
left the board, everything settled. Board time stands still meanwhile: it passes in programs only.

This is physics for a simulated bench. Calibration sees it through instruments, which have errors of their own.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock.array import Response, excess_voltage
from firmware_bridge.mock.board import READ_BIAS_V, MockBoard
from firmware_bridge.mock.cd4051b import Cd4051b

Volts = NDArray[np.float64]
Carry = Callable[[str, Volts], None]
"""What a port tells the board: its name, and the currents (n_sl,) A that it lets flow into the source lines."""

OPEN_OHM = 1e12
"""Of a mux that connects nothing (assumed; leakage is not modelled)."""
BIAS_OHM = 10e6
"""From a bit line that nothing drives to the common mode (assumed; see `mock.board`)."""
LOAD_A = 1e-6
"""Into a driven line: more would move what the cells see, which the mock does not follow."""


class Port(ABC):
    """Two terminals of the board; LO is ground unless the name says otherwise."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    def voltage_v(self, amps: float) -> float:
        """V from HI to LO while `amps` flow into HI."""

    @abstractmethod
    def current_a(self, volts: float) -> float:
        """A into HI while `volts` are held there; infinite against a source without resistance."""

    @abstractmethod
    def carry(self, amps: float) -> None:
        """Let this current flow until another is given; conversions see it. Raises `ProtocolError` if they cannot."""


class Source(Port):
    """A voltage behind a resistance; `isolated` from the lines, so that a current disturbs nothing."""

    def __init__(self, name: str, open_v: float, ohm: float, *, isolated: bool = False) -> None:
        super().__init__(name)
        self._open_v, self._ohm, self._isolated = open_v, ohm, isolated

    def voltage_v(self, amps: float) -> float:
        return self._open_v + self._ohm * amps

    def current_a(self, volts: float) -> float:
        over = volts - self._open_v
        return over / self._ohm if self._ohm else math.copysign(math.inf, over) if over else 0.0

    def carry(self, amps: float) -> None:
        if abs(amps) > LOAD_A and not self._isolated:
            raise ProtocolError(f"{amps:g} A into {self.name} would move its line, which the mock does not follow")


class SourceLine(Port):
    """A source line: the virtual ground of its amplifier, until the amplifier is at a rail."""

    def __init__(self, name: str, board: MockBoard, line: int, from_array_a: float, carry: Carry) -> None:
        super().__init__(name)
        self._line, self._carry, self._from_array_a = line, carry, from_array_a
        self._series_ohm = float(board.array.wires.sl_series_ohm[line])
        self._rf_ohm = float(board.tia.rf_ohm[line])
        self._ground_v = float(board.tia.sl_voltage_v(board.reference_v(math.inf))[line])
        self._low_v, self._high_v = board.tia.output_range_v
        self._n_sl = board.wiring.n_sl

    def voltage_v(self, amps: float) -> float:
        into_a = self._from_array_a + amps
        output_v = min(max(self._ground_v - self._rf_ohm * into_a, self._low_v), self._high_v)
        return output_v + self._rf_ohm * into_a + self._series_ohm * amps

    def current_a(self, volts: float) -> float:
        # Three straight pieces: between the knees, where the amplifier meets a rail, it is the virtual ground.
        for rail_v in (self._low_v, self._high_v):
            knee_a = (self._ground_v - rail_v) / self._rf_ohm - self._from_array_a
            beyond_v = volts - self.voltage_v(knee_a)
            if beyond_v > 0 if rail_v == self._low_v else beyond_v < 0:
                return knee_a + beyond_v / (self._rf_ohm + self._series_ohm)
        return (volts - self._ground_v) / self._series_ohm if self._series_ohm else 0.0

    def carry(self, amps: float) -> None:
        into = np.zeros(self._n_sl)
        into[self._line] = amps
        self._carry(self.name, into)


class Cell(Port):
    """A cell between its bit line (HI), which must be disconnected, and its source line (LO), gates as they are.

    HI feeds every cell of its bit line whose gate is on: turn on the one row that is meant.
    """

    def __init__(self, name: str, line: int, cells_s: Volts, nonlinear: Volts, carry: Carry) -> None:
        super().__init__(name)
        self._line, self._cells_s, self._nonlinear, self._carry = line, cells_s, nonlinear, carry

    def _rows_a(self, volts: float) -> Volts:
        if abs(volts) > READ_BIAS_V:
            raise LimitError(
                f"voltage over {self.name}", volts, (-READ_BIAS_V, READ_BIAS_V), "V", source="mock",
                advice="more would program the cell; use pulses",
            )  # fmt: skip
        return self._cells_s * (volts + self._nonlinear * excess_voltage(volts))

    def current_a(self, volts: float) -> float:
        return float(self._rows_a(volts).sum())

    def voltage_v(self, amps: float) -> float:
        if not self._cells_s.any():
            return OPEN_OHM * amps
        low, high = -READ_BIAS_V, READ_BIAS_V
        if not self.current_a(low) <= amps <= self.current_a(high):
            return math.copysign(math.inf, amps)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if self.current_a(middle) < amps else (low, middle)
        return (low + high) / 2

    def carry(self, amps: float) -> None:
        rows = self._rows_a(self.voltage_v(amps))
        rows[self._line] -= amps
        self._carry(self.name, rows)


class Probe:
    """The test points of a mock board.

    ======================  =========================================================================================
    ``BL3``, ``WL3``        line, behind mux and buffer; a bit line that nothing drives floats to the reference
    ``DAC12``               output of a DAC channel, counted over all chips
    ``SL3``                 source line, at its amplifier's input
    ``TIA3``                output of that amplifier
    ``REF``, ``VCM``        reference of the amplifiers, as the mux has it now; common mode
    ``MUX_BL3``,            a mux, from the input it selects to its output, as a resistance
    ``MUX_ADC2``, ``MUX_REF``
    ``CELL3,5``             cell of SL 3 and BL 5: HI at the bit line, LO at the source line
    ======================  =========================================================================================
    """

    def __init__(self, board: MockBoard) -> None:
        self._board = board
        self._carried: dict[str, Volts] = {}

    def port(self, name: str) -> Port:
        """The test point `name`, at the present state of the board. Raises `ProtocolError` if there is none."""
        board, wiring = self._board, self._board.wiring
        match = re.fullmatch(r"(BL|WL|SL|DAC|TIA|MUX_BL|MUX_ADC|CELL|REF|VCM|MUX_REF)(\d*)(?:,(\d+))?", name)
        counts = {
            "BL": wiring.n_bl, "WL": wiring.n_sl, "SL": wiring.n_sl, "TIA": wiring.n_sl, "CELL": wiring.n_sl,
            "DAC": wiring.n_channels, "MUX_BL": wiring.n_bl, "MUX_ADC": wiring.n_adcs,
        }  # fmt: skip
        kind = match[1] if match else ""
        index = int(match[2]) if match and match[2] else -1
        column = int(match[3]) if match and match[3] else -1
        if (
            not match
            or index not in (range(counts[kind]) if kind in counts else (-1,))
            or column not in (range(wiring.n_bl) if kind == "CELL" else (-1,))
        ):
            raise ProtocolError(f"test point {name!r} is not on this board; see firmware_bridge.mock.probe.Probe")
        match kind:
            case "BL":
                return self._bit_line(name, index)
            case "WL":
                return Source(name, float(board.lines_v(math.inf)[1][index]), 0.0)
            case "DAC":
                chip, channel = divmod(index, wiring.dac_channels)
                return Source(name, float(board.dacs[chip].output_v(math.inf)[channel]), 0.0)
            case "SL":
                mine = self._carried.get(name, np.zeros(wiring.n_sl))
                inflow_a = self._array_a()[index] + board.injected_a[index] - mine[index]
                return SourceLine(name, board, index, float(inflow_a), self._carry)
            case "TIA":
                into_a = self._array_a() + board.injected_a
                return Source(name, float(board.tia.output_v(into_a, board.reference_v(math.inf))[index]), 0.0)
            case "CELL":
                if board.gate:
                    raise ProtocolError(f"{name}: its bit line is driven; disconnect the bit lines (GATE 0) first")
                response = self._response()
                return Cell(name, index, response.transfer_s[:, column], response.nonlinear[:, column], self._carry)
            case "REF":
                return Source(name, board.reference_v(math.inf), 0.0)
            case "VCM":
                return Source(name, board.vcm_v, 0.0)
            case _:
                group = {"MUX_BL": board.bl_mux, "MUX_ADC": board.adc_mux, "MUX_REF": board.reference_mux}[kind]
                return Source(name, 0.0, _mux_ohm(group, max(index, 0)), isolated=True)

    def bridge(self, sl: int, bl: int, ohm: float) -> None:
        """A resistor of `ohm` between the test points of a source line and a bit line, in place of any other; infinite:
        none. It sees the driver of its bit line, and is meant for rows that are off: beside cells, its current would
        lower what they get, which the mock does not follow."""
        bridged = np.zeros(self._board.array.shape)
        bridged[sl, bl] = 1.0 / (ohm + float(self._board.array.wires.bl_source_ohm[bl]))
        self._board.bridge_lines(bridged)

    def release(self, name: str) -> None:
        """Nothing flows into this test point any more."""
        if name in self._carried:
            self._carry(name, np.zeros(self._board.wiring.n_sl))

    def _carry(self, name: str, into_a: Volts) -> None:
        self._carried[name] = into_a
        self._board.inject(sum(self._carried.values(), np.zeros(self._board.wiring.n_sl)))

    def _response(self) -> Response:
        _, wl, _ = self._board.lines_v(math.inf)
        sl = np.full(self._board.wiring.n_sl, self._board.reference_v(math.inf))
        return self._board.array.response(self._board.array.now_s, wl, sl)

    def _relative_v(self) -> Volts:
        """Bit lines relative to the reference, V; 0 where they float."""
        bl = self._board.lines_v(math.inf)[0]
        return np.where(np.isnan(bl), 0.0, bl - self._board.reference_v(math.inf))

    def _array_a(self) -> Volts:
        """Currents (n_sl,) A from the array into the source lines, as conversions see them, without noise."""
        response, relative = self._response(), self._relative_v()
        transfer = response.transfer_s + self._board.bridged_s
        linear = transfer @ relative - transfer.sum(axis=1) * self._board.tia.v_os_v
        return linear + (transfer * response.nonlinear) @ excess_voltage(relative)

    def _bit_line(self, name: str, line: int) -> Port:
        board = self._board
        driven_v = board.lines_v(math.inf)[0][line]
        if math.isnan(driven_v):
            return Source(name, board.reference_v(math.inf), BIAS_OHM)
        ohm = float(board.array.wires.bl_source_ohm[line])
        # What leaves through the cells of this line, to first order in the lines' resistance.
        response, over_v = self._response(), float(self._relative_v()[line])
        cells_s = response.transfer_s[:, line]
        drawn_a = float((cells_s * (over_v + response.nonlinear[:, line] * excess_voltage(over_v))).sum())
        return Source(name, float(driven_v) - ohm * drawn_a, ohm)


def _mux_ohm(mux: Cd4051b, index: int) -> float:
    return float(mux.r_on_ohm[index]) if mux.channel(math.inf) is not None else OPEN_OHM
