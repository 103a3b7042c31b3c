from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.errors import LimitError, ProtocolError, TimingViolation
from firmware_bridge.mock.limits import Bound, Limit
from firmware_bridge.mock.sn74hc595 import LIMITS, ShiftParams, ShiftTiming, Sn74hc595Chain

LEGAL = ShiftTiming(50e-9, 50e-9, 50e-9, 0.0, 50e-9, 50e-9)


def _chain(n_devices: int = 2, seed: int = 0) -> Sn74hc595Chain:
    return Sn74hc595Chain(n_devices, np.random.default_rng(seed))


def _enabled(word: int, n_devices: int = 2) -> Sn74hc595Chain:
    chain = _chain(n_devices)
    chain.shift(word, chain.n_bits, LEGAL)
    chain.latch(LEGAL)
    chain.set_oe_n(False, 0.0)
    return chain


def _use(timing: ShiftTiming, params: ShiftParams | None = None) -> None:
    chain = Sn74hc595Chain(1, np.random.default_rng(0), params)
    chain.shift(0, 8, timing)
    chain.latch(timing)


def _clock(rate_hz: float) -> None:
    # Two phases of 50 ns make exactly 10 MHz: faster needs a part with shorter phases, or those would be refused first.
    _use(replace(LEGAL, srclk_high_s=0.5 / rate_hz, srclk_low_s=0.5 / rate_hz), ShiftParams(width_min_s=20e-9))


DRIVE: dict[str, Callable[[float], None]] = {
    "fclock SRCLK": _clock,
    "tw SRCLK high": lambda s: _use(replace(LEGAL, srclk_high_s=s, srclk_low_s=100e-9)),
    "tw SRCLK low": lambda s: _use(replace(LEGAL, srclk_low_s=s, srclk_high_s=100e-9)),
    "tw RCLK high": lambda s: _use(replace(LEGAL, rclk_high_s=s)),
    "tsu SER before SRCLK": lambda s: _use(replace(LEGAL, ser_setup_s=s)),
    "tsu SRCLK before RCLK": lambda s: _use(replace(LEGAL, latch_setup_s=s)),
    "th SER after SRCLK": lambda s: _use(replace(LEGAL, ser_hold_s=s)),
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
    beyond = (value * (1 - 1e-6) if value else -1e-12) if bound == "minimum" else value * (1 + 1e-6)
    with pytest.raises(TimingViolation) as caught:
        DRIVE[limit.symbol](beyond)
    error = caught.value
    assert isinstance(error, LimitError)
    assert (error.parameter, error.limit, error.unit) == (f"SN74HC595 {limit.symbol}", value, limit.unit)
    assert error.value == pytest.approx(beyond)


def test_srclk_tied_to_rclk_is_refused_since_the_outputs_would_lag_one_clock() -> None:
    with pytest.raises(TimingViolation, match="tsu SRCLK before RCLK"):
        _chain().latch(replace(LEGAL, latch_setup_s=0.0))


@given(word=st.integers(0, 0xFFFFFF))
def test_a_full_word_shifted_msb_first_puts_bit_i_on_output_i(word: int) -> None:
    assert _enabled(word, n_devices=3).outputs() == word


def test_the_first_bit_in_ends_at_qh_of_the_last_device() -> None:
    chain = _chain()
    chain.shift(1, 1, LEGAL)
    chain.shift(0, 15, LEGAL)
    chain.latch(LEGAL)
    chain.set_oe_n(False, 0.0)
    assert chain.outputs() == 1 << 15


@given(words=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=4), split=st.integers(1, 15))
def test_shifting_in_pieces_equals_shifting_at_once(words: list[int], split: int) -> None:
    whole, pieces = _chain(seed=3), _chain(seed=3)
    for word in words:
        out = whole.shift(word, 16, LEGAL)
        first = pieces.shift(word >> split, 16 - split, LEGAL)
        assert out == first << split | pieces.shift(word & ((1 << split) - 1), split, LEGAL)


@given(first=st.integers(0, 0xFFFF), second=st.integers(0, 0xFFFFF))
def test_qh_prime_of_the_last_device_returns_the_bits_shifted_in_one_chain_length_earlier(
    first: int, second: int
) -> None:
    chain = _chain()
    chain.shift(first, 16, LEGAL)
    assert chain.shift(second, 20, LEGAL) == (first << 20 | second) >> 16


def test_outputs_change_at_the_latch_and_not_at_the_shift() -> None:
    chain = _enabled(0x1234)
    chain.shift(0xABCD, 16, LEGAL)
    assert chain.outputs() == 0x1234
    chain.latch(LEGAL)
    assert chain.outputs() == 0xABCD


def test_clear_empties_the_shift_stage_only() -> None:
    chain = _enabled(0xFFFF)
    chain.clear()
    assert chain.outputs() == 0xFFFF
    chain.latch(LEGAL)
    assert chain.outputs() == 0


def test_outputs_float_while_oe_n_is_high_and_keep_their_word() -> None:
    chain = _enabled(0x00FF)
    chain.set_oe_n(True, 1.0)
    assert chain.outputs() is None
    chain.set_oe_n(False, 2.0)
    assert chain.outputs() == 0x00FF


def test_power_up_holds_the_outputs_off_and_its_bits_are_random_but_seeded() -> None:
    assert _chain().oe_n
    assert _chain().outputs() is None
    contents = [_chain(seed=seed).shift(0, 16, LEGAL) for seed in (1, 1, 2)]
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize("bits", [0, 8, 15])
def test_enabling_outputs_before_a_full_word_was_latched_is_refused(bits: int) -> None:
    chain = _chain()
    if bits:
        chain.shift(0, bits, LEGAL)
        chain.latch(LEGAL)
    with pytest.raises(ProtocolError, match=f"{bits} of 16 bits"):
        chain.set_oe_n(False, 0.0)
    assert chain.oe_n


def test_a_full_word_that_was_never_latched_does_not_make_the_outputs_defined() -> None:
    chain = _chain()
    chain.shift(0, 16, LEGAL)
    with pytest.raises(ProtocolError, match="nothing was latched"):
        chain.set_oe_n(False, 0.0)


def test_clear_and_latch_make_the_outputs_defined() -> None:
    chain = _chain()
    chain.clear()
    chain.latch(LEGAL)
    chain.set_oe_n(False, 0.0)
    assert chain.outputs() == 0


def test_after_losing_power_the_outputs_are_undefined_again() -> None:
    chain = _enabled(0xFFFF)
    chain.power_up()
    assert chain.outputs() is None
    with pytest.raises(ProtocolError, match="undefined"):
        chain.set_oe_n(False, 1.0)


def test_a_word_wider_than_its_bits_and_time_going_back_are_refused() -> None:
    chain = _enabled(0)
    with pytest.raises(ProtocolError, match="does not fit"):
        chain.shift(0x100, 8, LEGAL)
    chain.set_oe_n(True, 1.0)
    with pytest.raises(ProtocolError, match="went back"):
        chain.set_oe_n(False, 0.5)
