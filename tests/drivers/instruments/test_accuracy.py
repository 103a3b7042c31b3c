"""Accuracy tables: which range holds what, and what a reading on it is worth."""

import itertools
import math

import pytest

from drivers.instruments.accuracy import Accuracy, Span
from drivers.instruments.dmm import DC_CURRENT, DC_VOLTAGE, RESISTANCE
from drivers.instruments.keithley import CURRENT_2400, CURRENT_2450, VOLTAGE_2400, VOLTAGE_2450
from firmware_bridge.errors import LimitError

SMU = {"2400 V": VOLTAGE_2400, "2400 A": CURRENT_2400, "2450 V": VOLTAGE_2450, "2450 A": CURRENT_2450}
DMM = {"DC V": DC_VOLTAGE, "DC A": DC_CURRENT, "Ω": RESISTANCE}
ALL = [pytest.param(table, id=name) for name, table in (SMU | DMM).items()]
TABLE = Accuracy("voltage", "V", (Span(1.0, 1e-4, 3e-5), Span(10.0, 2e-4, 4e-4)), "made up")


@pytest.mark.parametrize("table", ALL)
def test_ranges_rise_by_decades(table):
    tops = [span.full_scale for span in table.spans]
    assert [b / a for a, b in itertools.pairwise(tops)] == pytest.approx([10] * (len(tops) - 1))


@pytest.mark.parametrize(
    ("table", "share", "smallest"),
    [
        pytest.param(VOLTAGE_2400, 0.17e-2, 0.2, id="2400 V"),
        pytest.param(CURRENT_2400, 0.28e-2, 1e-6, id="2400 A"),
        pytest.param(VOLTAGE_2450, 0.9e-2, 0.02, id="2450 V"),
        pytest.param(CURRENT_2450, 0.65e-2, 10e-9, id="2450 A"),
        pytest.param(DC_VOLTAGE, 0.01e-2, 0.1, id="DC V"),
        pytest.param(DC_CURRENT, 0.12e-2, 100e-6, id="DC A"),
        pytest.param(RESISTANCE, 0.015e-2, 100, id="Ω"),
    ],
)
def test_no_range_is_worse_at_its_full_scale_than_the_worst_of_the_sheet(table, share, smallest):
    assert table.spans[0].full_scale == smallest
    for span in table.spans:
        # Both parts count, and the sheets give the reading's part in hundredths of a percent or more.
        assert 1e-5 < span.of_reading < share
        assert 0 < span.offset < share * span.full_scale
        assert span.of_reading + span.offset / span.full_scale < share


def test_a_value_is_held_by_the_smallest_range_that_it_does_not_exceed():
    assert TABLE.span_for(0.5) is TABLE.span_for(-1.0) is TABLE.spans[0]
    assert TABLE.span_for(1.0) is TABLE.spans[0]
    assert TABLE.span_for(1.0 + 1e-6) is TABLE.span_for(-10.0) is TABLE.spans[1]


@pytest.mark.parametrize("value", [10.001, -10.001, math.nan, math.inf])
def test_a_value_that_no_range_holds_is_refused(value):
    with pytest.raises(LimitError, match=r"range of voltage = .* is outside -10 V … 10 V \(largest range") as refusal:
        TABLE.span_for(value)
    assert refusal.value.limit == (-10.0, 10.0)


def test_one_sample_is_worth_the_instruments_bound_over_the_root_of_three():
    seen = TABLE.reading([-0.5], TABLE.spans[0], 2e-5)
    assert (seen.value, seen.samples, seen.unit) == (-0.5, 1, "V")
    assert seen.standard_uncertainty == pytest.approx((1e-4 * 0.5 + 3e-5 + 2e-5) / math.sqrt(3))
    assert math.isnan(seen.standard_deviation)


def test_scatter_falls_with_the_number_of_samples_and_the_bound_does_not():
    seen = TABLE.reading([4.0, 6.0], TABLE.spans[1])
    assert seen.standard_deviation == pytest.approx(math.sqrt(2))
    bound = (2e-4 * 5.0 + 4e-4) / math.sqrt(3)
    assert seen.standard_uncertainty == pytest.approx(math.hypot(bound, 1.0), rel=1e-12)
    many = TABLE.reading([4.0, 6.0] * 50, TABLE.spans[1])
    assert many.standard_deviation == pytest.approx(math.sqrt(100 / 99))
    assert many.standard_uncertainty == pytest.approx(math.hypot(bound, math.sqrt(100 / 99) / 10), rel=1e-12)
