"""Digital multimeter: Keysight 34465A.

Source: Truevolt Series Operating and Service Guide, SCPI command reference.
"""

from __future__ import annotations

from types import TracebackType

from drivers.instruments.accuracy import Accuracy, Reading, Span
from drivers.instruments.visa import TIMEOUT_S, ScpiInstrument, VisaLink
from firmware_bridge.errors import LimitError

NPLC = (1.0, 10.0, 100.0)
"""Integration times, power line cycles. Below 1 the data sheet adds noise that the tables here do not hold."""
_CYCLE_S = 1 / 50
_LEADS_OHM = 0.2

_SHEET = (
    "to be verified: 1-year limits of the 34461A, recalled, which the 34465A is better than; replace them by those of "
    "your instrument's data sheet or calibration certificate"
)


def _table(quantity: str, unit: str, rows: tuple[tuple[float, float, float], ...]) -> Accuracy:
    """Rows (range, % of reading, % of range), as the data sheet prints them."""
    spans = tuple(Span(top, reading / 100, of_range / 100 * top) for top, reading, of_range in rows)
    return Accuracy(quantity, unit, spans, _SHEET)


DC_VOLTAGE = _table(
    "DC voltage", "V",
    ((0.1, 0.005, 0.0035), (1, 0.004, 0.0007), (10, 0.0035, 0.0005), (100, 0.0045, 0.0006), (1000, 0.0045, 0.001)),
)  # fmt: skip
DC_CURRENT = _table(
    "DC current", "A",
    ((100e-6, 0.05, 0.025), (1e-3, 0.05, 0.006), (10e-3, 0.05, 0.02), (100e-3, 0.05, 0.005), (1, 0.1, 0.01)),
)  # fmt: skip
RESISTANCE = _table(
    "resistance", "Ω",
    ((100, 0.01, 0.004), (1e3, 0.01, 0.001), (10e3, 0.01, 0.001), (100e3, 0.01, 0.001), (1e6, 0.01, 0.001)),
)  # fmt: skip


class Keysight34465A(ScpiInstrument):
    """A multimeter sources nothing but the test current of resistance: 1 mA at most, on the ranges up to 1 kΩ."""

    MODELS = (("KEYSIGHT", "34465A"), ("AGILENT", "34465A"))
    COMMANDS = "the Truevolt Series Operating and Service Guide"

    def __init__(self, link: VisaLink) -> None:
        super().__init__(link)
        self._setup: tuple[str, ...] = ()
        self.send("*RST")

    def __enter__(self) -> Keysight34465A:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the instrument."""
        self.link.close()

    def dc_voltage(self, range_v: float, *, nplc: float = 10, samples: int = 1) -> Reading:
        """V from HI to LO, on the smallest range that holds ±`range_v`, at more than 10 GΩ up to 10 V.

        Raises `LimitError` for a range, an integration time or a number of samples that there is not, and
        `InstrumentError` for an overload.
        """
        span = DC_VOLTAGE.span_for(range_v)
        setup = (f":CONF:VOLT:DC {span.full_scale:g}", f":SENS:VOLT:DC:NPLC {_nplc(nplc)}", ":SENS:VOLT:DC:IMP:AUTO ON")
        return DC_VOLTAGE.reading(self._read(setup, nplc, samples), span)

    def dc_current(self, range_a: float, *, nplc: float = 10, samples: int = 1) -> Reading:
        """A into HI; otherwise like `dc_voltage`. The meter drops up to some 0.1 V per full scale: its shunt."""
        span = DC_CURRENT.span_for(range_a)
        setup = (f":CONF:CURR:DC {span.full_scale:g}", f":SENS:CURR:DC:NPLC {_nplc(nplc)}")
        return DC_CURRENT.reading(self._read(setup, nplc, samples), span)

    def resistance(self, range_ohm: float, *, four_wire: bool = True, nplc: float = 10, samples: int = 1) -> Reading:
        """Ω between HI and LO. With two wires their resistance is in the reading, and 0.2 Ω in its error bound."""
        span = RESISTANCE.span_for(range_ohm)
        function = "FRES" if four_wire else "RES"
        setup = (f":CONF:{function} {span.full_scale:g}", f":SENS:{function}:NPLC {_nplc(nplc)}")
        values = self._read(setup, nplc, samples, conversions=4)
        return RESISTANCE.reading(values, span, 0.0 if four_wire else _LEADS_OHM)

    def _read(self, setup: tuple[str, ...], nplc: float, samples: int, conversions: int = 2) -> list[float]:
        """Samples of what `setup` configures; conversions of one, those of its zero included."""
        if not 1 <= samples <= 10000:
            raise LimitError("samples", samples, (1, 10000))
        setup = (*setup, f":SAMP:COUN {samples}")
        if setup != self._setup:
            self._setup = ()
            self.send(*setup)
            self._setup = setup
        return self.ask(":READ?", samples, extra_s=conversions * samples * nplc * _CYCLE_S)


def open_dmm(address: str, *, timeout_s: float = TIMEOUT_S, visa_library: str = "@py") -> Keysight34465A:
    """Open the multimeter at a VISA address.

    >>> with open_dmm("TCPIP0::192.168.0.6::5025::SOCKET") as dmm:  # doctest: +SKIP
    ...     print(dmm.dc_voltage(3.0, samples=10))
    """
    link = VisaLink(address, timeout_s=timeout_s, visa_library=visa_library)
    try:
        return Keysight34465A(link)
    except BaseException:
        link.close()
        raise


def _nplc(nplc: float) -> str:
    if nplc not in NPLC:
        raise LimitError("nplc", nplc, (NPLC[0], NPLC[-1]), advice="give 1, 10 or 100")
    return f"{nplc:g}"
