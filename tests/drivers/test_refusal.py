"""A value at its limit passes, to a rounding; the first beyond it is named."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.refusal import refuse
from firmware_bridge.errors import LimitError

LIMIT = (1.0, 2.0)


def named(values, **options):
    with pytest.raises(LimitError) as refusal:
        refuse("BL", np.array(values, float), LIMIT, "V", "a test", **options)
    assert (refusal.value.limit, refusal.value.unit) == (LIMIT, "V")
    return refusal.value.parameter, refusal.value.value


@pytest.mark.parametrize("slack", [None, 0.0, 0.25])
def test_a_limit_with_its_slack_is_allowed_and_what_is_beyond_is_not(slack):
    low, high = 1.0 - (slack or 0.0), 2.0 + (slack or 0.0)
    refuse("BL", np.array([low, 1.5, high]), LIMIT, "V", "a test", slack=slack)
    refuse("BL", np.array([]), LIMIT, "V", "a test", slack=slack)
    assert named([1.5, high + 1e-6, low - 1e-6], slack=slack) == ("BL 1", high + 1e-6)
    assert named([1.5, 1.5, low - 1e-6], slack=slack) == ("BL 2", low - 1e-6)


def test_only_those_that_count_are_looked_at():
    values, of = np.array([[9.0, 1.5], [1.5, 9.0]]), np.array([[False, True], [True, False]])
    refuse("BL", values, LIMIT, "V", "a test", of=of)
    assert named(values, of=~of) == ("BL 0", 9.0)
    of[1, 1] = True
    assert named(values, of=of) == ("BL 1", 9.0)


def test_what_is_no_number_is_refused():
    name, value = named([1.5, np.nan, 1.5])
    assert name == "BL 1"
    assert np.isnan(value)
