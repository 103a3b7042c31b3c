"""TI DAC81416: sixteen 16-bit voltage outputs behind SPI, as its datasheet (SLASEO0) describes the pins.

Modelled is what a board with a supply of one sign can use: no frame checking, streaming, toggling, differential or
bipolar outputs; a frame that asks for one of these is refused. What is not in the datasheet text at hand is marked
"recalled" or "assumed" where it stands.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock.dac import DacChip, SpiTiming
from firmware_bridge.mock.dac81416_sheet import (
    BRDCAST,
    BRDCONFIG,
    CHIP,
    DAC0,
    DACPWDWN,
    DACRANGE0,
    DACRANGE3,
    DEV_PWDWN,
    F_SCLK_READ_FAST,
    F_SCLK_READ_SLOW,
    F_SCLK_WRITE,
    FSDO,
    GENCONFIG,
    LDAC,
    N_CHANNELS,
    NOP,
    NOT_MODELLED,
    POWER_ON_WAIT,
    RANGE_V,
    REF_PWDWN,
    REGISTER_NAMES,
    RESET_VALUES,
    SDO_EN,
    SOFT_RESET,
    SOFT_RESET_MASK,
    SOFT_RESET_WAIT,
    SPICONFIG,
    SYNCCONFIG,
    T_CSH,
    T_CSHIGH,
    T_CSS,
    T_DACWAIT,
    T_SCLKHIGH,
    T_SCLKLOW,
    T_SDIH,
    T_SDIS,
    TRIGGER,
    VCC,
    WRITABLE,
    Dac81416Params,
)
from firmware_bridge.mock.limits import Limit, advance

_WAIT_LONGER = "raise spi_cs_high_cycles in [timing] of the board file"
_BITS = np.arange(N_CHANNELS)
_WRITE_ONLY = frozenset({NOP, *range(DACRANGE0, TRIGGER + 1), BRDCAST, *range(DAC0, DAC0 + N_CHANNELS)})


class Dac81416(DacChip):
    """One DAC81416."""

    CHIP: ClassVar[str] = CHIP
    CHANNELS: ClassVar[Literal[8, 16]] = N_CHANNELS
    LDAC_FRAME: ClassVar[int] = TRIGGER << 16 | LDAC
    POWER_ON_WAIT: ClassVar[Limit] = POWER_ON_WAIT
    VDD: ClassVar[Limit] = VCC

    def __init__(self, params: Dac81416Params, rng: np.random.Generator) -> None:
        self.params = params
        self._timing_passed: tuple[SpiTiming, int] | None = None
        super().__init__(params, rng)

    def transfer(self, frame: int, bits: int, t_s: float, timing: SpiTiming) -> int:
        """Shift one frame of `bits` bits in, CS rising at `t_s`; return the `bits` bits that SDO showed meanwhile.

        Shorter frames than 24 bits are ignored; of longer ones the first 24 bits count (SLASER3A, stand-alone
        operation). SDO carries the answer to the read command of the previous frame, and zeros otherwise; without
        SDO-EN it floats and reads as ones (assumed: a pull-up).

        Raises `TimingViolation` and `ProtocolError` as `Dac80508.transfer` does.
        """
        self._settle_pending()
        self._check_timing(timing)
        opened_s = t_s - timing.frame_s(bits)
        self._check_ready(opened_s)
        if not 0 <= frame < 1 << bits:
            raise ProtocolError(f"{CHIP}: frame {frame:#x} does not fit into {bits} bits")
        self._now_s = advance(CHIP, self._now_s, t_s)
        shifted_out = self.sdo_word(bits)
        self._answer = 0
        if bits >= 24:
            self._answer = self._execute(frame >> bits - 24, opened_s, t_s)
        return shifted_out

    def sdo_word(self, bits: int) -> int:
        """What SDO shows during the next frame, if that has `bits` bits."""
        self._settle_pending()
        if not self._register[SPICONFIG] & SDO_EN:
            return (1 << bits) - 1
        return self._answer << bits - 24 if bits >= 24 else self._answer >> 24 - bits

    @property
    def registers(self) -> dict[str, int]:
        """What a read of each register would return now, by name."""
        self._settle_pending()
        return {name: self._read(address) for address, name in enumerate(REGISTER_NAMES)}

    @property
    def buffered(self) -> bool:
        """Whether every channel waits for LDAC: the mode that `load_all` stands for."""
        return self._register[SYNCCONFIG] == 0xFFFF

    # ---- inside ----

    def _reset_registers(self) -> None:
        self._register = [0] * DAC0
        for address, value in RESET_VALUES.items():
            self._register[address] = value
        self._buffer_code = np.zeros(N_CHANNELS, np.int64)
        self._active_code = self._buffer_code.copy()
        self._answer, self._answer_bits = 0, 24
        self._channel_written_s = -np.inf

    def _check_timing(self, timing: SpiTiming) -> None:
        spiconfig = self._register[SPICONFIG]
        if self._timing_passed == (timing, spiconfig):
            return
        clock_hz = 1.0 / timing.period_s
        F_SCLK_WRITE.check(clock_hz)
        if timing.read:
            (F_SCLK_READ_FAST if spiconfig & FSDO else F_SCLK_READ_SLOW).check(clock_hz, "use the slower read clock")
        T_SCLKHIGH.check(timing.sclk_high_s)
        T_SCLKLOW.check(timing.sclk_low_s)
        T_SDIS.check(timing.sdi_setup_s)
        T_SDIH.check(timing.sdi_hold_s)
        T_CSS.check(timing.cs_setup_s)
        T_CSH.check(timing.cs_hold_s)
        T_CSHIGH.check(timing.cs_high_s)
        self._timing_passed = (timing, spiconfig)

    def _check_stream_timing(self, timing: SpiTiming) -> None:
        T_DACWAIT.check(timing.cs_high_s, _WAIT_LONGER)

    def _setting(self) -> Hashable:
        register = self._register
        return (*register[DACPWDWN : DACRANGE3 + 1], register[SPICONFIG], register[GENCONFIG], self.vdd_v, self.vref_v)

    def _spans(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """At ground: DACn-PWDWN through 10 kΩ; all of them with DEV-PWDWN, and with REF-PWDWN since the model has no
        external reference."""
        register = self._register
        # DACRANGE0 has the highest four channels.
        codes = [register[DACRANGE3 - n // 4] >> 4 * (n % 4) & 0xF for n in range(N_CHANNELS)]
        span_v = np.array([RANGE_V[code] for code in codes]) * (self.vref_v / 2.5)
        on = (register[DACPWDWN] >> _BITS & 1) == 0
        if register[SPICONFIG] & DEV_PWDWN or register[GENCONFIG] & REF_PWDWN:
            on[:] = False
        return span_v, on

    def _execute(self, word: int, opened_s: float, t_s: float) -> int:
        """Carry out a 24-bit command; return what SDO will answer (0 after a write). Bit 22 is of no effect."""
        address, data = word >> 16 & 0x3F, word & 0xFFFF
        if address >= len(REGISTER_NAMES):
            raise ProtocolError(f"{CHIP}: register {address:#x} is not modelled")
        if word >> 23:
            return 1 << 23 | address << 16 | self._read(address)
        self._write(address, data, opened_s, t_s)
        return 0

    def _read(self, address: int) -> int:
        return 0 if address in _WRITE_ONLY else self._register[address]

    def _write(self, address: int, data: int, opened_s: float, t_s: float) -> None:
        self._check_writable(address, data)
        if address >= DAC0 or address == BRDCAST:
            T_DACWAIT.check(opened_s - self._channel_written_s, _WAIT_LONGER)
            self._channel_written_s = t_s
        if address >= DAC0:
            self._load(np.equal(_BITS, address - DAC0), data)
        elif address == BRDCAST:
            self._load((self._register[BRDCONFIG] >> _BITS & 1) == 1, data)
        elif address == TRIGGER:
            self._trigger(data, t_s)
        else:
            self._register[address] = data
        self._retarget(t_s)

    def _check_writable(self, address: int, data: int) -> None:
        name = REGISTER_NAMES[address]
        writable = WRITABLE.get(address, 0xFFFF)
        if writable is None:
            raise ProtocolError(f"{CHIP}: {name} is read-only, but {data:#06x} was written")
        fixed = RESET_VALUES.get(address, 0) & ~writable
        if data & ~writable != fixed:
            what = f", of which {NOT_MODELLED[address]} are not modelled" if address in NOT_MODELLED else ""
            raise ProtocolError(
                f"{CHIP}: {data:#06x} to {name} changes bits {(data ^ fixed) & ~writable & 0xFFFF:#06x}, which must "
                f"be as after a reset{what}"
            )
        if address == TRIGGER and data & SOFT_RESET_MASK not in (0, SOFT_RESET):
            raise ProtocolError(
                f"{CHIP}: TRIGGER SOFT-RESET = {data & SOFT_RESET_MASK:#06b} is reserved; only 0b1010 resets"
            )
        if DACRANGE0 <= address <= DACRANGE3:
            for code in (data >> shift & 0xF for shift in (0, 4, 8, 12)):
                if code not in RANGE_V:
                    raise ProtocolError(
                        f"{CHIP}: {name} = {data:#06x} asks for range {code:#06b}, which is bipolar or reserved"
                    )

    def _load(self, channels: NDArray[np.bool_], code: int) -> None:
        """Write the buffers of `channels`; those not in SYNC mode update their output with it."""
        self._buffer_code[channels] = code
        self._active_code[channels & ((self._register[SYNCCONFIG] >> _BITS & 1) == 0)] = code

    def _trigger(self, data: int, t_s: float) -> None:
        if data & SOFT_RESET_MASK == SOFT_RESET:
            self._reset_registers()
            self._begin_reset(t_s, SOFT_RESET_WAIT)
        elif data & LDAC:
            waiting = (self._register[SYNCCONFIG] >> _BITS & 1) == 1
            self._active_code[waiting] = self._buffer_code[waiting]
