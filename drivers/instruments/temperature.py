"""Temperature stage: Lake Shore 335 at a serial port, its heater and its sensor under the board.

Source: Model 335 Temperature Controller User's Manual, section 6: INTYPE?, OUTMODE?, TLIMIT, SETP, RANGE, KRDG?,
RDGST?, HTRST?, and the event register *ESR? in place of an error queue.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from drivers.board import Instruments
from drivers.instruments.output import Off, Source
from drivers.instruments.visa import TIMEOUT_S, InstrumentError, SerialLine, VisaLink
from firmware_bridge.errors import LimitError

LINE = SerialLine(57600, data_bits=7, parity="odd")
"""Of the instrument's USB serial port, fixed."""
_HEATER_RANGE = 3  # high: the control loop limits itself
_READING = {1: "reading invalid", 16: "under range", 32: "over range", 64: "sensor at zero", 128: "sensor over range"}
_REFUSED = {4: "query error", 8: "device error", 16: "value not allowed", 32: "unknown command"}
_HEATER = {1: "open", 2: "shorted"}


@dataclass(frozen=True)
class Settling:
    """When a temperature counts as reached: every reading within ±`within_k` of the set-point for `for_s`.

    timeout_s: how long that may take in all. poll_s: from reading to reading.

    Raises `LimitError` for a value that is not positive and finite, or a timeout that leaves no time.
    """

    within_k: float = 0.1
    for_s: float = 60.0
    timeout_s: float = 1800.0
    poll_s: float = 1.0

    def __post_init__(self) -> None:
        for name, unit in (("within_k", "K"), ("for_s", "s"), ("timeout_s", "s"), ("poll_s", "s")):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise LimitError(name, value, (1e-3, 1e6), unit)
        if self.timeout_s <= self.for_s:
            raise LimitError("timeout_s", self.timeout_s, self.for_s, "s", advice="it includes for_s")


class NotSettled(InstrumentError):
    """The temperature was not reached in time; the heater is off."""


