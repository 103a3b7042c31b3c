"""What the DACs' chip models share: the pins' timing, buffers that streams load, and the analog side.

Times are board times in seconds; a frame takes effect at the rising edge of CS. `firmware_bridge.mock.dac_chips` lists
the parts that there are a model of.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.errors import ProtocolError
from firmware_bridge.mock.limits import Limit, advance
from firmware_bridge.mock.nonlinearity import horner, inl_cubics, substitute

FULL_SCALE_CODE = 0xFFFF
N_CODES = 65536


class ChipParams(BaseModel):
    """One DAC and its errors; each error is a spread that the chip draws its own values from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vdd_v: float
    """Supply of the output buffers."""
    vref_v: float = Field(default=2.5, gt=0)
    """Internal reference (datasheet)."""
    settling_s: float = Field(ge=0)
    """A half-scale step settles to ±2 LSB in this time; sets the time constant."""
    offset_sigma_v: float = Field(ge=0)
    offset_max_v: float = Field(ge=0)
    """Offset error per channel: normal with this σ, clipped to the datasheet's maximum."""
    gain_sigma: float = Field(ge=0)
    gain_max: float = Field(ge=0)
    """Gain error per channel, relative: normal with this σ, clipped to the datasheet's maximum."""
    inl_lsb: float = Field(default=0.5, ge=0)
    """Peak of each channel's INL; the datasheet's maximum is ±1 LSB."""
    noise_v_rms: float = Field(ge=0)
    """Output noise over the bandwidth 1 / (4 τ). Drawn by the board, not here."""

    @property
    def tau_s(self) -> float:
        """Time constant of the exponential settling, from `settling_s`: 32768 LSB decay to 2 LSB."""
        return self.settling_s / math.log(32768 / 2)


IDEAL = {"settling_s": 0, "offset_sigma_v": 0, "gain_sigma": 0, "inl_lsb": 0, "noise_v_rms": 0}
"""Parameters of a chip that is an exact straight line without noise, whose outputs settle at once."""


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


