"""DAC80508 (TI SLASEL1): eight 16-bit voltage outputs. Register names and fields as in the datasheet."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from drivers.dac import Setting
from drivers.limits import Section

# Registers (SLASEL1, register map).
DEVICE_ID = 0x1
SYNC = 0x2  # 15:8 BRDCAST-EN, 7:0 SYNC-EN (1: a DAC waits for LDAC)
CONFIG = 0x3  # 13 ALM-SEL, 12 ALM-EN, 11 CRC-EN, 10 FSDO, 9 DSDO, 8 REF-PWDWN, 7:0 DACx-PWDWN
GAIN = 0x4  # 8 REFDIV-EN, 7:0 BUFFx-GAIN (1: ×2)
TRIGGER = 0x5  # 4 LDAC, 3:0 SOFT-RESET
BRDCAST = 0x6
STATUS = 0x7  # 0 REF-ALM
DAC0 = 0x8

TRIGGER_LDAC = 1 << 4
TRIGGER_SOFT_RESET = 0b1010
SYNC_RESET = 0xFF00
SYNC_ALL_WAIT = 0xFFFF
GAIN_REFDIV_EN = 1 << 8
STATUS_REF_ALM = 1 << 0
DEVICE_ID_RESOLUTION = 0b111 << 12  # 0: 16 bit
DEVICE_ID_8_CHANNELS = 1 << 11


class Dac80508(Section):
    """Span VREF / DIV · GAIN, the same on every channel. A `drivers.dac.DacPart`."""

    part: Literal["DAC80508"] = "DAC80508"
    vref_v: float = Field(2.5, gt=0)
    ref_divide: Literal[1, 2] = 1
    gain: Literal[1, 2] = 2

    CHANNELS: ClassVar[Literal[8, 16]] = 8
    RESET_WAIT_S: ClassVar[float] = 250e-6
    SETUP_WAIT_S: ClassVar[float] = 0.0
    RESET: ClassVar[Setting] = (TRIGGER, TRIGGER_SOFT_RESET)
    LDAC: ClassVar[Setting] = (TRIGGER, TRIGGER_LDAC)
    WAIT_FOR_LDAC: ClassVar[Setting] = (SYNC, SYNC_ALL_WAIT)
    CODES_READ_BACK: ClassVar[bool] = True

    @property
    def span_v(self) -> float:
        """Full-scale output, V."""
        return self.vref_v / self.ref_divide * self.gain

    @property
    def gain_code(self) -> int:
        """GAIN register of these settings."""
        return (GAIN_REFDIV_EN if self.ref_divide == 2 else 0) | (0xFF if self.gain == 2 else 0)

    def setup(self) -> tuple[Setting, ...]:
        """GAIN: the datasheet contradicts itself on its reset value."""
        return ((GAIN, self.gain_code),)

    def held(self) -> dict[str, Setting]:
        """Registers once it is initialised, channels apart, by name."""
        return {
            "GAIN": (GAIN, self.gain_code),
            "SYNC": (SYNC, SYNC_ALL_WAIT),
            "CONFIG": (CONFIG, 0),
            "STATUS": (STATUS, 0),
        }
