"""TI ADS8324: 14-bit, 50 kS/s differential converter with a three-wire serial port (SBAS172).

A conversion starts when CS falls. The input is sampled until the fifth falling edge of DCLOCK; that edge enables
DOUT, low for one clock (the null bit); the next sixteen clocks carry the 14 bits, MSB first, and two zeros; further
clocks repeat the bits LSB first, beginning with a zero. CS must go high before the next conversion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.errors import LimitError, ProtocolError
from firmware_bridge.mock.limits import Limit, advance
from firmware_bridge.mock.nonlinearity import horner, inl_cubics, substitute

CHIP = "ADS8324"
RESOLUTION_BITS = 14
CODE_MIN, CODE_MAX = -8192, 8191
SAMPLE_CLOCKS = 5

_TIMING = "SBAS172, timing characteristics"
F_DCLOCK = Limit(CHIP, "fDCLOCK", "Hz", _TIMING, minimum=24e3, maximum=1.2e6)
T_DCLOCK_HIGH = Limit(CHIP, "DCLOCK high", "s", _TIMING, minimum=200e-9)
T_DCLOCK_LOW = Limit(CHIP, "DCLOCK low", "s", _TIMING, minimum=200e-9)
CLOCKS = Limit(CHIP, "clocks per conversion", "", "SBAS172, tCYC: 50 kS/s at 1.2 MHz", minimum=24)
CLOCKS_CS_LOW = Limit(
    CHIP, "clocks with CS low", "", "SBAS172, serial interface: 5 to sample, the null bit, 14 bits", minimum=20
)
CS_HIGH = Limit(
    CHIP,
    "CS high",
    "s",
    "CS must go high between conversions; for how long is not stated, taken as tdis maximum",
    minimum=100e-9,
    certainty="recalled",
)
VREF = Limit(
    CHIP, "VREF", "V", "SBAS172, reference input (maximum VCC / 2)", minimum=0.5, maximum=0.9, error=LimitError
)
LIMITS = (F_DCLOCK, T_DCLOCK_HIGH, T_DCLOCK_LOW, CLOCKS, CLOCKS_CS_LOW, CS_HIGH, VREF)


class AdcParams(BaseModel):
    """One converter and its errors; offset and gain are spreads that the chip draws its own values from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vref_v: float = 0.9
    """Reference; full scale is ±vref_v. 0.5 V … VCC / 2 at VCC = 1.8 V (datasheet)."""
    offset_sigma_lsb: float = Field(default=2.0, ge=0)
    """σ of the offset error (assumed)."""
    gain_sigma: float = Field(default=0.5e-3, ge=0)
    """Relative σ of the gain error (assumed)."""
    inl_lsb: float = Field(default=1.5, ge=0)
    """Peak INL; the datasheet's maximum is ±2 … 3 LSB (recalled)."""
    noise_lsb_rms: float = Field(default=0.8, ge=0)
    """Transition noise: 5 LSB peak to peak at VREF = 0.9 V (datasheet), 6.6 σ."""

    @classmethod
    def ideal(cls, vref_v: float = 0.9) -> AdcParams:
        """Quantisation and saturation only."""
        return cls(vref_v=vref_v, offset_sigma_lsb=0, gain_sigma=0, inl_lsb=0, noise_lsb_rms=0)


@dataclass(frozen=True)
class AdcTiming:
    """What the pins see in one conversion, in seconds.

    `clocks`: DCLOCKs from CS falling to the next CS falling at the earliest, the `cs_high_s` at their end included.
    """

    dclock_high_s: float
    dclock_low_s: float
    cs_high_s: float
    clocks: int = 24

    @property
    def period_s(self) -> float:
        return self.dclock_high_s + self.dclock_low_s

    @property
    def cs_low_s(self) -> float:
        """Time that CS is low for a conversion, s."""
        return self.clocks * self.period_s - self.cs_high_s