class DacChip(ABC):
    """One chip.

    Attributes
    ----------
    CHANNELS: how many outputs it has. LDAC_FRAME: makes its buffers active.
    active_code: (channels,) codes that drive the outputs (the DAC registers behind the buffers).
    settled_at_s: board time from which all outputs sit exactly on their static value.
    vdd_v, vref_v: what its supply and its reference are at, V; see `supply`.
    """

    CHIP: ClassVar[str]
    CHANNELS: ClassVar[Literal[8, 16]]
    LDAC_FRAME: ClassVar[int]
    POWER_ON_WAIT: ClassVar[Limit]
    VDD: ClassVar[Limit]

    _buffer_code: NDArray[np.int64]
    _active_code: NDArray[np.int64]
    _answer: int
    _answer_bits: int

    def __init__(self, params: ChipParams, rng: np.random.Generator) -> None:
        """Draw the chip's errors from `rng` and power it up at board time 0; raises `LimitError` for an illegal VDD."""
        self.VDD.check(params.vdd_v)
        self._errors, n = params, self.CHANNELS
        self.vdd_v, self.vref_v = params.vdd_v, params.vref_v
        self._offset_v = np.clip(rng.normal(0, params.offset_sigma_v, n), -params.offset_max_v, params.offset_max_v)
        self._gain_error = np.clip(rng.normal(0, params.gain_sigma, n), -params.gain_max, params.gain_max)
        # From one rail to the other: after this long, any output sits on its static value.
        self.full_settling_s = float(self.settling_s(params.vdd_v))
        self._coefficients_of: Hashable = None
        self._coefficients = np.zeros((n, 4))
        self._pending: list[tuple[NDArray[np.integer], float]] = []
        # In units of one LSB, as a function of the code.
        self._inl = substitute(inl_cubics(rng, n, params.inl_lsb), 0.0, 1.0 / FULL_SCALE_CODE)
        self.power_up(0.0)

    # ---- what a part is ----

    @abstractmethod
    def transfer(self, frame: int, bits: int, t_s: float, timing: SpiTiming) -> int:
        """Shift one frame of `bits` bits in, CS rising at `t_s`; return the `bits` bits that SDO showed meanwhile."""

    @abstractmethod
    def sdo_word(self, bits: int) -> int:
        """What SDO shows during the next frame, if that has `bits` bits."""

    @property
    @abstractmethod
    def registers(self) -> dict[str, int]:
        """What a read of each register would return now, by name."""

    @property
    @abstractmethod
    def buffered(self) -> bool:
        """Whether every channel waits for LDAC and frames have 24 bits: the mode that `load_all` stands for."""

    @abstractmethod
    def _reset_registers(self) -> None:
        """Registers and buffers at their reset values."""

    @abstractmethod
    def _check_timing(self, timing: SpiTiming) -> None:
        """Refuse what the timing table does not allow."""

    @abstractmethod
    def _check_stream_timing(self, timing: SpiTiming) -> None:
        """Refuse what it does not allow between the frames of a stream."""

    @abstractmethod
    def _setting(self) -> Hashable:
        """What `_spans` depends on."""

    @abstractmethod
    def _spans(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(channels,) full-scale outputs, V, and which of them are driven; the others are at ground."""

    # ---- life ----

    def power_up(self, t_s: float) -> None:
        """Apply power at `t_s`: registers at their reset values, outputs at the reset code, no access for a while."""
        self._pending.clear()
        self._now_s = t_s
        self._begin_reset(t_s, self.POWER_ON_WAIT)
        self._reset_registers()
        self._from_v = self._to_v = self.static_v(self._active_code)
        self._since_s = np.full(self.CHANNELS, t_s)
        self._until_s = self._since_s.copy()
        self._settled_at_s = t_s

    def supply(self, t_s: float, *, vdd_v: float | None = None, vref_v: float | None = None) -> None:
        """From `t_s` on, supply and reference are at these voltages, V; None: as they were."""
        self._settle_pending()
        self.vdd_v = self.vdd_v if vdd_v is None else vdd_v
        self.vref_v = self.vref_v if vref_v is None else vref_v
        self._retarget(t_s)

    # ---- streams ----

    def load_all(self, codes: ArrayLike, t_s: float) -> None:
        """Put `codes` (channels,) into the buffer and the active registers at `t_s`.

        Shortcut for streaming: the same as a frame for each channel while every channel waits for LDAC, and one with
        LDAC whose CS rises at `t_s`; timing is the caller's affair. Raises `ProtocolError` for codes that are not
        integers in 0 … 65535.
        """
        new = np.array(codes)
        if new.shape != (self.CHANNELS,) or not (
            new.dtype == np.uint16
            or (np.issubdtype(new.dtype, np.integer) and new.min() >= 0 and new.max() <= FULL_SCALE_CODE)
        ):
            raise ProtocolError(
                f"{self.CHIP}: load_all takes {self.CHANNELS} integer codes in 0 … {FULL_SCALE_CODE}, got {codes!r}"
            )
        self._check_ready(t_s)
        self._now_s = advance(self.CHIP, self._now_s, t_s)
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
        self._check_stream_timing(timing)
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
        """(channels,) codes that the outputs are set to (read-only)."""
        self._settle_pending()
        code = self._active_code.view()
        code.flags.writeable = False
        return code

    # ---- analog side ----

    def settling_s(self, step_v: ArrayLike) -> NDArray[np.float64]:
        """Time after which outputs that step by `step_v` (V, any shape) sit exactly on their static value.

        Below a thousandth of an LSB (of the smallest span) the exponential is cut off.
        """
        cut_off_v = 1e-3 * self._errors.vref_v / 2 / N_CODES
        return self._errors.tau_s * np.log(np.maximum(np.abs(step_v) / cut_off_v, 1.0))

    @property
    def settled_v(self) -> NDArray[np.float64]:
        """(channels,) voltages that the outputs sit at, or settle to."""
        self._settle_pending()
        return self._to_v

    @property
    def settled_at_s(self) -> float:
        """Board time from which all outputs sit exactly on their static value."""
        self._settle_pending()
        return self._settled_at_s

    def coefficients(self) -> NDArray[np.float64]:
        """(channels, 4) static transfer (read-only), ``volts = c0 + c1 x + c2 x² + c3 x³`` of code x, before clipping.

        Includes offset, gain and INL at the present spans; zero rows where the output is at ground.
        """
        setting = self._setting()
        if self._coefficients_of == setting:
            return self._coefficients
        span_v, on = self._spans()
        lsb_v = span_v / N_CODES
        table = lsb_v[:, None] * self._inl
        table[:, 0] += self._offset_v
        table[:, 1] += lsb_v * (1.0 + self._gain_error)
        self._coefficients_of, self._coefficients = setting, table * on[:, None]
        self._coefficients.flags.writeable = False
        return self._coefficients

    def static_v(self, codes: ArrayLike) -> NDArray[np.float64]:
        """Settled outputs (..., channels) in V for `codes` (..., channels): `coefficients`, clipped to 0 … VDD."""
        volts = horner(self.coefficients(), np.asarray(codes, dtype=np.float64))
        return np.clip(volts, 0.0, self.vdd_v)

    def output_v(self, t_s: float) -> NDArray[np.float64]:
        """(channels,) outputs in V at `t_s` (not before the last event), settling, and exact from `settled_at_s` on."""
        self._settle_pending()
        advance(self.CHIP, self._now_s, t_s)
        return self._output(t_s)

    # ---- inside ----

    def _begin_reset(self, t_s: float, wait: Limit) -> None:
        assert wait.minimum is not None
        self._reset_at_s, self._wait, self._ready_s = t_s, wait, t_s + wait.minimum

    def _check_ready(self, opened_s: float) -> None:
        """Refuse an access that begins while the chip still resets; tolerate the rounding of a late board time."""
        if opened_s > self._ready_s:
            return
        self._wait.check(opened_s - self._reset_at_s + 4 * math.ulp(opened_s), "wait before the first frame")

    def _output(self, t_s: float) -> NDArray[np.float64]:
        volts = self._to_v.copy()
        if t_s < self._settled_at_s:
            moving = t_s < self._until_s
            decay = np.exp(-(t_s - self._since_s[moving]) / self._errors.tau_s)
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
