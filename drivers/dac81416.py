"""DAC81416 (TI SLASEO0): sixteen 16-bit voltage outputs. Register names and fields as in the datasheet.

After a reset every output and the internal reference are powered down. DACRANGE and the channels' registers can be
written only: the manufacturer's support says so, where the datasheet's register map does not.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from drivers.dac import Setting
from drivers.limits import Section

# Registers (SLASEO0, register maps).
DEVICEID = 0x01
STATUS = 0x02  # 2 CRC-ALM, 1 DAC-BUSY, 0 TEMP-ALM
SPICONFIG = 0x03  # 11 TEMPALM-EN, 9 CRCALM-EN, 5 DEV-PWDWN, 4 CRC-EN, 3 STR-EN, 2 SDO-EN, 1 FSDO
GENCONFIG = 0x04  # 14 REF-PWDWN, 7:0 DAC-a-b-DIFF-EN
BRDCONFIG = 0x05
SYNCCONFIG = 0x06  # 15:0 DACn-SYNC-EN
TOGGCONFIG0 = 0x07
TOGGCONFIG1 = 0x08
DACPWDWN = 0x09  # 15:0 DACn-PWDWN
DACRANGE0 = 0x0A  # four bits a channel: DAC15 … DAC12, and DAC3 … DAC0 in DACRANGE3
DACRANGE3 = 0x0D
TRIGGER = 0x0E  # 8 ALM-RESET, 7:5 AB-TOG, 4 LDAC, 3:0 SOFT-RESET
BRDCAST = 0x0F
DAC0 = 0x10

SPICONFIG_ON = 0x0A84
"""Reset value 0AA4h without DEV-PWDWN: the device on, SDO enabled."""
GENCONFIG_REF_ON = 0x3F00
"""Reset value 7F00h without REF-PWDWN: internal reference on, no differential outputs."""
RANGE_0_TO_2VREF = 0b0000
"""0 V to 5 V with the reference of 2.5 V; the widest, 0 V to 40 V, is another code."""
SYNC_ALL_WAIT = 0xFFFF
TRIGGER_LDAC = 1 << 4
TRIGGER_SOFT_RESET = 0b1010


class Dac81416(Section):
    """Every channel at 0 V … 2 · VREF. A `drivers.dac.DacPart`."""

    part: Literal["DAC81416"]
    vref_v: float = Field(2.5, gt=0)

    CHANNELS: ClassVar[Literal[8, 16]] = 16
    RESET_WAIT_S: ClassVar[float] = 1e-3
    SETUP_WAIT_S: ClassVar[float] = 1e-3  # recalled: until the reference has charged its capacitor
    RESET: ClassVar[Setting] = (TRIGGER, TRIGGER_SOFT_RESET)
    LDAC: ClassVar[Setting] = (TRIGGER, TRIGGER_LDAC)
    WAIT_FOR_LDAC: ClassVar[Setting] = (SYNCCONFIG, SYNC_ALL_WAIT)
    CODES_READ_BACK: ClassVar[bool] = False

    @property
    def span_v(self) -> float:
        """Full-scale output, V."""
        return 2 * self.vref_v

    def setup(self) -> tuple[Setting, ...]:
        """Device and reference on, ranges, and last the outputs on."""
        ranges = RANGE_0_TO_2VREF * 0x1111
        return (
            (SPICONFIG, SPICONFIG_ON),
            (GENCONFIG, GENCONFIG_REF_ON),
            *((register, ranges) for register in range(DACRANGE0, DACRANGE3 + 1)),
            (DACPWDWN, 0x0000),
        )

    def held(self) -> dict[str, Setting]:
        """Registers once it is initialised, those that can be read, by name."""
        return {
            "SPICONFIG": (SPICONFIG, SPICONFIG_ON),
            "GENCONFIG": (GENCONFIG, GENCONFIG_REF_ON),
            "SYNCCONFIG": (SYNCCONFIG, SYNC_ALL_WAIT),
            "DACPWDWN": (DACPWDWN, 0x0000),
            "STATUS": (STATUS, 0x0000),
        }
