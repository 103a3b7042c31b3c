"""TI DAC80508: eight 16-bit voltage outputs behind SPI, as its datasheet (SLASEL1) describes the pins.

What is not in the datasheet text at hand is marked "recalled" or "assumed" where it stands. Times are board times in seconds;
a frame takes effect at the rising edge of CS, and that is the time `Dac80508.transfer` is called with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock.limits import Limit, advance
from firmware_bridge.mock.nonlinearity import horner, inl_cubics, substitute

CHIP = "DAC80508"
N_CHANNELS = 8
FULL_SCALE_CODE = 0xFFFF
_CODES = 65536
_BITS = np.arange(N_CHANNELS)

NOP, DEVICE_ID, SYNC, CONFIG, GAIN, TRIGGER, BRDCAST, STATUS, DAC0 = range(9)
REGISTER_NAMES = ("NOP", "DEVICE_ID", "SYNC", "CONFIG", "GAIN", "TRIGGER", "BRDCAST", "STATUS") + tuple(
    f"DAC{n}" for n in range(N_CHANNELS)
)
# Bits that may be written; what a register does not list is reserved and must be zero. None: the register is read-only.
_WRITABLE: dict[int, int | None] = {
    NOP: 0x0000,
    DEVICE_ID: None,
    SYNC: 0xFFFF,
    CONFIG: 0x3FFF,
    GAIN: 0x01FF,
    TRIGGER: 0x001F,
    BRDCAST: 0xFFFF,
    STATUS: None,
}
_ALM_SEL, _ALM_EN, _CRC_EN, _FSDO, _DSDO, _REF_PWDWN = 1 << 13, 1 << 12, 1 << 11, 1 << 10, 1 << 9, 1 << 8
_REFDIV_EN = 1 << 8
_LDAC, _SOFT_RESET_MASK, _SOFT_RESET = 1 << 4, 0xF, 0b1010
_CRC_ERROR = 1 << 22  # bit 30 of the 32-bit frame

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
    CHIP, "SOFT-RESET wait", "s", "maintained drivers wait this long after TRIGGER SOFT-RESET", minimum=250e-6, certainty="recalled"
)
POWER_ON_WAIT = Limit(CHIP, "power-on reset wait", "s", "SLASEL1, power-on reset", minimum=250e-6, certainty="recalled")
VDD = Limit(
    CHIP, "VDD", "V", "SLASEL1, recommended operating conditions", minimum=2.7, maximum=5.5, certainty="recalled", error=LimitError
)
LIMITS = (
    F_SCLK_WRITE, F_SCLK_READ_SLOW, F_SCLK_READ_FAST, T_SCLKHIGH, T_SCLKLOW, T_SDIS, T_SDIH, T_CSS, T_CSH, T_CSHIGH,
    SOFT_RESET_WAIT, POWER_ON_WAIT, VDD,
)  # fmt: skip


class DacParams(BaseModel):
    """One DAC80508 and its errors; each error is a spread that the chip draws its own values from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variant: Literal["Z", "M"] = "Z"
    """Z parts power up and reset to zero scale, M parts to midscale (datasheet)."""
    vdd_v: float = 5.5
    """Analog supply. 5.5 V leaves headroom above the 5 V span."""
    vref_v: float = Field(default=2.5, gt=0)
    """Internal reference (datasheet)."""
    ref_headroom_v: float = Field(default=0.2, ge=0)
    """REF-ALM sets and the outputs go to 0 V when VDD - VREF / DIV is below this (recalled)."""
    gain_reset_code: int = Field(default=0x0000, ge=0, le=0x01FF)
    """GAIN after a reset. The datasheet contradicts itself: a driver must write the register, whatever stands here."""
    settling_s: float = Field(default=5e-6, ge=0)
    """A half-scale step settles to ±2 LSB in this time (recalled); sets the time constant."""
    offset_sigma_v: float = Field(default=0.5e-3, ge=0)
    offset_max_v: float = Field(default=1.5e-3, ge=0)
    """Offset error per channel: normal with this σ, clipped to the datasheet's maximum of ±1.5 mV (recalled)."""
    gain_sigma: float = Field(default=0.33e-3, ge=0)
    gain_max: float = Field(default=1e-3, ge=0)
    """Gain error per channel, relative: normal with this σ, clipped to ±0.1 % of full scale (recalled)."""
    inl_lsb: float = Field(default=0.5, ge=0)
    """Peak of each channel's INL; the datasheet's maximum is ±1 LSB."""
    noise_v_rms: float = Field(default=55e-6, ge=0)
    """Output noise: 78 nV/√Hz (recalled) over the 0.49 MHz noise bandwidth 1 / (4 τ). Only stated here; drawn by the board."""

    @classmethod
    def ideal(cls, variant: Literal["Z", "M"] = "Z") -> DacParams:
        """Exact straight line, no noise, outputs settle at once."""
        return cls(variant=variant, settling_s=0, offset_sigma_v=0, gain_sigma=0, inl_lsb=0, noise_v_rms=0)

    @property
    def tau_s(self) -> float:
        """Time constant of the exponential settling, from `settling_s`: 32768 LSB decay to 2 LSB."""
        return self.settling_s / math.log(32768 / 2)


