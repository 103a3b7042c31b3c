"""A bench: two instruments, who moves their probes, and what was seen of the common mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from drivers.calibration_record import InstrumentUsed
from drivers.instruments.accuracy import Reading
from drivers.instruments.dmm import Keysight34465A
from drivers.instruments.smu import Keithley

LEVEL_RANGE_V = 10.0
"""Range of the multimeter at lines and references, V."""


class Probes(Protocol):
    """Whoever moves the probes: a person, a switch matrix, the mock's bench."""

    def connect(self, name: str, point: str | None) -> None:
        """Put an instrument's probes (``"dmm"``, ``"smu"``) at a test point, or take them away."""


@dataclass(frozen=True)
class Bench:
    """A multimeter and a source-measure unit, and who moves their probes."""

    dmm: Keysight34465A
    smu: Keithley
    probes: Probes

    def volts(self, point: str, *, nplc: float = 1, samples: int = 1) -> Reading:
        """DC voltage at a test point."""
        self.probes.connect("dmm", point)
        return self.dmm.dc_voltage(LEVEL_RANGE_V, nplc=nplc, samples=samples)

    def used(self) -> tuple[InstrumentUsed, ...]:
        """Who measured."""
        return tuple(
            InstrumentUsed(role=role, maker=i.maker, model=i.model, serial=i.serial, firmware=i.firmware)
            for role, i in (("dmm", self.dmm), ("smu", self.smu))
        )


class Common(NamedTuple):
    """The common mode and its standard error, V."""

    volts: float
    error: float
