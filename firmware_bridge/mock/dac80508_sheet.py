"""TI DAC80508, what its datasheet (SLASEL1) tabulates: register map, timing limits, error limits, the CRC."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from firmware_bridge.errors import LimitError
from firmware_bridge.mock.dac import IDEAL, ChipParams
from firmware_bridge.mock.limits import Limit

CHIP = "DAC80508"
N_CHANNELS: Literal[8] = 8

NOP, DEVICE_ID, SYNC, CONFIG, GAIN, TRIGGER, BRDCAST, STATUS, DAC0 = range(9)
REGISTER_NAMES = (
    *("NOP", "DEVICE_ID", "SYNC", "CONFIG", "GAIN", "TRIGGER", "BRDCAST", "STATUS"),
    *(f"DAC{n}" for n in range(N_CHANNELS)),
)
# Bits that may be written; what a register does not list is reserved and must be zero. None: the register is read-only.
WRITABLE: dict[int, int | None] = {
    NOP: 0x0000,
    DEVICE_ID: None,
    SYNC: 0xFFFF,
    CONFIG: 0x3FFF,
    GAIN: 0x01FF,
    TRIGGER: 0x001F,
    BRDCAST: 0xFFFF,
    STATUS: None,
}
ALM_SEL, ALM_EN, CRC_EN, FSDO, DSDO, REF_PWDWN = 1 << 13, 1 << 12, 1 << 11, 1 << 10, 1 << 9, 1 << 8
REFDIV_EN = 1 << 8
LDAC, SOFT_RESET_MASK, SOFT_RESET = 1 << 4, 0xF, 0b1010
CRC_ERROR = 1 << 22  # bit 30 of the 32-bit frame

_TIMING = "SLASEL1, timing requirements"
F_SCLK_WRITE = Limit(CHIP, "fSCLK (write)", "Hz", _TIMING, maximum=50e6)
F_SCLK_READ_SLOW = Limit(CHIP, "fSCLK (read, FSDO = 0)", "Hz", _TIMING + ", VIO ≥ 2.7 V", maximum=18e6)
F_SCLK_READ_FAST = Limit(CHIP, "fSCLK (read, FSDO = 1)", "Hz", _TIMING + ", VIO ≥ 2.7 V", maximum=25e6)
T_SCLKHIGH = Limit(CHIP, "tSCLKHIGH", "s", _TIMING, minimum=9e-9)
T_SCLKLOW = Limit(CHIP, "tSCLKLOW", "s", _TIMING, minimum=9e-9)
T_SDIS = Limit(CHIP, "tSDIS", "s", _TIMING, minimum=5e-9)
T_SDIH = Limit(CHIP, "tSDIH", "s", _TIMING, minimum=10e-9)
T_CSS = Limit(CHIP, "tCSS", "s", _TIMING, minimum=13e-9)
T_CSH = Limit(CHIP, "tCSH", "s", _TIMING, minimum=10e-9)
T_CSHIGH = Limit(CHIP, "tCSHIGH", "s", _TIMING, minimum=15e-9)
SOFT_RESET_WAIT = Limit(
    CHIP,
    "SOFT-RESET wait",
    "s",
    "maintained drivers wait this long after TRIGGER SOFT-RESET",
    minimum=250e-6,
    certainty="recalled",
)
POWER_ON_WAIT = Limit(CHIP, "power-on reset wait", "s", "SLASEL1, power-on reset", minimum=250e-6, certainty="recalled")
VDD = Limit(
    CHIP,
    "VDD",
    "V",
    "SLASEL1, recommended operating conditions",
    minimum=2.7,
    maximum=5.5,
    certainty="recalled",
    error=LimitError,
)
LIMITS = (
    F_SCLK_WRITE, F_SCLK_READ_SLOW, F_SCLK_READ_FAST, T_SCLKHIGH, T_SCLKLOW, T_SDIS, T_SDIH, T_CSS, T_CSH, T_CSHIGH,
    SOFT_RESET_WAIT, POWER_ON_WAIT, VDD,
)  # fmt: skip


class DacParams(ChipParams):
    """One DAC80508 and its errors."""

    part: Literal["DAC80508"] = "DAC80508"
    variant: Literal["Z", "M"] = "Z"
    """Z parts power up and reset to zero scale, M parts to midscale (datasheet)."""
    vdd_v: float = 5.5
    """Analog supply. 5.5 V leaves headroom above the 5 V span."""
    ref_headroom_v: float = Field(default=0.2, ge=0)
    """REF-ALM sets and the outputs go to 0 V when VDD - VREF / DIV is below this (recalled)."""
    gain_reset_code: int = Field(default=0x0000, ge=0, le=0x01FF)
    """GAIN after a reset. The datasheet contradicts itself: a driver must write the register, whatever stands here."""
    settling_s: float = Field(default=5e-6, ge=0)
    """Recalled."""
    offset_sigma_v: float = Field(default=0.5e-3, ge=0)
    offset_max_v: float = Field(default=1.5e-3, ge=0)
    """±1.5 mV (recalled)."""
    gain_sigma: float = Field(default=0.33e-3, ge=0)
    gain_max: float = Field(default=1e-3, ge=0)
    """±0.1 % of full scale (recalled)."""
    noise_v_rms: float = Field(default=55e-6, ge=0)
    """78 nV/√Hz (recalled) over 0.49 MHz."""

    @classmethod
    def ideal(cls, variant: Literal["Z", "M"] = "Z") -> DacParams:
        """Exact straight line, no noise, outputs settle at once."""
        return cls(variant=variant, **IDEAL)


def crc8(word: int) -> int:
    """CRC-8-ATM of a 24-bit word: polynomial x⁸ + x² + x + 1, initial value 0 (SLASEL1, error checking)."""
    remainder = word << 8
    for bit in range(31, 7, -1):
        if remainder >> bit & 1:
            remainder ^= 0x107 << (bit - 8)
    return remainder
