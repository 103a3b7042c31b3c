"""Telegraph noise as a process: dwell times, occupation, jumps over long times."""

import numpy as np
import pytest

from firmware_bridge.mock.telegraph import Telegraph

T_S = 4000.0


def test_dwell_times_are_exponential_with_the_rates_asked_for():
    rates = np.array([[2.0, 5.0], [8.0, 0.5], [1.0, 1.0]])
    telegraph = Telegraph(rates, key=1)
    t, cell, sign = telegraph.events(0.0, T_S)
    for k, pair in enumerate(rates):
        times, signs = t[cell == k], sign[cell == k]
        assert (signs[1:] == -signs[:-1]).all()
        dwell, left = np.diff(times), signs[1:]
        for state, rate in enumerate(pair):
            x = dwell[left == (1 if state == 0 else -1)] * rate
            # Mean and variance of a unit exponential: 1 ± 1/√n, 1 ± √(8/n).
            assert x.mean() == pytest.approx(1, abs=4 / np.sqrt(len(x)))
            assert x.var() == pytest.approx(1, abs=4 * np.sqrt(8 / len(x)))


def test_occupation_is_the_ratio_of_rates_at_the_start_and_later():
    n = 4000
    telegraph = Telegraph(np.tile([3.0, 1.0], (n, 1)), key=2)
    sigma = np.sqrt(0.75 * 0.25 / n)
    assert telegraph.states.mean() == pytest.approx(0.75, abs=4 * sigma)
    telegraph.advance(0.3)
    assert telegraph.states.mean() == pytest.approx(0.75, abs=4 * sigma)


def test_states_follow_the_events():
    telegraph = Telegraph(np.array([[2.0, 5.0], [8.0, 0.5]]), key=3)
    states = telegraph.states.copy()
    t, cell, sign = telegraph.events(0.0, 50.0)
    for when, k, s in zip(t, cell, sign, strict=True):
        telegraph.advance(float(when))
        states[k] += s
        np.testing.assert_array_equal(telegraph.states, states)


def test_a_long_jump_arrives_where_small_steps_arrive():
    rates = np.array([[20.0, 50.0], [8.0, 0.5], [0.01, 0.02]])
    jump, walk = Telegraph(rates, key=4), Telegraph(rates, key=4)
    end = 3e4
    jump.advance(end)
    for t in np.linspace(0.0, end, 4001):
        walk.advance(float(t))
    np.testing.assert_array_equal(jump.states, walk.states)
    for a, b in zip(jump.events(end, end + 30), walk.events(end, end + 30), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_fluctuators_there_are_no_events():
    telegraph = Telegraph(np.empty((0, 2)), key=0)
    assert telegraph.next_flip_s == np.inf
    telegraph.advance(1e12)
    assert len(telegraph.events(1e12, 1e13)[0]) == 0
