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


def test_the_defaults_are_those_of_the_datasheets_at_100_mhz():
    assert SequencerTiming().model_dump() == {
        "clock_hz": 100e6,
        # DAC80508: SCLK 50 MHz to write; 16.7 MHz to read; tCSS 13 ns, tCSH 10 ns, tCSHIGH 20 ns at least.
        "spi_write_half_cycles": 1, "spi_read_half_cycles": 3, "spi_cs_setup_cycles": 2, "spi_cs_hold_cycles": 1,
        "spi_cs_high_cycles": 2,
        # SN74HC595: 10 MHz.
        "sr_half_cycles": 5, "sr_latch_cycles": 5,
        # ADS8324: DCLOCK up to 1.2 MHz; 5 clocks to sample, 20 with CS low, 24 in all.
        "adc_half_cycles": 42, "adc_window_clocks": 5, "adc_low_clocks": 20, "adc_clocks": 24,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(SequencerTiming.model_fields) - {"clock_hz"}))
def test_no_interval_is_shorter_than_a_cycle(name):
    assert getattr(SequencerTiming(**{name: 1}), name) == 1
    with pytest.raises(ValidationError, match=name):
        SequencerTiming(**{name: 0})


def test_a_clock_may_be_as_slow_as_one_likes():
    assert SequencerTiming(clock_hz=0.25).period_s == 4.0
    assert SequencerTiming(clock_hz=0.25).cycles(9.0) == 3


def test_each_interval_counts_where_the_protocol_has_it():
    timing = SequencerTiming(
        spi_write_half_cycles=2, spi_read_half_cycles=7, spi_cs_setup_cycles=100, spi_cs_hold_cycles=1000,
        spi_cs_high_cycles=10_000, sr_half_cycles=3, sr_latch_cycles=50, adc_half_cycles=11, adc_window_clocks=6,
        adc_clocks=23,
    )  # fmt: skip
    assert timing.spi_frame_cycles(24, read=False) == 11_100 + 2 * 2 * 24
    assert timing.spi_frame_cycles(32, read=True) == 11_100 + 2 * 7 * 32
    assert timing.shift_cycles(40) == 2 * 3 * 40 + 2 * 50
    assert (timing.adc_window_cycles, timing.adc_conversion_cycles) == (2 * 11 * 6, 2 * 11 * 23)
