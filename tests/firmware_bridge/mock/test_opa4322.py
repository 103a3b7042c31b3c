from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, signal

from firmware_bridge.errors import LimitError
from firmware_bridge.mock.limits import Bound, Limit
from firmware_bridge.mock.opa4322 import LIMITS, Opa4322Tia, TiaParams

CASES = [
    pytest.param(limit, bound, value, id=f"{limit.symbol}-{bound}")
    for limit in LIMITS
    for bound, value in limit.bounds()
]


def _tia(params: TiaParams | None = None, n: int = 4, seed: int = 0) -> Opa4322Tia:
    return Opa4322Tia(params or TiaParams(), n, np.random.default_rng(seed))


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_at_the_limit_passes(limit: Limit, bound: Bound, value: float) -> None:
    _tia(TiaParams(supply_v=value))


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_beyond_the_limit_is_refused(limit: Limit, bound: Bound, value: float) -> None:
    beyond = value * (1 - 1e-6 if bound == "minimum" else 1 + 1e-6)
    with pytest.raises(LimitError) as caught:
        _tia(TiaParams(supply_v=beyond))
    assert (caught.value.parameter, caught.value.value, caught.value.limit) == (
        f"OPA4322-Q1 {limit.symbol}",
        beyond,
        value,
    )


def test_current_into_the_line_lowers_the_output_by_rf_times_current() -> None:
    tia = _tia(TiaParams.ideal())
    current_a = np.array([[0.0, 100e-6, -100e-6, 256e-6], [1e-6, 2e-6, 3e-6, 4e-6]])
    assert np.array_equal(tia.output_v(current_a, 2.5), 2.5 - 3500.0 * current_a)


def test_offset_shifts_both_the_held_line_and_the_output() -> None:
    tia = _tia()
    current_a = np.full((2, 3, 4), 50e-6)
    assert np.array_equal(tia.sl_voltage_v(2.5), 2.5 + tia.v_os_v)
    assert np.allclose(tia.output_v(current_a, 2.5), 2.5 + tia.v_os_v - tia.rf_ohm * 50e-6, rtol=0, atol=1e-15)


def test_the_output_clips_at_its_swing_and_says_so() -> None:
    tia = _tia(TiaParams(v_os_sigma_v=0, rf_tolerance=0, swing_v=0.02))
    out_v = tia.output_v(np.array([1e-3, -1e-3, 0.0, 2.47 / 3500]), 2.5)
    assert out_v.tolist() == pytest.approx([0.02, 4.98, 2.5, 0.03])
    assert tia.saturated(out_v).tolist() == [True, True, False, False]


def test_offset_is_spread_with_the_stated_sigma_and_never_beyond_the_datasheet_maximum() -> None:
    v_os_v = _tia(n=10_000).v_os_v
    assert abs(v_os_v.std() - 0.5e-3) < 5 * 0.5e-3 / np.sqrt(20_000)
    assert np.abs(_tia(TiaParams(v_os_sigma_v=0.1), n=1000).v_os_v).max() == 2e-3


def test_rf_stays_within_its_tolerance() -> None:
    rf_ohm = _tia(n=10_000).rf_ohm
    assert np.abs(rf_ohm / 3500 - 1).max() <= 1e-3
    assert np.abs(rf_ohm / 3500 - 1).max() > 0.99e-3


def _closed_loop(params: TiaParams) -> tuple[float, float]:
    """(a, b) of 1 / (1 + b s + a s²), from the loop gain of an integrator amplifier with Rf ∥ Cf and Cin."""
    omega_g = 2 * np.pi * params.gbw_hz
    return params.rf_ohm * (params.c_in_f + params.c_f_f) / omega_g, params.rf_ohm * params.c_f_f + 1 / omega_g


@pytest.mark.parametrize("c_f_f", [5e-12, 15e-12, 60e-12])
def test_noise_equals_the_quadrature_of_amplifier_and_resistor_noise_over_frequency(c_f_f: float) -> None:
    params = TiaParams(c_f_f=c_f_f)
    a, b = _closed_loop(params)

    def density(f: float) -> float:
        s = 2j * np.pi * f
        response = 1 / (1 + b * s + a * s * s)
        noise_gain = (1 + s * params.rf_ohm * (params.c_in_f + params.c_f_f)) * response
        johnson = 4 * 1.380649e-23 * 300 * params.rf_ohm
        return float(abs(noise_gain) ** 2 * params.e_n_v_per_rthz**2 + abs(response) ** 2 * johnson)

    # f = f0 tan θ folds 0 … ∞ onto a finite interval.
    f0 = 1 / (2 * np.pi * np.sqrt(a))
    power = integrate.quad(
        lambda th: density(f0 * np.tan(th)) * f0 / np.cos(th) ** 2, 0, np.pi / 2, epsabs=0, epsrel=1e-9
    )[0]
    assert _tia(params).output_noise_v_rms == pytest.approx(np.sqrt(power), rel=1e-6)


@pytest.mark.parametrize("c_f_f", [5e-12, 15e-12, 60e-12])
def test_the_step_response_stays_within_half_an_lsb_of_14_bits_from_settling_on(c_f_f: float) -> None:
    params = TiaParams(c_f_f=c_f_f)
    a, b = _closed_loop(params)
    tia = _tia(params)
    t_s, response = signal.step(([1.0], [a, b, 1.0]), T=np.linspace(0, 3 * tia.settling_s, 30001))
    error = np.abs(response - 1)
    assert error[t_s >= tia.settling_s].max() <= 2.0**-15 * 1.001
    assert error[t_s >= 0.7 * tia.settling_s].max() > 2.0**-15, "the stated time is not generous"


def test_a_heavily_damped_loop_settles_with_rf_cf() -> None:
    tia = _tia(TiaParams(c_f_f=10e-9, c_in_f=0.0))
    assert tia.tau_s == pytest.approx(3500 * 10e-9, rel=1e-2)


def test_the_seed_makes_the_amplifiers() -> None:
    assert np.array_equal(_tia(seed=1).v_os_v, _tia(seed=1).v_os_v)
    assert np.array_equal(_tia(seed=1).rf_ohm, _tia(seed=1).rf_ohm)
    assert not np.array_equal(_tia(seed=1).v_os_v, _tia(seed=2).v_os_v)


def test_an_ideal_amplifier_has_no_error_no_noise_and_no_settling() -> None:
    tia = _tia(TiaParams.ideal(1000.0))
    assert (tia.tau_s, tia.settling_s, tia.output_noise_v_rms) == (0, 0, 0)
    assert np.array_equal(tia.output_v(np.array([5e-3, 0, -1e-3, 2.5e-3]), 2.5), [0, 2.5, 3.5, 0])
