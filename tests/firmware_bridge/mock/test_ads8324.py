from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import LimitError, ProtocolError, TimingViolation
from firmware_bridge.mock.ads8324 import LIMITS, AdcParams, AdcTiming, Ads8324
from firmware_bridge.mock.limits import Bound, Limit

LEGAL = AdcTiming(dclock_high_s=0.5e-6, dclock_low_s=0.5e-6, cs_high_s=1e-6)
LSB_V = 1.8 / 16384


def _adc(params: AdcParams | None = None, seed: int = 0) -> Ads8324:
    return Ads8324(params or AdcParams.ideal(), np.random.default_rng(seed))


def _start(high_s: float, low_s: float, *, cs_high_s: float = 1e-6, clocks: int = 24) -> None:
    _adc().start(0.0, AdcTiming(high_s, low_s, cs_high_s, clocks))


DRIVE: dict[str, Callable[[float], object]] = {
    "fDCLOCK": lambda f: _start(0.5 / f, 0.5 / f),
    "DCLOCK high": lambda s: _start(s, 1e-6),
    "DCLOCK low": lambda s: _start(1e-6, s),
    "clocks per conversion": lambda n: _start(0.5e-6, 0.5e-6, clocks=int(n)),
    "clocks with CS low": lambda n: _start(0.5e-6, 0.5e-6, cs_high_s=(24 - n) * 1e-6),
    "CS high": lambda s: _start(0.5e-6, 0.5e-6, cs_high_s=s),
    "VREF": lambda v: _adc(AdcParams(vref_v=v)),
}
CASES = [
    pytest.param(limit, bound, value, id=f"{limit.symbol}-{bound}")
    for limit in LIMITS
    for bound, value in limit.bounds()
]


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_at_the_limit_passes(limit: Limit, bound: Bound, value: float) -> None:
    DRIVE[limit.symbol](value)


@pytest.mark.parametrize(("limit", "bound", "value"), CASES)
def test_a_value_beyond_the_limit_is_refused(limit: Limit, bound: Bound, value: float) -> None:
    step = 1 / value if limit.symbol == "clocks per conversion" else 1e-6
    beyond = value * (1 - step if bound == "minimum" else 1 + step)
    with pytest.raises(limit.error) as caught:
        DRIVE[limit.symbol](round(beyond) if limit.symbol == "clocks per conversion" else beyond)
    error = caught.value
    assert isinstance(error, LimitError)
    assert (error.parameter, error.limit, error.unit) == (f"ADS8324 {limit.symbol}", value, limit.unit)
    assert error.value == pytest.approx(beyond)


# ---- conversions in time ----


def test_the_input_is_sampled_five_clocks_after_cs_falls() -> None:
    assert _adc().start(1e-3, LEGAL) == pytest.approx(1e-3 + 5e-6)


def test_cs_may_not_fall_while_the_previous_conversion_holds_it_low() -> None:
    adc = _adc()
    adc.start(0.0, LEGAL)
    with pytest.raises(ProtocolError, match="holds it low"):
        adc.start(22.9e-6, LEGAL)


def test_cs_must_really_have_been_high_between_conversions() -> None:
    adc = _adc()
    slow = replace(LEGAL, clocks=30)
    adc.start(0.0, slow)
    with pytest.raises(TimingViolation, match="CS high"):
        adc.start(29e-6 + 99e-9, slow)
    adc.start(29e-6 + 100e-9, slow)


def test_conversions_must_really_be_24_clocks_apart() -> None:
    adc = _adc()
    timing = replace(LEGAL, cs_high_s=4e-6)
    adc.start(0.0, timing)
    with pytest.raises(TimingViolation, match="clocks per conversion"):
        adc.start(23.9e-6, timing)
    adc.start(24e-6, timing)


def test_back_to_back_conversions_pass_at_any_late_board_time() -> None:
    adc = _adc()
    for k in range(1000):
        adc.start(86400.0 + k * 24 * LEGAL.period_s, LEGAL)


def test_converters_that_start_together_are_each_held_to_their_own_past() -> None:
    alike, busy = [_adc(seed=n) for n in range(3)], _adc(seed=3)
    Ads8324.start_together(alike, (0.0, 30e-6), LEGAL)
    for adc in alike:
        with pytest.raises(ProtocolError, match="a conversion holds it low"):
            adc.start(40e-6, LEGAL)
    busy.start(50e-6, LEGAL)
    with pytest.raises(ProtocolError, match="a conversion holds it low"):
        Ads8324.start_together([*alike, busy], (60e-6,), LEGAL)


def test_time_going_back_is_refused() -> None:
    adc = _adc()
    adc.power_up(1.0)
    with pytest.raises(ProtocolError, match="went back"):
        adc.start(0.5, LEGAL)


# ---- the bits on DOUT ----


