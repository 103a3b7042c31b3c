"""Doses: sums, differences, and the cell that is beyond what it may be given."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.board import load_board
from drivers.doses import Doses
from firmware_bridge.errors import LimitError

LIMITS = load_board().limits
SHAPE = (3, 4)


def filled(factor):
    n = np.arange(12).reshape(SHAPE) * factor
    return Doses(n, 2 * n, 0.5 * n, 0.25 * n[0])


def test_what_is_added_can_be_taken_away_again_and_nothing_is_changed_in_place():
    one, two = filled(1), filled(3)
    for a, b in zip((one + two).arrays(), filled(4).arrays(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip((two - one).arrays(), filled(2).arrays(), strict=True):
        np.testing.assert_array_equal(a, b)
    kept = one.copy()
    one.give(np.ones((1, 3), bool), np.array([2]), np.array([0.5]), np.array([True]))
    np.testing.assert_array_equal(kept.pulses, filled(1).pulses)


def test_a_pulse_counts_on_the_rows_that_are_on_and_forms_where_it_does():
    given = Doses.none(SHAPE)
    rows = np.array([[True, False, True], [True, True, False], [True, False, False]])
    given.give(rows, np.array([3, 3, 0]), np.array([0.5, 0.25, 2.0]), np.array([False, True, False]))
    np.testing.assert_array_equal(given.pulses, [[1, 0, 0, 2], [0, 0, 0, 1], [0, 0, 0, 1]])
    np.testing.assert_array_equal(given.forming, [[0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(given.dose_v2s, [[2.0, 0, 0, 0.75], [0, 0, 0, 0.25], [0, 0, 0, 0.5]])
    assert given.exposure_s.tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("name", "says", "key"),
    [
        ("pulses", "pulses on", "pulses_per_cell"),
        ("forming", "forming pulses on", "forming_per_cell"),
        ("dose_v2s", "dose of", "dose_per_cell_v2s"),
    ],
)
def test_a_cell_may_have_all_it_may_be_given_and_the_worst_beyond_is_named(name, says, key):
    limit, given = getattr(LIMITS, key), Doses.none(SHAPE)
    values = getattr(given, name)
    values[:] = limit
    given.refuse_cells(LIMITS, "b")
    if name == "dose_v2s":
        values[0, 0] = limit * (1 + 1e-13)  # a rounding of a long sum
        given.refuse_cells(LIMITS, "b")
    beyond = 1e-6 * limit if name == "dose_v2s" else 1
    values[0, 1] += beyond
    values[2, 3] += 2 * beyond
    with pytest.raises(LimitError) as refusal:
        given.refuse_cells(LIMITS, "b")
    assert refusal.value.parameter == f"{says} cell (SL 2, BL 3)"
    assert (refusal.value.value, refusal.value.limit) == (limit + 2 * beyond, limit)
    assert f"limits.{key} of board b" in str(refusal.value)
