"""Intervals and cycles of the sequencer."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from firmware_bridge.timing import SequencerTiming


def test_the_default_intervals_are_the_fastest_that_the_chips_allow_at_100_mhz():
    timing = SequencerTiming()
    assert timing.period_s == 1e-8
    assert timing.spi_frame_cycles(24, read=False) == 2 + 2 * 24 + 1 + 2
    assert timing.spi_frame_cycles(24, read=True) == 2 + 6 * 24 + 1 + 2
    assert timing.spi_frame_cycles(32, read=False) == 2 + 2 * 32 + 1 + 2
    assert timing.shift_cycles(16) == 2 * 5 * 16 + 2 * 5
    assert timing.adc_window_cycles == 5 * 84
    assert timing.adc_conversion_cycles == 24 * 84


@pytest.mark.parametrize(
    ("seconds", "cycles"),
    [(0.0, 0), (5e-6, 500), (8e-6, 800), (1e-8, 1), (1.01e-8, 2), (0.99e-8, 1), (720e-9, 72), (1e6, 10**14)],
)
def test_an_interval_is_rounded_up_to_whole_cycles(seconds, cycles):
    assert SequencerTiming().cycles(seconds) == cycles


@settings(deadline=None)
@given(st.floats(0, 1e3), st.sampled_from([100e6, 125e6, 50e6, 33.3e6]))
def test_cycles_last_at_least_as_long_as_asked_and_less_than_one_more(seconds, clock_hz):
    timing = SequencerTiming(clock_hz=clock_hz)
    exact = seconds * clock_hz
    assert exact - 1e-6 * (1 + exact * 1e-6) <= timing.cycles(seconds) <= exact + 1


def test_equal_timings_hash_alike():
    assert hash(SequencerTiming()) == hash(SequencerTiming(clock_hz=100e6))
    assert hash(SequencerTiming()) != hash(SequencerTiming(adc_half_cycles=43))


@pytest.mark.parametrize(
    "field",
    [{"clock_hz": 0.0}, {"clock_hz": float("inf")}, {"spi_cs_high_cycles": 0}, {"adc_clocks": -1}, {"spi_hz": 1}],
)
def test_an_impossible_or_unknown_setting_is_refused(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        SequencerTiming(**field)
