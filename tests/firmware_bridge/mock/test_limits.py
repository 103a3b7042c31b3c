from __future__ import annotations

import math
from pathlib import Path

import pytest

from firmware_bridge.errors import LimitError, ProtocolError, TimingViolation
from firmware_bridge.mock.datasheet_table import CHIPS, table
from firmware_bridge.mock.limits import Limit, advance

DOCUMENT = Path(__file__).parents[3] / "docs" / "datasheet-limits.md"


def test_the_documented_table_of_limits_is_the_one_the_code_enforces() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == table(), (
        "python -m firmware_bridge.mock.datasheet_table > docs/datasheet-limits.md"
    )


def test_symbols_are_unique_within_a_chip_and_every_limit_bounds_something() -> None:
    for chip in CHIPS:
        symbols = [limit.symbol for limit in chip.LIMITS]
        assert len(symbols) == len(set(symbols))
        assert all(list(limit.bounds()) for limit in chip.LIMITS)


def test_a_refusal_carries_symbol_value_limit_unit_source_and_advice() -> None:
    limit = Limit("CHIP", "tX", "s", "SHEET 1, table 2", minimum=5e-9)
    with pytest.raises(TimingViolation) as caught:
        limit.check(4e-9, "slow down")
    error = caught.value
    assert (error.parameter, error.value, error.limit, error.unit) == ("CHIP tX", 4e-9, 5e-9, "s")
    assert str(error) == "CHIP tX = 4 ns is below the minimum of 5 ns (SHEET 1, table 2); slow down"


def test_a_limit_that_is_a_protocol_matter_raises_a_protocol_error_with_the_same_text() -> None:
    limit = Limit("CHIP", "VIH", "V", "SHEET", minimum=3.5, error=ProtocolError)
    with pytest.raises(ProtocolError, match=r"CHIP VIH = 3.3 V is below the minimum of 3.5 V \(SHEET\)"):
        limit.check(3.3)


def test_not_a_number_is_outside_every_limit() -> None:
    with pytest.raises(LimitError):
        Limit("CHIP", "VDD", "V", "SHEET", maximum=5.0, error=LimitError).check(math.nan)
    with pytest.raises(TimingViolation):
        Limit("CHIP", "tX", "s", "SHEET", minimum=1e-9).check(math.nan)


def test_rounding_at_the_limit_is_tolerated_and_a_millionth_beyond_is_not() -> None:
    limit = Limit("CHIP", "f", "Hz", "SHEET", minimum=24e3, maximum=1.2e6)
    limit.check(1.2e6 * (1 + 5e-10))
    limit.check(24e3 * (1 - 5e-10))
    for value in (1.2e6 * (1 + 1e-6), 24e3 * (1 - 1e-6)):
        with pytest.raises(TimingViolation):
            limit.check(value)


def test_board_time_may_stand_still_but_never_go_back() -> None:
    assert advance("CHIP", 1.0, 1.0) == 1.0
    with pytest.raises(ProtocolError, match="went back"):
        advance("CHIP", 1.0, 0.5)
    with pytest.raises(ProtocolError):
        advance("CHIP", 1.0, math.nan)


def test_one_instant_rounded_in_two_ways_is_no_step_back() -> None:
    end = 1.1 + 2.2
    assert end > 3.3
    assert advance("chip", end, 3.3) == end
    with pytest.raises(ProtocolError, match="went back"):
        advance("chip", end, 3.3 - 1e-12)
