"""What a refusal says: which side of which limit, in units that a reader reads, and who asked."""

import math

import pytest

from firmware_bridge.errors import ConnectionLost, LimitError, TimingViolation, asked_for, asking


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5e-9, "s", "5 ns"),
        (-0.31, "V", "-310 mV"),
        (1.0, "V", "1 V"),
        (0.99995, "V", "0.99995 V"),  # not 999.95 mV
        (0.998, "V", "998 mV"),
        (3500, "Ω", "3.5 kΩ"),
        (2.5e6, "Hz", "2.5 MHz"),
        (100e6, "Hz", "100 MHz"),
        (3e9, "Hz", "3 GHz"),
        (20e-6, "S", "20 µS"),
        (7e-12, "A", "7 pA"),
        (7e-16, "A", "7e-16 A"),
        (0.0, "V", "0 V"),
        (math.inf, "s", "inf s"),
        (math.nan, "V", "nan V"),
        (1000, "", "1000"),
    ],
)
def test_a_value_is_written_with_the_prefix_of_its_size(value, unit, text):
    assert str(LimitError("x", value, (-1.0, 1.0), unit)).startswith(f"x = {text} is outside ")


def test_it_says_on_which_side_of_its_limit_a_value_is():
    assert str(LimitError("x", 4e-3, 5e-3, "s")) == "x = 4 ms is below the minimum of 5 ms"
    assert str(LimitError("x", 6e-3, 5e-3, "s")) == "x = 6 ms is above the maximum of 5 ms"
    assert str(LimitError("x", 6, (1, 5))) == "x = 6 is outside 1 … 5"


def test_source_asking_and_advice_follow_in_this_order():
    with asking("xbar program"), asking("Crossbar.apply_pulses"):
        error = LimitError("x", 6, 5, source="the sheet", advice="take less")
    assert str(error) == (
        "x = 6 is above the maximum of 5 (the sheet); asked for by xbar program → Crossbar.apply_pulses; take less"
    )
    assert error.asked_by == ("xbar program", "Crossbar.apply_pulses")
    assert (error.source, error.advice) == ("the sheet", "take less")


def test_who_asks_is_forgotten_on_every_way_out():
    with pytest.raises(LimitError) as refusal, asking("someone"):
        raise LimitError("x", 6, 5, source=asked_for())
    assert str(refusal.value) == "x = 6 is above the maximum of 5 (; asked for by someone); asked for by someone"
    assert asked_for() == ""
    assert LimitError("x", 6, 5).asked_by == ()


def test_a_violated_time_is_a_limit():
    assert issubclass(TimingViolation, LimitError)


def test_of_a_program_whose_link_was_lost_nothing_is_assumed():
    assert ConnectionLost("gone").executed is None
    assert ConnectionLost("gone", executed=False).executed is False