def test_dout_is_hi_z_while_sampling_then_null_bit_msb_first_two_zeros_and_lsb_first() -> None:
    code = 0b01_0110_0011_1000
    msb_first = [0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    assert _adc().shift_out(code, clocks=38) == [None] * 4 + [0] + msb_first + [0, 0] + [0] + msb_first[::-1] + [0, 0]
    assert _adc().shift_out(code) == [None] * 4 + [0] + msb_first + [0, 0] + [0, 0, 0]


@pytest.mark.parametrize(("code", "word"), [(0, 0), (1, 1), (-1, 0x3FFF), (8191, 0x1FFF), (-8192, 0x2000)])
def test_codes_appear_in_twos_complement(code: int, word: int) -> None:
    assert _adc().shift_out(code)[5:19] == [int(bit) for bit in f"{word:014b}"]


@given(code=st.integers(-8192, 8191))
def test_both_halves_of_the_stream_carry_the_same_code(code: int) -> None:
    stream = _adc().shift_out(code, clocks=36)
    assert len(stream) == 36
    forward = "".join(map(str, stream[5:19]))
    assert stream[22:36][::-1] == stream[5:19]
    assert int(forward, 2) - (1 << 14) * int(forward[0]) == code


@pytest.mark.parametrize("code", [-8193, 8192])
def test_a_code_of_more_than_14_bits_cannot_be_shifted_out(code: int) -> None:
    with pytest.raises(ProtocolError, match="outside"):
        _adc().shift_out(code)


# ---- the transfer function ----


def test_an_ideal_converter_rounds_to_the_nearest_lsb() -> None:
    adc = _adc()
    levels = np.array([0.0, 0.49, 0.51, -0.49, -0.51, 100.2, -4095.7])
    codes = adc.code(levels * LSB_V, np.zeros(7))
    assert codes.dtype == np.int16
    assert codes.tolist() == [0, 0, 1, 0, -1, 100, -4096]


def test_codes_saturate_at_both_ends() -> None:
    codes = _adc().code(np.array([[0.9, 5.0], [-0.9, -5.0]]), np.zeros((2, 2)))
    assert codes.tolist() == [[8191, 8191], [-8192, -8192]]


def test_the_lsb_follows_the_reference() -> None:
    assert _adc(AdcParams.ideal(0.5)).code(np.array(0.25), np.array(0.0)) == 4096


def test_coefficients_are_what_code_rounds() -> None:
    adc = _adc(AdcParams(), seed=4)
    v = np.random.default_rng(0).uniform(-0.85, 0.85, 1000)
    noise = np.random.default_rng(1).standard_normal(1000)
    c = adc.coefficients()
    assert c.shape == (4,)
    level = ((c[3] * v + c[2]) * v + c[1]) * v + c[0] + 0.8 * noise
    assert np.array_equal(adc.code(v, noise), np.rint(level))


def test_inl_is_zero_at_both_ends_and_peaks_at_the_stated_lsb() -> None:
    c = _adc(AdcParams(offset_sigma_lsb=0, gain_sigma=0, inl_lsb=2.0), seed=1).coefficients()
    v = np.linspace(-0.9, 0.9, 20001)
    inl = ((c[3] * v + c[2]) * v + c[1]) * v + c[0] - v / LSB_V
    assert np.allclose(inl[[0, -1]], 0, atol=1e-8)
    assert np.abs(inl).max() == pytest.approx(2.0, abs=1e-6)


def test_noise_has_the_stated_width_and_five_lsb_peak_to_peak() -> None:
    adc = _adc(AdcParams(offset_sigma_lsb=0, gain_sigma=0, inl_lsb=0))
    codes = adc.code(np.zeros(100_000), np.random.default_rng(2).standard_normal(100_000))
    expected = np.sqrt(0.8**2 + 1 / 12)  # with quantisation noise
    assert abs(codes.std() - expected) < 5 * expected / np.sqrt(200_000)
    assert np.ptp(np.percentile(codes, [0.1, 99.9])) <= 5


def test_offset_and_gain_errors_are_drawn_with_their_sigmas() -> None:
    chips = [_adc(AdcParams(inl_lsb=0), seed=seed) for seed in range(400)]
    offsets = np.array([chip.coefficients()[0] for chip in chips])
    gains = np.array([chip.coefficients()[1] * LSB_V - 1 for chip in chips])
    assert abs(offsets.std() - 2.0) < 5 * 2.0 / np.sqrt(800)
    assert abs(gains.std() - 0.5e-3) < 5 * 0.5e-3 / np.sqrt(800)


def test_the_seed_makes_the_chip() -> None:
    assert np.array_equal(_adc(AdcParams(), 1).coefficients(), _adc(AdcParams(), 1).coefficients())
    assert not np.array_equal(_adc(AdcParams(), 1).coefficients(), _adc(AdcParams(), 2).coefficients())
