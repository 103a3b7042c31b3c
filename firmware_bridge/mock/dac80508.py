"""TI DAC80508: eight 16-bit voltage outputs behind SPI, as its datasheet (SLASEL1) describes the pins.

What is not in the datasheet text at hand is marked "recalled" or "assumed" where it stands. Times are board times in
seconds; a frame takes effect at the rising edge of CS, and that is the time `Dac80508.transfer` is called with.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_bridge.errors import ProtocolError
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
    FULL_SCALE_CODE,
    GAIN,
    LDAC,
    N_CHANNELS,
    N_CODES,
    POWER_ON_WAIT,
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
    VDD,
    WRITABLE,
    DacParams,
    SpiTiming,
    crc8,
)
from firmware_bridge.mock.limits import Limit, advance
from firmware_bridge.mock.nonlinearity import horner, inl_cubics, substitute

_BITS = np.arange(N_CHANNELS)


class Dac80508:
    """One chip.

    Attributes
    ----------
    active_code: (8,) codes that drive the outputs (the DAC registers behind the buffers).
    settled_at_s: board time from which all eight outputs sit exactly on their static value.
    vdd_v, vref_v: what its supply and its reference are at, V; see `supply`.
    """

    def __init__(self, params: DacParams, rng: np.random.Generator) -> None:
        """Draw the chip's errors from `rng` and power it up at board time 0; raises `LimitError` for an illegal VDD."""
        VDD.check(params.vdd_v)
        self.params = params
        self.vdd_v, self.vref_v = params.vdd_v, params.vref_v
        self._offset_v = np.clip(
            rng.normal(0, params.offset_sigma_v, N_CHANNELS), -params.offset_max_v, params.offset_max_v
        )
        self._gain_error = np.clip(rng.normal(0, params.gain_sigma, N_CHANNELS), -params.gain_max, params.gain_max)
        # From one rail to the other: after this long, any output sits on its static value.
        self.full_settling_s = float(self.settling_s(params.vdd_v))
        self._coefficients_of: tuple[float, ...] | None = None
        self._coefficients = np.zeros((N_CHANNELS, 4))
        self._timing_passed: tuple[SpiTiming, int] | None = None
        self._pending: list[tuple[NDArray[np.integer], float]] = []
        # In units of one LSB, as a function of the code.
        self._inl = substitute(inl_cubics(rng, N_CHANNELS, params.inl_lsb), 0.0, 1.0 / FULL_SCALE_CODE)
        self.power_up(0.0)

    def power_up(self, t_s: float) -> None:
        """Apply power at `t_s`: registers at their reset values, outputs at the reset code, no access for 250 µs."""
        self._pending.clear()
        self._now_s = t_s
        self._begin_reset(t_s, POWER_ON_WAIT)
        self._reset_registers()
        self._from_v = self._to_v = self.static_v(self._active_code)
        self._since_s = np.full(N_CHANNELS, t_s)
        self._until_s = self._since_s.copy()
        self._settled_at_s = t_s

    def supply(self, t_s: float, *, vdd_v: float | None = None, vref_v: float | None = None) -> None:
        """From `t_s` on, supply and reference are at these voltages, V; None: as they were."""
        self._settle_pending()
        self.vdd_v = self.vdd_v if vdd_v is None else vdd_v
        self.vref_v = self.vref_v if vref_v is None else vref_v
        self._retarget(t_s)

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

    def load_all(self, codes: ArrayLike, t_s: float) -> None:
        """Put `codes` (8,) into the buffer and the active registers at `t_s`.

        Shortcut for streaming: the same as eight DACn frames with SYNC-EN set on every channel and a TRIGGER frame
        with LDAC whose CS rises at `t_s`; timing is the caller's affair. Raises `ProtocolError` for codes that are
        not integers in 0 … 65535.
        """
        new = np.array(codes)
        if new.shape != (N_CHANNELS,) or not (
            new.dtype == np.uint16
            or (np.issubdtype(new.dtype, np.integer) and new.min() >= 0 and new.max() <= FULL_SCALE_CODE)
        ):
            raise ProtocolError(
                f"{CHIP}: load_all takes {N_CHANNELS} integer codes in 0 … {FULL_SCALE_CODE}, got {codes!r}"
            )
        self._check_ready(t_s)
        self._now_s = advance(CHIP, self._now_s, t_s)
        # Streams load thousands of vectors that nobody looks at: the outputs are worked out when somebody does. What
        # settled before the next vector came leaves no trace but its value.
        if self._pending and t_s - self._pending[-1][1] >= self.full_settling_s:
            del self._pending[:-1]
        else:
            self._settle_pending()
        self._pending.append((new, t_s))

    def check_stream(self, opened_s: float, timing: SpiTiming) -> None:
        """The checks of `transfer` for frames that a stream begins at `opened_s`, without a frame."""
        self._check_timing(timing)
        self._check_ready(opened_s)

    def _settle_pending(self) -> None:
        for codes, t_s in self._pending:
            self._answer = 0
            self._buffer_code[:] = codes
            self._active_code[:] = codes
            self._retarget(t_s)
        self._pending.clear()

    @property
    def active_code(self) -> NDArray[np.int64]:
        """(8,) codes that the outputs are set to (read-only)."""
        self._settle_pending()
        code = self._active_code.view()
        code.flags.writeable = False
        return code

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

    # ---- analog side ----

    def settling_s(self, step_v: ArrayLike) -> NDArray[np.float64]:
        """Time after which outputs that step by `step_v` (V, any shape) sit exactly on their static value.

        Below a thousandth of an LSB (of the smallest span) the exponential is cut off.
        """
        cut_off_v = 1e-3 * self.params.vref_v / 2 / N_CODES
        return self.params.tau_s * np.log(np.maximum(np.abs(step_v) / cut_off_v, 1.0))

    @property
    def settled_v(self) -> NDArray[np.float64]:
        """(8,) voltages that the outputs sit at, or settle to."""
        self._settle_pending()
        return self._to_v

    @property
    def settled_at_s(self) -> float:
        """Board time from which all eight outputs sit exactly on their static value."""
        self._settle_pending()
        return self._settled_at_s

    def coefficients(self) -> NDArray[np.float64]:
        """(8, 4) static transfer (read-only), ``volts = c0 + c1 x + c2 x² + c3 x³`` of code x, before clipping.

        Includes offset, gain and INL at the present GAIN, REFDIV and power-down bits; zero rows where the output is
        at ground (DACx-PWDWN through 1 kΩ; all of them with REF-ALM, and with REF-PWDWN since the model has no
        external reference).
        """
        setting = (self._gain, self._config, self.vdd_v, self.vref_v)
        if self._coefficients_of == setting:
            return self._coefficients
        div = 2 if self._gain & REFDIV_EN else 1
        span_v = self.vref_v / div * (1 + (self._gain >> _BITS & 1))
        on = (self._config >> _BITS & 1) == 0
        if self._config & REF_PWDWN or self._ref_alarm():
            on[:] = False
        lsb_v = span_v / N_CODES
        table = lsb_v[:, None] * self._inl
        table[:, 0] += self._offset_v
        table[:, 1] += lsb_v * (1.0 + self._gain_error)
        self._coefficients_of, self._coefficients = setting, table * on[:, None]
        self._coefficients.flags.writeable = False
        return self._coefficients

    def static_v(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Settled outputs (..., 8) in V for `codes` (..., 8): `coefficients`, clipped to the rails 0 and VDD."""
        volts = horner(self.coefficients(), np.asarray(codes, dtype=np.float64))
        return np.clip(volts, 0.0, self.vdd_v)

    def output_v(self, t_s: float) -> NDArray[np.float64]:
        """(8,) outputs in V at `t_s` (not before the last event), settling, and exact from `settled_at_s` on."""
        self._settle_pending()
        advance(CHIP, self._now_s, t_s)
        return self._output(t_s)

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

    def _begin_reset(self, t_s: float, wait: Limit) -> None:
        assert wait.minimum is not None
        self._reset_at_s, self._wait, self._ready_s = t_s, wait, t_s + wait.minimum

    def _check_ready(self, opened_s: float) -> None:
        """Refuse an access that begins while the chip still resets; tolerate the rounding of a late board time."""
        if opened_s > self._ready_s:
            return
        self._wait.check(opened_s - self._reset_at_s + 4 * math.ulp(opened_s), "wait before the first frame")

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

    def _output(self, t_s: float) -> NDArray[np.float64]:
        volts = self._to_v.copy()
        if t_s < self._settled_at_s:
            moving = t_s < self._until_s
            decay = np.exp(-(t_s - self._since_s[moving]) / self.params.tau_s)
            volts[moving] += (self._from_v - self._to_v)[moving] * decay
        return volts

    def _retarget(self, t_s: float) -> None:
        """Start settling, at `t_s`, the outputs whose static value has changed."""
        target_v = self.static_v(self._active_code)
        moved = target_v != self._to_v
        if not moved.any():
            return
        now_v = self._output(t_s)
        self._from_v = np.where(moved, now_v, self._from_v)
        self._to_v = target_v
        self._since_s[moved] = t_s
        self._until_s[moved] = (t_s + self.settling_s(self._from_v - self._to_v))[moved]
        self._settled_at_s = float(self._until_s.max())

    def _ref_alarm(self) -> bool:
        div = 2 if self._gain & REFDIV_EN else 1
        return self.vdd_v - self.vref_v / div < self.params.ref_headroom_v
