"""The driver for what answers at an address."""

from __future__ import annotations

from drivers.board import Instruments
from drivers.instruments.dmm import Keysight34465A, open_dmm
from drivers.instruments.smu import Keithley2400, Keithley2450, open_smu
from drivers.instruments.temperature import LINE, LakeShore335, open_stage
from drivers.instruments.visa import TIMEOUT_S, InstrumentError, VisaLink, identify

Instrument = Keithley2400 | Keithley2450 | Keysight34465A | LakeShore335
DRIVERS = (Keithley2400, Keithley2450, Keysight34465A, LakeShore335)


def open_instrument(
    address: str, *, limits: Instruments | None = None, timeout_s: float = TIMEOUT_S, visa_library: str = "@py"
) -> Instrument:
    """Open what is at a VISA address with its driver; a source is off then. A serial port is set for the stage.

    Raises `InstrumentLost` if nothing answers, `InstrumentError` if there is no driver for what does.
    """
    with VisaLink(address, timeout_s=timeout_s, line=LINE, visa_library=visa_library) as link:
        maker, model, *_ = identify(link)
    if model in ("2400", "2450"):
        return open_smu(address, limits=limits, timeout_s=timeout_s, visa_library=visa_library)
    if model == "34465A":
        return open_dmm(address, timeout_s=timeout_s, visa_library=visa_library)
    if model == "335":
        return open_stage(address, limits=limits, timeout_s=timeout_s, visa_library=visa_library)
    known = ", ".join(dict.fromkeys(name for driver in DRIVERS for _, name in driver.MODELS))
    raise InstrumentError(f"instrument at {address} is {maker} {model}; there are drivers for {known}")
