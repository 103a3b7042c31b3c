"""Pulses held against their limits: what counts as driven, which rows conduct, and windows that link the limits."""

from __future__ import annotations

import numpy as np
import pytest

from drivers.board import Board, load_board
from drivers.pulse_limits import PulseVolts
from firmware_bridge.errors import LimitError

BOARD = load_board()
SLACK_V = 2.5 / 65536
READ_V, OFF_V = BOARD.limits.read_v, BOARD.limits.wl_off_v


def volts(relative, gates, width_s=1e-6, *, forming=False):
    """One pulse: bit lines {line: V} and word lines {line: V} over the source lines, others at 0 V and off."""
    bl, wl = np.zeros((1, 32)), np.full((1, 32), -2.5)
    for line, v in relative.items():
        bl[0, line] = v
    for line, v in gates.items():
        wl[0, line] = v
    return PulseVolts(bl, wl, np.array([width_s]), forming, SLACK_V)


def board(**windows):
    data = BOARD.model_dump()
    for kind, linked in windows.items():
        data["limits"][kind]["linked"] = [
            {"amplitude_v": a, "gate_v": g, "width_s": w, **lines} for a, g, w, lines in linked
        ]
    return Board.model_validate(data)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_line_is_driven_beyond_a_read_voltage_and_half_a_code(sign):
    at = READ_V + SLACK_V
    pulse = volts({3: sign * at, 4: sign * np.nextafter(at, 1.0), 5: sign * READ_V}, {})
    np.testing.assert_array_equal(np.flatnonzero(pulse.driven(BOARD)), [4])


@pytest.mark.parametrize("relative", [1.5, 0.0, -1.5])
def test_a_row_conducts_where_its_gate_is_above_the_lower_of_its_lines(relative):
    at = OFF_V + SLACK_V + min(relative, 0.0)
    pulse = volts({}, {3: at, 4: np.nextafter(at, 9.0)})
    rows = pulse.rows_on(BOARD, np.array([0]), np.array([relative]))[0]
    assert rows[4]
    assert not rows[3]
    assert rows.sum() == 1 + (np.full(30, -2.5) > at).sum()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pulse_is_held_to_the_limits_of_its_own_kind_alone(sign):
    data = BOARD.model_dump()
    other = "reset" if sign > 0 else "set"
    data["limits"][other] |= {"gate_v": (0.0, 1.0)}
    board = Board.model_validate(data)
    for amplitude in (0.4, 0.9, 1.5):
        volts({5: sign * amplitude}, {7: 1.2}).check(board)
        with pytest.raises(LimitError, match=f"gate voltage during {other.upper()} on WL 7"):
            volts({5: -sign * amplitude}, {7: 1.2}).check(board)


WINDOWS = (
    ((0.5, 1.0), (0.0, 1.5), (1e-6, 1e-5), {}),
    ((0.8, 2.0), (0.0, 1.2), (1e-6, 1e-3), {"bl": [5, 6]}),
    ((0.1, 0.6), (1.0, 2.0), (1e-6, 1e-3), {"sl": [7]}),
)


@pytest.mark.parametrize(
    ("relative", "gate", "width_s", "limit"),
    [
        (2.01, 1.1, 1e-5, (0.1, 2.0)),  # in all three windows but for its amplitude
        (1.01, 1.4, 1e-5, (0.1, 1.0)),  # not in the second, by its gate
        (2.01, 1.1, 1.1e-5, (0.1, 2.0)),  # not in the first, by its width
        (0.7, 1.8, 1e-4, (0.1, 0.6)),  # in the third alone
        (0.7, 2.1, 1e-4, (0.0, 0.0)),  # in none
        (0.7, 0.9, 1.1e-3, (0.0, 0.0)),
    ],
)
def test_a_refusal_names_the_amplitudes_that_the_windows_of_that_gate_and_width_allow(relative, gate, width_s, limit):
    pulse = volts({5: relative}, {7: gate}, width_s)
    with pytest.raises(LimitError) as refusal:
        # The ranges by themselves allow it: the windows are asked alone.
        pulse._check_linked("SET", "x", board(set=WINDOWS).limits.set.linked, *cells(pulse))
    assert refusal.value.limit == limit
    assert refusal.value.value == relative
    assert (
        refusal.value.parameter == f"SET amplitude on cell (SL 7, BL 5) at a gate of {gate:.4g} V for {width_s:.4g} s"
    )


def cells(pulse):
    which, bl = np.nonzero(pulse.driven(BOARD))
    return which, bl, pulse.rows_on(BOARD, which, pulse.relative[which, bl])


TOP = (1.0 + SLACK_V, 1.5 + SLACK_V, 1e-5, 0, 0)
LOW = (0.5 - SLACK_V, 0.8, 1e-6, 0, 0)
NAMED_BL = (2.0 + SLACK_V, 1.2 + SLACK_V, 1e-3, 0, 6)
NAMED_SL = (0.6 + SLACK_V, 2.0 + SLACK_V, 1e-3, 7, 0)
LOW_GATE = (0.3, 1.0 - SLACK_V, 1e-3, 7, 0)


@pytest.mark.parametrize(
    ("at", "which", "beyond"),
    [
        (TOP, 0, TOP[0] + 1e-6),
        (TOP, 1, TOP[1] + 1e-6),
        (TOP, 2, 1.001e-5),
        (LOW, 0, LOW[0] - 1e-6),
        (LOW, 2, 0.999e-6),
        (NAMED_BL, 0, NAMED_BL[0] + 1e-6),
        (NAMED_BL, 1, NAMED_BL[1] + 1e-6),
        (NAMED_BL, 2, 1.001e-3),
        (NAMED_BL, 4, 7),
        (NAMED_SL, 0, NAMED_SL[0] + 1e-6),
        (NAMED_SL, 1, NAMED_SL[1] + 1e-6),
        (NAMED_SL, 3, 8),
        (LOW_GATE, 1, LOW_GATE[1] - 1e-6),
    ],
)
def test_windows_hold_at_their_edges_to_half_a_code_and_end_there(at, which, beyond):
    linked = board(set=WINDOWS).limits.set.linked

    def check(relative, gate, width_s, sl, bl):
        pulse = volts({bl: relative}, {sl: gate}, width_s)
        pulse._check_linked("SET", "x", linked, *cells(pulse))

    check(*at)
    with pytest.raises(LimitError):
        check(*at[:which], beyond, *at[which + 1 :])