@dataclass(frozen=True)
class SpiTiming:
    """What the pins see during one frame, in seconds. `read`: SDO is captured, so the read clock limits apply."""

    sclk_high_s: float
    sclk_low_s: float
    cs_setup_s: float
    cs_hold_s: float
    cs_high_s: float
    sdi_setup_s: float
    sdi_hold_s: float
    read: bool

    @property
    def period_s(self) -> float:
        return self.sclk_high_s + self.sclk_low_s

    def frame_s(self, bits: int) -> float:
        """Time that CS is low for a frame of `bits` bits."""
        return self.cs_setup_s + bits * self.period_s + self.cs_hold_s


def crc8(word: int) -> int:
    """CRC-8-ATM of a 24-bit word: polynomial x⁸ + x² + x + 1, initial value 0 (SLASEL1, error checking)."""
    remainder = word << 8
    for bit in range(31, 7, -1):
        if remainder >> bit & 1:
            remainder ^= 0x107 << (bit - 8)
    return remainder


class Dac80508:
    """One chip.

    Attributes
    ----------
    active_code: (8,) codes that drive the outputs (the DAC registers behind the buffers).
    settled_at_s: board time from which all eight outputs sit exactly on their static value.
    """

    def __init__(self, params: DacParams, rng: np.random.Generator) -> None:
        """Draw the chip's errors from `rng` and power it up at board time 0; raises `LimitError` for an illegal VDD."""
        VDD.check(params.vdd_v)
        self.params = params
        self._offset_v = np.clip(rng.normal(0, params.offset_sigma_v, N_CHANNELS), -params.offset_max_v, params.offset_max_v)
        self._gain_error = np.clip(rng.normal(0, params.gain_sigma, N_CHANNELS), -params.gain_max, params.gain_max)
        # In units of one LSB, as a function of the code.
        self._inl = substitute(inl_cubics(rng, N_CHANNELS, params.inl_lsb), 0.0, 1.0 / FULL_SCALE_CODE)
        self.power_up(0.0)

    def power_up(self, t_s: float) -> None:
        """Apply power at `t_s`: registers at their reset values, outputs at the reset code at once, no access for 250 µs."""
        self._now_s = t_s
        self._reset_at_s, self._wait = t_s, POWER_ON_WAIT
        self._reset_registers()
        self._from_v = self._to_v = self.static_v(self.active_code)
        self._since_s = np.full(N_CHANNELS, t_s)
        self._until_s = self._since_s.copy()

    # ---- SPI ----

    def transfer(self, frame: int, bits: int, t_s: float, timing: SpiTiming) -> int:
        """Shift one frame of `bits` bits in, CS rising at `t_s`; return the `bits` bits that SDO showed meanwhile.

        A frame is 24 bits, or 32 with CRC-EN (24 bits and their CRC-8). Shorter frames are ignored; of longer ones the last 24
        (32) bits count. SDO carries the answer to the read command of the *previous* frame: R/W̅, three zeros, address, data (with
        CRC-EN also an echo after a write, CRC-ERROR in bit 30 and the CRC). Otherwise zeros. With DSDO, or when ALM-EN gives the
        pin to the alarm, the line floats and reads as ones (assumed: a pull-up), or zeros while the open-drain alarm is active.

        Raises `TimingViolation` (any limit of the timing table, or an access within 250 µs of power-up or soft reset) and
        `ProtocolError` (reserved bits or registers, time going back).
        """
        self._check_timing(timing)
        self._check_ready(t_s - timing.frame_s(bits))
        if not 0 <= frame < 1 << bits:
            raise ProtocolError(f"{CHIP}: frame {frame:#x} does not fit into {bits} bits")
        self._now_s = advance(CHIP, self._now_s, t_s)
        shifted_out = self._sdo(bits)
        word_bits = 32 if self._config & _CRC_EN else 24
        self._answer, self._answer_bits = 0, word_bits
        if bits >= word_bits:
            word = frame & ((1 << word_bits) - 1)
            if word_bits == 24:
                self._answer = self._execute(word, t_s)
            else:
                self._answer = self._execute_checked(word, t_s)
        return shifted_out

    def load_all(self, codes: ArrayLike, t_s: float) -> None:
        """Put `codes` (8,) into the buffer and the active registers at `t_s`.

        Shortcut for streaming: the same as eight DACn frames with SYNC-EN set on every channel and a TRIGGER frame with LDAC whose
        CS rises at `t_s`; timing is the caller's affair. Raises `ProtocolError` for codes that are not integers in 0 … 65535.
        """
        new = np.asarray(codes)
        if new.shape != (N_CHANNELS,) or not np.issubdtype(new.dtype, np.integer) or new.min() < 0 or new.max() > FULL_SCALE_CODE:
            raise ProtocolError(f"{CHIP}: load_all takes {N_CHANNELS} integer codes in 0 … {FULL_SCALE_CODE}, got {codes!r}")
        self._check_ready(t_s)
        self._now_s = advance(CHIP, self._now_s, t_s)
        self._answer = 0
        self._buffer_code[:] = new
        self.active_code[:] = new
        self._retarget(t_s)

    @property
    def registers(self) -> dict[str, int]:
        """What a read of each register would return now, by name."""
        return {name: self._read(address) for address, name in enumerate(REGISTER_NAMES)}

    @property
    def alarm(self) -> bool:
        """Whether the SDO/ALARM pin is configured as an alarm and pulls low."""
        source = self._ref_alarm() if self._config & _ALM_SEL else self._crc_error
        return bool(self._config & _ALM_EN) and source

    @property
    def buffered(self) -> bool:
        """Whether every channel waits for LDAC, frames are 24 bits, and the chip is ready: what `load_all` stands for."""
        return self._sync & 0xFF == 0xFF and not self._config & _CRC_EN

    # ---- analog side ----

    def settling_s(self, step_v: float) -> float:
        """Time after which an output that steps by at most `step_v` V sits exactly on its static value."""
        lsb_v = self.params.vref_v / 2 / _CODES
        return self.params.tau_s * math.log(max(step_v / (1e-3 * lsb_v), 1.0))

    @property
    def settled_at_s(self) -> float:
        return float(self._until_s.max())

    def coefficients(self) -> NDArray[np.float64]:
        """(8, 4) static transfer, ``volts = c0 + c1 x + c2 x² + c3 x³`` of code x, before clipping to [0, VDD].

        Includes offset, gain and INL at the present GAIN, REFDIV and power-down bits; zero rows where the output is at ground
        (DACx-PWDWN through 1 kΩ; all of them with REF-ALM, and with REF-PWDWN since the model has no external reference).
        """
        div = 2 if self._gain & _REFDIV_EN else 1
        span_v = self.params.vref_v / div * (1 + (self._gain >> _BITS & 1))
        on = (self._config >> _BITS & 1) == 0
        if self._config & _REF_PWDWN or self._ref_alarm():
            on[:] = False
        lsb_v = span_v / _CODES
        table = lsb_v[:, None] * self._inl
        table[:, 0] += self._offset_v
        table[:, 1] += lsb_v * (1.0 + self._gain_error)
        return table * on[:, None]

    def static_v(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Settled outputs (..., 8) in V for `codes` (..., 8): `coefficients`, clipped to the rails 0 and VDD."""
        volts = horner(self.coefficients(), np.asarray(codes, dtype=np.float64))
        return np.clip(volts, 0.0, self.params.vdd_v)

    def output_v(self, t_s: float) -> NDArray[np.float64]:
        """(8,) outputs in V at `t_s` (not before the last event), exponentially settling and exact from `settled_at_s` on."""
        advance(CHIP, self._now_s, t_s)
        moving = t_s < self._until_s
        volts = self._to_v.copy()
        if moving.any():
            decay = np.exp(-(t_s - self._since_s[moving]) / self.params.tau_s)
            volts[moving] += (self._from_v - self._to_v)[moving] * decay
        return volts

    # ---- inside ----

    def _reset_registers(self) -> None:
        self._sync, self._config, self._gain, self._brdcast = 0xFF00, 0x0000, self.params.gain_reset_code, 0x0000
        reset_code = 0x8000 if self.params.variant == "M" else 0x0000
        self._buffer_code = np.full(N_CHANNELS, reset_code, dtype=np.int64)
        self.active_code = self._buffer_code.copy()
        self._crc_error = False
        self._answer, self._answer_bits = 0, 24

    def _check_timing(self, timing: SpiTiming) -> None:
        T_SCLKHIGH.check(timing.sclk_high_s)
        T_SCLKLOW.check(timing.sclk_low_s)
        clock_hz = 1.0 / timing.period_s
        F_SCLK_WRITE.check(clock_hz)
        if timing.read:
            (F_SCLK_READ_FAST if self._config & _FSDO else F_SCLK_READ_SLOW).check(clock_hz, "use the slower read clock")
        T_SDIS.check(timing.sdi_setup_s)
        T_SDIH.check(timing.sdi_hold_s)
        T_CSS.check(timing.cs_setup_s)
        T_CSH.check(timing.cs_hold_s)
        T_CSHIGH.check(timing.cs_high_s)

    def _check_ready(self, opened_s: float) -> None:
        """Refuse an access that begins while the chip still resets; tolerate the rounding of a late board time."""
        self._wait.check(opened_s - self._reset_at_s + 4 * math.ulp(opened_s), "wait before the first frame")

    def _sdo(self, bits: int) -> int:
        if self._config & (_DSDO | _ALM_EN):
            return 0 if self.alarm else (1 << bits) - 1
        excess = bits - self._answer_bits
        return self._answer << excess if excess >= 0 else self._answer >> -excess

    def _execute_checked(self, word: int, t_s: float) -> int:
        body, crc = word >> 8, word & 0xFF
        self._crc_error = crc8(body) != crc
        if self._crc_error:
            echo = body | _CRC_ERROR
        else:
            # A write is echoed too, so that the host sees CRC-ERROR = 0; one that leaves CRC mode has nothing to answer.
            echo = self._execute(body, t_s) or body
            if not self._config & _CRC_EN:
                self._answer_bits = 24
                return 0
        return echo << 8 | crc8(echo)

    def _execute(self, word: int, t_s: float) -> int:
        """Carry out a 24-bit command; return what SDO will answer (0 after a write)."""
        address, data = word >> 16 & 0xF, word & 0xFFFF
        if word >> 20 & 0b111:
            raise ProtocolError(f"{CHIP}: frame {word:#08x} to {REGISTER_NAMES[address]} sets reserved bits 22:20; they must be zero")
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
            self._load(_BITS == address - DAC0, data)
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
        writable = _WRITABLE.get(address, 0xFFFF)
        if writable is None:
            raise ProtocolError(f"{CHIP}: {name} is read-only, but {data:#06x} was written")
        if data & ~writable:
            raise ProtocolError(f"{CHIP}: {data:#06x} to {name} sets reserved bits {data & ~writable:#06x}; they must be zero")
        if address == TRIGGER and data & _SOFT_RESET_MASK not in (0, _SOFT_RESET):
            raise ProtocolError(f"{CHIP}: TRIGGER SOFT-RESET = {data & _SOFT_RESET_MASK:#06b} is reserved; only 0b1010 resets")

    def _load(self, channels: NDArray[np.bool_], code: int) -> None:
        """Write the buffers of `channels`; those not in SYNC mode update their output with it."""
        self._buffer_code[channels] = code
        self.active_code[channels & ((self._sync >> _BITS & 1) == 0)] = code

    def _trigger(self, data: int, t_s: float) -> None:
        if data & _SOFT_RESET_MASK == _SOFT_RESET:
            self._reset_registers()
            self._reset_at_s, self._wait = t_s, SOFT_RESET_WAIT
        elif data & _LDAC:
            waiting = (self._sync >> _BITS & 1) == 1
            self.active_code[waiting] = self._buffer_code[waiting]

    def _retarget(self, t_s: float) -> None:
        """Start settling, at `t_s`, the outputs whose static value has changed."""
        target_v = self.static_v(self.active_code)
        moved = target_v != self._to_v
        if not moved.any():
            return
        now_v = self.output_v(t_s)
        self._from_v = np.where(moved, now_v, self._from_v)
        self._to_v = target_v
        self._since_s[moved] = t_s
        # Below a thousandth of an LSB the exponential is cut off, so that a settled output is exactly the static value.
        lsb_v = self.params.vref_v / 2 / _CODES  # of the smallest span
        residual = np.maximum(np.abs(self._from_v - self._to_v) / (1e-3 * lsb_v), 1.0)
        self._until_s[moved] = (t_s + self.params.tau_s * np.log(residual))[moved]

    def _ref_alarm(self) -> bool:
        div = 2 if self._gain & _REFDIV_EN else 1
        return self.params.vdd_v - self.params.vref_v / div < self.params.ref_headroom_v

