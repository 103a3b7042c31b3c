"""TI DAC80508: eight 16-bit voltage outputs behind SPI, as its datasheet (SLASEL1) describes the pins.

What is not in the datasheet text at hand is marked "recalled" or "assumed" where it stands. Times are board times in
seconds; a frame takes effect at the rising edge of CS, and that is the time `Dac80508.transfer` is called with.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock import dac80508_sheet
from firmware_bridge.mock.dac import DacChip, SpiTiming
from firmware_bridge.mock.dac80508_sheet import (
    ALM_EN,
    ALM_SEL,
    BRDCAST,
    CHIP,
    CONFIG,
    CRC_EN,
    CRC_ERROR,
    DAC0,
    DEVICE_ID,
    DSDO,
    F_SCLK_READ_FAST,
    F_SCLK_READ_SLOW,
    F_SCLK_WRITE,
    FSDO,
    GAIN,
    LDAC,
    N_CHANNELS,
    REF_PWDWN,
    REFDIV_EN,
    REGISTER_NAMES,
    SOFT_RESET,
    SOFT_RESET_MASK,
    SOFT_RESET_WAIT,
    STATUS,
    SYNC,
    T_CSH,
    T_CSHIGH,
    T_CSS,
    T_SCLKHIGH,
    T_SCLKLOW,
    T_SDIH,
    T_SDIS,
    TRIGGER,
    WRITABLE,
    DacParams,
    crc8,
)
from firmware_bridge.mock.limits import Limit, advance

_BITS = np.arange(N_CHANNELS)


class Dac80508(DacChip):
    """One DAC80508."""

    CHIP: ClassVar[str] = CHIP
    CHANNELS: ClassVar[Literal[8, 16]] = N_CHANNELS
    LDAC_FRAME: ClassVar[int] = TRIGGER << 16 | LDAC
    POWER_ON_WAIT: ClassVar[Limit] = dac80508_sheet.POWER_ON_WAIT
    VDD: ClassVar[Limit] = dac80508_sheet.VDD

    def __init__(self, params: DacParams, rng: np.random.Generator) -> None:
        self.params = params
        self._timing_passed: tuple[SpiTiming, int] | None = None
        super().__init__(params, rng)

    # ---- SPI ----

    def transfer(self, frame: int, bits: int, t_s: float, timing: SpiTiming) -> int:
        """Shift one frame of `bits` bits in, CS rising at `t_s`; return the `bits` bits that SDO showed meanwhile.

        A frame is 24 bits, or 32 with CRC-EN (24 bits and their CRC-8). Shorter frames are ignored; of longer ones
        the last 24 (32) bits count. SDO carries the answer to the read command of the *previous* frame: R/W̅, three
        zeros, address, data (with CRC-EN also an echo after a write, CRC-ERROR in bit 30 and the CRC). Otherwise
        zeros. With DSDO, or when ALM-EN gives the pin to the alarm, the line floats and reads as ones (assumed: a
        pull-up), or zeros while the open-drain alarm is active.

        Raises `TimingViolation` (any limit of the timing table, or an access within 250 µs of power-up or soft reset)
        and `ProtocolError` (reserved bits or registers, time going back).
        """
        self._settle_pending()
        self._check_timing(timing)
        self._check_ready(t_s - timing.frame_s(bits))
        if not 0 <= frame < 1 << bits:
            raise ProtocolError(f"{CHIP}: frame {frame:#x} does not fit into {bits} bits")
        self._now_s = advance(CHIP, self._now_s, t_s)
        shifted_out = self.sdo_word(bits)
        word_bits = 32 if self._config & CRC_EN else 24
        self._answer, self._answer_bits = 0, word_bits
        if bits >= word_bits:
            word = frame & ((1 << word_bits) - 1)
            if word_bits == 24:
                self._answer = self._execute(word, t_s)
            else:
                self._answer = self._execute_checked(word, t_s)
        return shifted_out

    def sdo_word(self, bits: int) -> int:
        """What SDO shows during the next frame, if that has `bits` bits."""
        self._settle_pending()
        if self._config & (DSDO | ALM_EN):
            return 0 if self.alarm else (1 << bits) - 1
        excess = bits - self._answer_bits
        return self._answer << excess if excess >= 0 else self._answer >> -excess

    @property
    def registers(self) -> dict[str, int]:
        """What a read of each register would return now, by name."""
        self._settle_pending()
        return {name: self._read(address) for address, name in enumerate(REGISTER_NAMES)}

    @property
    def alarm(self) -> bool:
        """Whether the SDO/ALARM pin is configured as an alarm and pulls low."""
        source = self._ref_alarm() if self._config & ALM_SEL else self._crc_error
        return bool(self._config & ALM_EN) and source

    @property
    def buffered(self) -> bool:
        """Whether every channel waits for LDAC and frames have 24 bits: the mode that `load_all` stands for."""
        return self._sync & 0xFF == 0xFF and not self._config & CRC_EN

    # ---- inside ----

    def _reset_registers(self) -> None:
        self._sync, self._config, self._gain, self._brdcast = 0xFF00, 0x0000, self.params.gain_reset_code, 0x0000
        reset_code = 0x8000 if self.params.variant == "M" else 0x0000
        self._buffer_code = np.full(N_CHANNELS, reset_code, dtype=np.int64)
        self._active_code = self._buffer_code.copy()
        self._crc_error = False
        self._answer, self._answer_bits = 0, 24

    def _check_timing(self, timing: SpiTiming) -> None:
        if self._timing_passed == (timing, self._config):
            return
        T_SCLKHIGH.check(timing.sclk_high_s)
        T_SCLKLOW.check(timing.sclk_low_s)
        clock_hz = 1.0 / timing.period_s
        F_SCLK_WRITE.check(clock_hz)
        if timing.read:
            (F_SCLK_READ_FAST if self._config & FSDO else F_SCLK_READ_SLOW).check(clock_hz, "use the slower read clock")
        T_SDIS.check(timing.sdi_setup_s)
        T_SDIH.check(timing.sdi_hold_s)
        T_CSS.check(timing.cs_setup_s)
        T_CSH.check(timing.cs_hold_s)
        T_CSHIGH.check(timing.cs_high_s)
        self._timing_passed = (timing, self._config)

    def _check_stream_timing(self, timing: SpiTiming) -> None:
        """Nothing beyond what each frame must keep."""

    def _setting(self) -> Hashable:
        return self._gain, self._config, self.vdd_v, self.vref_v

    def _spans(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """At ground: DACx-PWDWN through 1 kΩ; all of them with REF-ALM, and with REF-PWDWN since the model has no
        external reference."""
        div = 2 if self._gain & REFDIV_EN else 1
        span_v = np.asarray(self.vref_v / div * (1 + (self._gain >> _BITS & 1)), np.float64)
        on = (self._config >> _BITS & 1) == 0
        if self._config & REF_PWDWN or self._ref_alarm():
            on[:] = False
        return span_v, on

    def _execute_checked(self, word: int, t_s: float) -> int:
        body, crc = word >> 8, word & 0xFF
        self._crc_error = crc8(body) != crc
        if self._crc_error:
            echo = body | CRC_ERROR
        else:
            # A write is echoed too, so that the host sees CRC-ERROR = 0; one that leaves CRC mode answers nothing.
            echo = self._execute(body, t_s) or body
            if not self._config & CRC_EN:
                self._answer_bits = 24
                return 0
        return echo << 8 | crc8(echo)

    def _execute(self, word: int, t_s: float) -> int:
        """Carry out a 24-bit command; return what SDO will answer (0 after a write)."""
        address, data = word >> 16 & 0xF, word & 0xFFFF
        if word >> 20 & 0b111:
            raise ProtocolError(
                f"{CHIP}: frame {word:#08x} to {REGISTER_NAMES[address]} sets reserved bits 22:20; they must be zero"
            )
        if word >> 23:
            return 1 << 23 | address << 16 | self._read(address)
        self._write(address, data, t_s)
        return 0

    def _read(self, address: int) -> int:
        if address >= DAC0:
            return int(self._buffer_code[address - DAC0])
        values = {
            # 14:12 resolution 0 = 16 bit, 11 = eight channels; 7 reset state and 6:0 = 14h recalled.
            DEVICE_ID: 0x0814 | (0x0080 if self.params.variant == "M" else 0),
            SYNC: self._sync,
            CONFIG: self._config,
            GAIN: self._gain,
            BRDCAST: self._brdcast,
            STATUS: int(self._ref_alarm()),
        }
        return values.get(address, 0)  # NOP and TRIGGER are write-only

    def _write(self, address: int, data: int, t_s: float) -> None:
        self._check_writable(address, data)
        if address >= DAC0:
            self._load(np.equal(_BITS, address - DAC0), data)
        elif address == SYNC:
            self._sync = data
        elif address == CONFIG:
            self._config = data
        elif address == GAIN:
            self._gain = data
        elif address == BRDCAST:
            self._brdcast = data
            self._load((self._sync >> 8 >> _BITS & 1) == 1, data)
        elif address == TRIGGER:
            self._trigger(data, t_s)
        self._retarget(t_s)

    def _check_writable(self, address: int, data: int) -> None:
        name = REGISTER_NAMES[address]
        writable = WRITABLE.get(address, 0xFFFF)
        if writable is None:
            raise ProtocolError(f"{CHIP}: {name} is read-only, but {data:#06x} was written")
        if data & ~writable:
            raise ProtocolError(
                f"{CHIP}: {data:#06x} to {name} sets reserved bits {data & ~writable:#06x}; they must be zero"
            )
        if address == TRIGGER and data & SOFT_RESET_MASK not in (0, SOFT_RESET):
            raise ProtocolError(
                f"{CHIP}: TRIGGER SOFT-RESET = {data & SOFT_RESET_MASK:#06b} is reserved; only 0b1010 resets"
            )

    def _load(self, channels: NDArray[np.bool_], code: int) -> None:
        """Write the buffers of `channels`; those not in SYNC mode update their output with it."""
        self._buffer_code[channels] = code
        self._active_code[channels & ((self._sync >> _BITS & 1) == 0)] = code

    def _trigger(self, data: int, t_s: float) -> None:
        if data & SOFT_RESET_MASK == SOFT_RESET:
            self._reset_registers()
            self._begin_reset(t_s, SOFT_RESET_WAIT)
        elif data & LDAC:
            waiting = (self._sync >> _BITS & 1) == 1
            self._active_code[waiting] = self._buffer_code[waiting]

    def _ref_alarm(self) -> bool:
        div = 2 if self._gain & REFDIV_EN else 1
        return self.vdd_v - self.vref_v / div < self.params.ref_headroom_v
