"""TI OPA4322-Q1 as a transimpedance amplifier: one per source line (SLOS856).

The source line enters at the inverting input, `v_ref` at the non-inverting one, Rf ∥ Cf close the loop. So the line
is held at ``v_ref + v_os`` and the output is ``v_ref + v_os - Rf I`` for a current I that flows from the array into
the amplifier. With the open-loop gain GBW / s the output follows with ``1 / (1 + b s + a s²)``, b = Rf Cf + 1 / ωg, a
= Rf (Cin + Cf) / ωg, ωg = 2π GBW; settling and noise come from that, closed form.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.errors import LimitError
from firmware_bridge.mock.limits import Limit

CHIP = "OPA4322-Q1"
_BOLTZMANN_J_PER_K = 1.380649e-23

VS = Limit(CHIP, "VS", "V", "SLOS856, recommended operating conditions", minimum=1.8, maximum=5.5, error=LimitError)
LIMITS = (VS,)


class TiaParams(BaseModel):
    """The amplifier, its feedback network and their errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rf_ohm: float = Field(default=3500.0, gt=0)
    """Feedback resistor: 0.1 V × 32 × 80 µS = 256 µA fill ±0.9 V."""
    rf_tolerance: float = Field(default=1e-3, ge=0, lt=1)
    """Each Rf is uniform within ± this (0.1 % parts assumed)."""
    v_os_sigma_v: float = Field(default=0.5e-3, ge=0)
    """σ of the input offset voltage (datasheet: 0.5 mV typical, recalled)."""
    v_os_max_v: float = Field(default=2e-3, ge=0)
    """Input offset is clipped to this (datasheet maximum)."""
    supply_v: float = 5.0
    """V+; V- is ground."""
    swing_v: float = Field(default=0.02, ge=0)
    """The output stays this far from the rails (20 mV maximum at 10 kΩ, recalled)."""
    gbw_hz: float = Field(default=20e6, gt=0)
    """Gain-bandwidth product (datasheet)."""
    e_n_v_per_rthz: float = Field(default=8.5e-9, ge=0)
    """Input voltage noise density (datasheet)."""
    c_in_f: float = Field(default=100e-12, ge=0)
    """Capacitance at the inverting input: source line, pad, trace (assumed)."""
    c_f_f: float = Field(default=15e-12, ge=0)
    """Feedback capacitor, about sqrt(Cin / (2π Rf GBW))."""
    temperature_k: float = Field(default=300.0, ge=0)
    """Of Rf, for its thermal noise."""
    dynamics: bool = True
    """False: the output follows at once and the noise is off."""

    @classmethod
    def ideal(cls, rf_ohm: float = 3500.0) -> TiaParams:
        """Exact Rf, no offset, swing to the rails, no noise, no settling."""
        return cls(
            rf_ohm=rf_ohm, rf_tolerance=0, v_os_sigma_v=0, swing_v=0, e_n_v_per_rthz=0, temperature_k=0, dynamics=False
        )


class Opa4322Tia:
    """`n` amplifiers.

    Attributes
    ----------
    rf_ohm, v_os_v: (n,) drawn feedback resistance and input offset.
    output_noise_v_rms: over the full closed-loop bandwidth, e_n times the noise gain and thermal noise of Rf.
    tau_s: time constant of the slowest decay of the step response.
    settling_s: after it a step stays within half an LSB of 14 bits (no slewing: 10 V/µs allow steps of 1 V).
    """

    def __init__(self, params: TiaParams, n: int, rng: np.random.Generator) -> None:
        """Draw the spreads; raises `LimitError` for a supply outside VS."""
        VS.check(params.supply_v)
        self.params = params
        self.rf_ohm: NDArray[np.float64] = params.rf_ohm * (1.0 + params.rf_tolerance * rng.uniform(-1.0, 1.0, n))
        self.v_os_v: NDArray[np.float64] = np.clip(
            rng.normal(0, params.v_os_sigma_v, n), -params.v_os_max_v, params.v_os_max_v
        )
        self._low_v, self._high_v = params.swing_v, params.supply_v - params.swing_v
        self.tau_s, self.settling_s, self.output_noise_v_rms = _dynamics(params) if params.dynamics else (0.0, 0.0, 0.0)

    def output_v(self, current_a: ArrayLike, v_ref_v: float) -> NDArray[np.float64]:
        """Settled outputs (..., n), V, for currents (..., n) in A into the SL node, clipped to the swing; no noise."""
        linear = self.sl_voltage_v(v_ref_v) - self.rf_ohm * np.asarray(current_a)
        return np.clip(linear, self._low_v, self._high_v)

    @property
    def output_range_v(self) -> tuple[float, float]:
        """Output swing (low, high), V."""
        return self._low_v, self._high_v

    def saturated(self, v_out: ArrayLike) -> NDArray[np.bool_]:
        """Whether outputs (any shape, V) sit at a rail, where the virtual ground and the result are lost."""
        volts = np.asarray(v_out)
        return (volts <= self._low_v) | (volts >= self._high_v)

    def sl_voltage_v(self, v_ref_v: float) -> NDArray[np.float64]:
        """(n,) voltage that each source line is held at: `v_ref_v` plus the offset."""
        return v_ref_v + self.v_os_v


def _dynamics(params: TiaParams) -> tuple[float, float, float]:
    """(time constant in s, settling time in s, output noise in V rms) of the closed loop."""
    omega_g = 2.0 * math.pi * params.gbw_hz
    b = params.rf_ohm * params.c_f_f + 1.0 / omega_g
    a = params.rf_ohm * (params.c_in_f + params.c_f_f) / omega_g
    discriminant = b * b - 4.0 * a
    if discriminant < 0:
        tau_s = 2.0 * a / b
        envelope = 1.0 / math.sqrt(1.0 - b * b / (4.0 * a))  # of the ringing, relative to the step
    else:
        fast, slow = (b - math.sqrt(discriminant)) / 2.0, (b + math.sqrt(discriminant)) / 2.0
        tau_s = slow
        envelope = slow / (slow - fast) if slow > fast else 1.0
    settling_s = tau_s * math.log(2**15 * envelope)
    # ∫|H|² df = 1 / (4 b) and ∫|s H|² df = 1 / (4 b a) over 0 … ∞ for H = 1 / (1 + b s + a s²).
    bandwidth_hz = 1.0 / (4.0 * b)
    noise_zero_s = params.rf_ohm * (params.c_in_f + params.c_f_f)
    amplifier_v2 = params.e_n_v_per_rthz**2 * bandwidth_hz * (1.0 + noise_zero_s**2 / a)
    resistor_v2 = 4.0 * _BOLTZMANN_J_PER_K * params.temperature_k * params.rf_ohm * bandwidth_hz
    return tau_s, settling_s, math.sqrt(amplifier_v2 + resistor_v2)