class Ads8324:
    """One converter. `offset_lsb` and `gain_error` are its drawn errors, `lsb_v` = 2 VREF / 16384."""

    def __init__(self, params: AdcParams, rng: np.random.Generator) -> None:
        """Draw the errors; raises `LimitError` for a reference outside its range."""
        VREF.check(params.vref_v)
        self.params = params
        self.lsb_v = 2.0 * params.vref_v / 2**RESOLUTION_BITS
        self.offset_lsb = float(rng.normal(0, params.offset_sigma_lsb))
        self.gain_error = float(rng.normal(0, params.gain_sigma))
        inl = inl_cubics(rng, 1, params.inl_lsb)
        self._coefficients = substitute(inl, 0.5, 0.5 / params.vref_v)[0]
        self._coefficients[0] += self.offset_lsb
        self._coefficients[1] += (1.0 + self.gain_error) / self.lsb_v
        self.power_up(0.0)

    def power_up(self, t_s: float) -> None:
        """Idle, CS high for as long as anyone could ask."""
        self._port = _Port(t_s, -math.inf, -math.inf, None)

    def coefficients(self) -> NDArray[np.float64]:
        """(4,) polynomial in the differential input (V): the unrounded code before noise, with offset, gain and INL."""
        return self._coefficients.copy()

    def code(self, v_diff: ArrayLike, noise: ArrayLike) -> NDArray[np.int16]:
        """Convert differential voltages (any shape, V) with standard normal draws `noise` of the same shape.

        Returns two's-complement codes, saturated at −8192 … 8191. Code 0 is centred on 0 V.
        """
        level = horner(self._coefficients, np.asarray(v_diff, dtype=np.float64))
        level = level + self.params.noise_lsb_rms * np.asarray(noise)
        return np.clip(np.rint(level), CODE_MIN, CODE_MAX).astype(np.int16)

    def shift_out(self, code: int, clocks: int = 24) -> list[int | None]:
        """DOUT after each of the first `clocks` falling edges of DCLOCK since CS fell; None is Hi-Z.

        Raises `ProtocolError` for a code outside 14-bit two's complement.
        """
        if not CODE_MIN <= code <= CODE_MAX:
            raise ProtocolError(f"{CHIP}: code {code} is outside {CODE_MIN} … {CODE_MAX}")
        lsb_first = [code >> bit & 1 for bit in range(RESOLUTION_BITS)]
        null_bit = [0]
        stream = [*[None] * (SAMPLE_CLOCKS - 1), *null_bit, *lsb_first[::-1], 0, 0, 0, *lsb_first]
        return [*stream, *[0] * clocks][:clocks]

    def start(self, t_s: float, timing: AdcTiming) -> float:
        """CS falls at `t_s`: check the conversion and return the board time at which the input is sampled.

        Raises `TimingViolation` (DCLOCK rate or widths, clocks per conversion or with CS low, CS high; the last three
        also against the previous call) and `ProtocolError` (CS is still low from the previous conversion, or time
        goes back).
        """
        period_s = timing.period_s
        port = self._port
        if timing is not port.timing_passed:
            _check_timing(timing)
        now_s = advance(CHIP, port.now_s, t_s)
        late_s = now_s + 4 * math.ulp(now_s)  # board times are sums of many periods
        if late_s < port.cs_rises_s:
            raise ProtocolError(
                f"{CHIP}: CS falls at {t_s!r} s, but a conversion holds it low until {port.cs_rises_s!r} s"
            )
        CS_HIGH.check(late_s - port.cs_rises_s, "leave CS high for longer between conversions")
        CLOCKS.check((late_s - port.cs_fell_s) / period_s, "start the next conversion later")
        self._port = _Port(now_s, now_s, now_s + timing.cs_low_s, timing)
        return now_s + SAMPLE_CLOCKS * period_s

    @staticmethod
    def start_together(adcs: Sequence[Ads8324], starts_s: Iterable[float], timing: AdcTiming) -> None:
        """`start` of each of `adcs` at each of `starts_s`. Converters that have been through the same are checked
        once."""
        lead = adcs[0]
        before = lead._port
        for t_s in starts_s:
            lead.start(t_s, timing)
        for adc in adcs[1:]:
            if adc._port is before or adc._port == before:
                adc._port = lead._port
            else:
                for t_s in starts_s:
                    adc.start(t_s, timing)


class _Port(NamedTuple):
    """What a converter's serial port has been through; replaced, never changed."""

    now_s: float
    cs_fell_s: float
    cs_rises_s: float
    timing_passed: AdcTiming | None


def _check_timing(timing: AdcTiming) -> None:
    T_DCLOCK_HIGH.check(timing.dclock_high_s)
    T_DCLOCK_LOW.check(timing.dclock_low_s)
    F_DCLOCK.check(
        1.0 / timing.period_s, "below the minimum the held sample droops, above the maximum bits are undecided"
    )
    CLOCKS.check(timing.clocks)
    CLOCKS_CS_LOW.check(timing.cs_low_s / timing.period_s, "keep CS low until the least significant bit was read")
    CS_HIGH.check(timing.cs_high_s)
