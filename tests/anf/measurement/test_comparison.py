from __future__ import annotations

import pytest

from anf.measurement.comparison import BOUND, Row, compare
from anf.measurement.observables import Estimate


def estimate(name, value, error, expected=None):
    return Estimate(name, value, error, 0.5, 100.0, expected)


def test_pulls_are_in_combined_and_in_own_standard_deviations():
    row = Row("chi2", 2.0, 0.3, 1.0, 0.4, exact=1.7)
    assert row.pull_reference == pytest.approx(2.0)
    assert row.pull_exact == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("reference", "exact", "agrees"),
    [
        (1.0, 1.0, True),
        (1.0 + 0.9 * BOUND, None, True),
        (1.0 + 1.1 * BOUND, None, False),
        (1.0, 1.0 - 1.1 * BOUND, False),
    ],
)
def test_a_row_agrees_within_the_bound_on_both_sides(reference, exact, agrees):
    assert Row("E", 1.0, 1.0, reference, 0.0, exact).agrees is agrees


def test_a_value_without_an_error_agrees_with_nothing():
    assert not Row("E", 1.0, float("nan"), 1.0, 0.1, exact=1.0).agrees


def test_exact_values_come_from_outside_and_those_of_identities_from_the_identity():
    ours = {
        "chi2": estimate("chi2", 2.0, 0.1),
        "virial": estimate("virial", 1.1, 0.1, 1.0),
        "M": estimate("M", 0.0, 0.1),
    }
    rows = compare(ours, ours, {"chi2": 1.9})
    assert [(row.name, row.exact) for row in rows] == [("chi2", 1.9), ("virial", 1.0)]