class LakeShore335(Source):
    """A heater at output 1 that follows the sensor at input A. The heater is off on every way out."""

    MODELS = (("LSCI", "335"),)
    COMMANDS = "the Model 335 User's Manual, section 6"
    OFF = Off("RANGE 1,0", "RANGE? 1", "0", "heater")

    def __init__(self, link: VisaLink, limits: Instruments) -> None:
        """Heater off, and the set-up of the front panel looked at. Raises `InstrumentError` if it is not as it must be.

        limits: ``min_temperature_k``, ``max_temperature_k`` of the board; the instrument itself holds the upper one.
        """
        super().__init__(link)
        self.limits = limits
        try:
            self.output_off()
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self) -> None:
        units = int(self.ask("INTYPE? A", 5)[4])
        if units != 1:
            raise InstrumentError(
                f"{self.link.name}: 'INTYPE? A' says that set-points are not in kelvin; "
                "choose Preferred Units K of input A"
            )
        mode, sensor, _ = self.ask("OUTMODE? 1", 3)
        if (mode, sensor) != (1, 1):
            raise InstrumentError(
                f"{self.link.name}: 'OUTMODE? 1' says mode {mode:g}, input {sensor:g}, where output 1 must follow "
                "input A in a closed loop; choose Output Mode Closed Loop PID, Control Input A"
            )
        self.send(f"TLIMIT A,{self.limits.max_temperature_k:.2f}")

    def temperature_k(self) -> float:
        """Temperature of the sensor, K. Raises `InstrumentError` for a reading that the instrument itself doubts."""
        (kelvin,) = self.ask("KRDG? A", 1)
        flags = self._flags("RDGST? A", _READING)
        if flags:
            raise InstrumentError(f"{self.link.name}: the sensor at input A: {flags}; check its cable and its curve")
        return kelvin

    def settle(self, kelvin: float, settling: Settling | None = None) -> float:
        """Go to a temperature and stay there until it is settled. Returns the mean of the settled readings, K.

        The stage goes on to hold it. Raises `LimitError` for a temperature that the board does not allow; nothing is
        sent then. Any other error switches the heater off: `NotSettled` after the timeout, `InstrumentError` for a
        sensor or a heater that is not well and for a reading beyond the limits.
        """
        limits, settling = self.limits, settling or Settling()
        bounds = (limits.min_temperature_k, limits.max_temperature_k)
        if not bounds[0] <= kelvin <= bounds[1]:  # NaN fails the comparison
            raise LimitError(
                "temperature", kelvin, bounds, "K",
                source="instruments.min_temperature_k, max_temperature_k of the board file",
                advice="what the board's parts can bear",
            )  # fmt: skip
        with self._off_on_error():
            self.send(f"SETP 1,{kelvin:.3f}", f"RANGE 1,{_HEATER_RANGE}")
            return self._wait(kelvin, settling, bounds)

    def _wait(self, kelvin: float, settling: Settling, bounds: tuple[float, float]) -> float:
        start_s = since_s = time.monotonic()
        inside: list[float] = []
        while True:
            seen_k, now_s = self.temperature_k(), time.monotonic()
            if not bounds[0] - settling.within_k <= seen_k <= bounds[1] + settling.within_k:
                raise InstrumentError(
                    f"{self.link.name}: {seen_k:.2f} K on the way to {kelvin:g} K is outside {bounds[0]:g} … "
                    f"{bounds[1]:g} K; the heater is off. Tune the control loop, or check the sensor"
                )
            heater = self._flags("HTRST? 1", _HEATER)
            if heater:
                raise InstrumentError(f"{self.link.name}: heater {heater}; check its cable")
            if abs(seen_k - kelvin) > settling.within_k:
                inside, since_s = [], now_s
            else:
                since_s = since_s if inside else now_s
                inside.append(seen_k)
                if now_s - since_s >= settling.for_s:
                    return math.fsum(inside) / len(inside)
            if now_s - start_s > settling.timeout_s:
                held_s = now_s - since_s if inside else 0.0
                raise NotSettled(
                    f"{self.link.name}: {kelvin:g} K not settled within {settling.timeout_s:g} s: {seen_k:.2f} K last, "
                    f"within ±{settling.within_k:g} K for {held_s:.0f} s where {settling.for_s:g} s are asked for; the "
                    "heater is off. Give more time or a wider band, or tune the control loop"
                )
            time.sleep(settling.poll_s)

    def check(self, after: str) -> None:
        """Look at the event register, which reading clears. Raises `InstrumentError` for a command that was refused."""
        flags = self._flags("*ESR?", _REFUSED)
        if flags:
            raise InstrumentError(f"{self.link.name} refused {after!r}: {flags}; see {self.COMMANDS}")

    def _flags(self, question: str, meaning: dict[int, str]) -> str:
        """What the bits, or the value, of a status say; empty if nothing."""
        (value,) = self.link.numbers(question, 1)
        if value != int(value) or value < 0:
            raise self.link.unusable(question, repr(value), "not a status; is it the answer to another question?")
        return ", ".join(text for bit, text in meaning.items() if int(value) & bit)


def open_stage(
    address: str, *, limits: Instruments | None = None, timeout_s: float = TIMEOUT_S, visa_library: str = "@py"
) -> LakeShore335:
    """Open the temperature stage at a VISA address of a serial port; its heater is off.

    limits: temperatures that the board allows (`Board.instruments`), by default those of a board file without any.

    >>> with open_stage("ASRL/dev/ttyUSB0::INSTR", limits=board.instruments) as stage:  # doctest: +SKIP
    ...     print(stage.settle(358.15))
    """
    link = VisaLink(address, timeout_s=timeout_s, line=LINE, visa_library=visa_library)
    try:
        return LakeShore335(link, limits or Instruments())
    except BaseException:
        link.close()
        raise
