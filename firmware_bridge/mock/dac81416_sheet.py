"""TI DAC81416, what its datasheet (SLASEO0) tabulates: register map, timing limits, error limits.

Times are those of its eight-channel sister DAC81408 (SLASER3A, timing requirements, VIO ≥ 2.7 V), and errors those of
the four-channel DAC81404 (SLASEH2A, electrical characteristics), which were at hand; the limits say so.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from firmware_bridge.errors import LimitError
from firmware_bridge.mock.dac import IDEAL, ChipParams
from firmware_bridge.mock.limits import Limit

CHIP = "DAC81416"
N_CHANNELS: Literal[16] = 16

(
    NOP, DEVICEID, STATUS, SPICONFIG, GENCONFIG, BRDCONFIG, SYNCCONFIG, TOGGCONFIG0, TOGGCONFIG1, DACPWDWN,
    DACRANGE0, DACRANGE1, DACRANGE2, DACRANGE3, TRIGGER, BRDCAST, DAC0,
) = range(17)  # fmt: skip
REGISTER_NAMES = (
    "NOP", "DEVICEID", "STATUS", "SPICONFIG", "GENCONFIG", "BRDCONFIG", "SYNCCONFIG", "TOGGCONFIG0", "TOGGCONFIG1",
    "DACPWDWN", "DACRANGE0", "DACRANGE1", "DACRANGE2", "DACRANGE3", "TRIGGER", "BRDCAST",
    *(f"DAC{n}" for n in range(N_CHANNELS)),
)  # fmt: skip
# Bits that may be written and that the model knows; the others must be as after a reset. None: read-only.
WRITABLE: dict[int, int | None] = {
    NOP: 0x0000,
    DEVICEID: None,
    STATUS: None,
    SPICONFIG: 0x0E26,
    GENCONFIG: 0x4000,
    TOGGCONFIG0: 0x0000,
    TOGGCONFIG1: 0x0000,
    TRIGGER: 0x011F,
}
NOT_MODELLED = {
    SPICONFIG: "CRC-EN, STR-EN and SOFTTOGGLE-EN",
    GENCONFIG: "differential outputs",
    TOGGCONFIG0: "toggling",
    TOGGCONFIG1: "toggling",
    TRIGGER: "toggling",
}
DEV_PWDWN, SDO_EN, FSDO = 1 << 5, 1 << 2, 1 << 1
REF_PWDWN = 1 << 14
LDAC, SOFT_RESET_MASK, SOFT_RESET = 1 << 4, 0xF, 0b1010
RANGE_V = {0b0000: 5.0, 0b0001: 10.0, 0b0010: 20.0, 0b0100: 40.0}
"""Full-scale output of the unipolar ranges with the reference of 2.5 V, V, by the code in DACRANGE. The bipolar ones
need a negative supply, which the mock's board does not have."""
RESET_VALUES = {SPICONFIG: 0x0AA4, GENCONFIG: 0x7F00, BRDCONFIG: 0xFFFF, DACPWDWN: 0xFFFF, DEVICEID: 0x0A70}

_TIMING = "SLASER3A, timing requirements, VIO ≥ 2.7 V"
F_SCLK_WRITE = Limit(CHIP, "fSCLK (write)", "Hz", _TIMING, maximum=50e6)
F_SCLK_READ_SLOW = Limit(CHIP, "fSCLK (read, FSDO = 0)", "Hz", _TIMING, maximum=20e6)
F_SCLK_READ_FAST = Limit(
    CHIP,
    "fSCLK (read, FSDO = 1)",
    "Hz",
    "SLASEH2A, timing requirements, IOVDD ≥ 2.7 V",
    maximum=35e6,
    certainty="recalled",
)
T_SCLKHIGH = Limit(CHIP, "tSCLKHIGH", "s", _TIMING, minimum=10e-9)
T_SCLKLOW = Limit(CHIP, "tSCLKLOW", "s", _TIMING, minimum=10e-9)
T_SDIS = Limit(CHIP, "tSDIS", "s", _TIMING, minimum=5e-9)
T_SDIH = Limit(CHIP, "tSDIH", "s", _TIMING, minimum=5e-9)
T_CSS = Limit(CHIP, "tCSS", "s", _TIMING, minimum=15e-9)
T_CSH = Limit(CHIP, "tCSH", "s", _TIMING, minimum=5e-9)
T_CSHIGH = Limit(CHIP, "tCSHIGH", "s", _TIMING, minimum=25e-9)
T_DACWAIT = Limit(
    CHIP,
    "tDACWAIT",
    "s",
    _TIMING + "; taken as CS high between the frames of any two channels, the longest that it can mean",
    minimum=2.4e-6,
)
POWER_ON_WAIT = Limit(CHIP, "power-on reset wait", "s", "SLASER3A, power-on reset", minimum=1e-3)
SOFT_RESET_WAIT = Limit(CHIP, "SOFT-RESET wait", "s", "as after power-on", minimum=1e-3, certainty="recalled")
VCC = Limit(
    CHIP,
    "VCC",
    "V",
    "SLASEO0, recommended operating conditions, VSS = 0 V",
    minimum=9.0,
    maximum=41.5,
    certainty="recalled",
    error=LimitError,
)
LIMITS = (
    F_SCLK_WRITE, F_SCLK_READ_SLOW, F_SCLK_READ_FAST, T_SCLKHIGH, T_SCLKLOW, T_SDIS, T_SDIH, T_CSS, T_CSH, T_CSHIGH,
    T_DACWAIT, SOFT_RESET_WAIT, POWER_ON_WAIT, VCC,
)  # fmt: skip


class Dac81416Params(ChipParams):
    """One DAC81416 and its errors."""

    part: Literal["DAC81416"] = "DAC81416"
    vdd_v: float = 12.0
    """VCC, the supply of the output buffers; VSS is at ground."""
    settling_s: float = Field(default=12e-6, ge=0)
    """Recalled."""
    offset_sigma_v: float = Field(default=0.83e-3, ge=0)
    offset_max_v: float = Field(default=2.5e-3, ge=0)
    """±0.05 % of 5 V (SLASEH2A)."""
    gain_sigma: float = Field(default=0.2e-3, ge=0)
    gain_max: float = Field(default=0.6e-3, ge=0)
    """±0.06 % of full scale (SLASEH2A)."""
    noise_v_rms: float = Field(default=36e-6, ge=0)
    """80 nV/√Hz (assumed, as for the DAC80508) over 0.2 MHz."""

    @classmethod
    def ideal(cls) -> Dac81416Params:
        """Exact straight line, no noise, outputs settle at once."""
        return cls(**IDEAL)
