"""Limits that are linked, limits that are tightened, and what a refusal says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.board import Board, load_board
from drivers.connect import open_crossbar
from drivers.limits import Linked
from firmware_bridge.errors import BoardError, LimitError, ProtocolError, asking
from firmware_bridge.isa import Gate, Pulse
from firmware_bridge.program import Program

CODE_V = 5.0 / 65536
BOARD = load_board()


def board(**limits):
    data = load_board().model_dump()
    for key, value in limits.items():
        data["limits"][key] = data["limits"][key] | value if isinstance(value, dict) else value
    return Board.model_validate(data)


def window(amplitude_v, gate_v=(0.0, 2.3), width_s=(1e-6, 1e-3), **lines):
    return {"amplitude_v": (0.0, amplitude_v), "gate_v": gate_v, "width_s": width_s, **lines}


def pulse(crossbar, amplitude_v, gate_v, width_s, *, sl=7, bl=5, **kind):
    amplitude = np.full((32, 32), np.nan)
    amplitude[sl, bl] = amplitude_v
    crossbar.apply_pulses(amplitude, gate_v, width_s, **kind)


# -- linked ------------------------------------------------------------------------------------------------------------

LINKED = board(
    set={
        "linked": (
            window(2.0, (0.0, 1.5), (1e-6, 1e-5)),
            window(1.2, (0.0, 2.3), (1e-6, 1e-3)),
            window(1.9, (0.0, 2.3), (1e-6, 1e-3), bl=(9,), sl=(3, 4)),
        )
    }
)


@pytest.mark.parametrize(
    ("change", "within"),
    [
        ({}, True),
        ({"bl": (9,)}, True),
        ({"bl": (9, 10)}, True),
        ({"bl": (9, 11)}, False),
        ({"bl": None}, False),
        ({"sl": None}, True),
        ({"amplitude_v": (0.1, 1.9)}, True),
        ({"amplitude_v": (0.1, 1.9 + 1e-9)}, False),
        ({"gate_v": (0.0, 2.4)}, False),
        ({"width_s": (0.9e-6, 1e-3)}, False),
    ],
)
def test_a_window_is_within_another_if_all_that_it_allows_is_allowed_there(change, within):
    wide = Linked(**window(1.9, bl=(9, 10)))
    assert Linked.model_validate(wide.model_dump() | change).within(wide) is within


@pytest.mark.parametrize(
    ("amplitude_v", "gate_v", "width_s", "at", "up_to_v"),
    [
        (2.0, 1.5, 1e-5, {}, 2.0),
        (2.0, 1.5 + CODE_V, 1e-5, {}, 1.2),
        (2.0, 1.5, 1.001e-5, {}, 1.2),
        (1.2, 2.3, 1e-3, {}, 1.2),
        (1.9, 2.3, 1e-3, {"sl": 3, "bl": 9}, 1.9),
        (1.9, 2.3, 1e-3, {"sl": 5, "bl": 9}, 1.2),
        (1.9, 2.3, 1e-3, {"sl": 3, "bl": 8}, 1.2),
        (2.0, 2.3, 1e-3, {"sl": 3, "bl": 9}, 1.9),
    ],
)
def test_a_voltage_is_allowed_only_together_with_its_gate_width_and_lines(amplitude_v, gate_v, width_s, at, up_to_v):
    with open_crossbar("mock", board=LINKED) as crossbar:
        if amplitude_v <= up_to_v:
            pulse(crossbar, amplitude_v, gate_v, width_s, **at)
            return
        with pytest.raises(LimitError, match=r"SET amplitude on cell .*limits.set.linked of board") as refusal:
            pulse(crossbar, amplitude_v, gate_v, width_s, **at)
        assert refusal.value.limit == (0.0, up_to_v)
        sl, bl = at.get("sl", 7), at.get("bl", 5)
        assert f"on cell (SL {sl}, BL {bl}) at a gate of {gate_v:.4g} V for {width_s:.4g} s" in refusal.value.parameter
        assert not crossbar.pulse_count.any()


def test_windows_belong_to_their_mode():
    # What a SET may be says nothing of a RESET or of forming.
    with open_crossbar("mock", board=board(set={"linked": (window(1.0),)})) as crossbar:
        pulse(crossbar, -1.5, 2.4, 1e-5)
        pulse(crossbar, 3.0, 1.0, 1e-4, forming=True)
        with pytest.raises(LimitError, match="SET amplitude on cell"):
            pulse(crossbar, 1.5, 1.0, 1e-5)


def test_a_row_that_is_off_may_stand_anywhere():
    with open_crossbar("mock", board=board(set={"linked": (window(1.6, (1.0, 2.0)),)})) as crossbar:
        pulse(crossbar, 1.6, 1.0, 1e-5)  # all other gates at 0 V


def test_what_no_window_allows_at_all_is_said_to_be_so():
    with open_crossbar("mock", board=board(set={"linked": (window(1.6, (1.0, 2.0)),)})) as crossbar:
        with pytest.raises(LimitError) as refusal:
            pulse(crossbar, 0.5, 0.9, 1e-5)
        assert refusal.value.limit == (0.0, 0.0)


def test_the_compliance_is_what_the_rows_transistor_lets_through():
    gate_v = BOARD.transistor.threshold_v + 100e-6 / BOARD.transistor.saturation_a_per_v
    with open_crossbar("mock", board=board(set={"compliance_a": 100e-6})) as crossbar:
        pulse(crossbar, 1.5, gate_v, 1e-5)
        with pytest.raises(LimitError, match=r"compliance current during SET of SL 7 = 100.\d+ µA .* 0 A … 100 µA"):
            pulse(crossbar, 1.5, gate_v + 2 * CODE_V, 1e-5)
        pulse(crossbar, -1.5, 2.4, 1e-5)  # a RESET is not limited by current


# -- who asked ---------------------------------------------------------------------------------------------------------


def test_a_refusal_says_who_asked_for_what_and_the_limit():
    with open_crossbar("mock") as crossbar, pytest.raises(LimitError) as refusal, asking("night run"):
        pulse(crossbar, 2.4, 1.2, 1e-6)
    assert str(refusal.value) == (
        "SET amplitude on BL 5 = 2.4 V is outside 0 V … 2 V (limits.set.amplitude_v of board paper-32x32); "
        "asked for by night run → Crossbar.apply_pulses; nothing was sent to the board"
    ).replace("2.4 V", f"{refusal.value.value:.6g} V")
    assert refusal.value.asked_by == ("night run", "Crossbar.apply_pulses")


def test_so_does_a_refusal_of_what_cannot_be_followed():
    with open_crossbar("mock") as crossbar, pytest.raises(ProtocolError) as refusal, asking("hand-written program"):
        crossbar._lines.run(Program([Gate(True), Pulse(100)]))
    assert str(refusal.value) == (
        "a pulse while the bit lines are connected; GATE 0 first; asked for by hand-written program; "
        "nothing was sent to the board"
    )


def test_who_asked_is_forgotten_when_the_call_is_over():
    with pytest.raises(LimitError), asking("first"):
        raise LimitError("x", 2, 1)
    assert LimitError("x", 2, 1).asked_by == ()


# -- tightened ---------------------------------------------------------------------------------------------------------


def test_a_tightened_limit_holds_from_then_on():
    with open_crossbar("mock") as crossbar:
        pulse(crossbar, 1.5, 1.2, 1e-6)
        crossbar.tighten(pulses_per_cell=2, set={"amplitude_v": (0.0, 1.5)})
        with pytest.raises(LimitError, match=r"outside 0 V … 1.5 V"):
            pulse(crossbar, 1.6, 1.2, 1e-6)
        pulse(crossbar, 1.5, 1.2, 1e-6)
        with pytest.raises(LimitError, match="above the maximum of 2"):
            pulse(crossbar, 1.5, 1.2, 1e-6)
        assert crossbar.board.limits.set.amplitude_v == (0.0, 1.5)
        assert crossbar.board.limits.set.gate_v == BOARD.limits.set.gate_v


LOOSER = {
    "bl_v": (0.0, 5.1), "wl_v": (0.0, 5.1), "wl_off_v": 0.5, "read_v": 0.3, "read_disturb_v": 0.13,
    "read_exposure_s": 1001.0, "pulse_interval_s": 4e-6, "pulses_per_cell": 100001, "forming_per_cell": 41,
    "dose_per_cell_v2s": 11.0, "set": {"amplitude_v": (0.0, 2.1)}, "reset": {"width_s": (1e-7, 1e-3)},
    "form": {"gate_v": (0.0, 1.7)},
}  # fmt: skip
LOOSER_KINDS = (
    {"set": {"compliance_a": None}}, {"set": {"compliance_a": 151e-6}}, {"set": {"linked": ()}},
    {"reset": {"linked": ({"amplitude_v": (0.0, 2.15), "gate_v": (0.0, 2.5), "width_s": (1e-6, 1e-3)},)}},
)  # fmt: skip


@pytest.mark.parametrize("change", [*({k: v} for k, v in LOOSER.items()), *LOOSER_KINDS], ids=str)
def test_no_limit_can_be_loosened(change):
    with open_crossbar("mock") as crossbar:
        with pytest.raises(LimitError, match=r"^tighten: .* which can only be tightened"):
            crossbar.tighten(**change)
        assert crossbar.board == BOARD


def test_every_limit_has_its_case_above():
    assert set(LOOSER) | {"host_silence_s"} == set(type(BOARD.limits).model_fields)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"pulses": 3}, "limits.pulses: Extra inputs"),
        ({"set": {"voltage": 3}}, "limits.set.voltage: Extra inputs"),
        ({"set": 3.0}, "limits.set: Input should be a valid dictionary"),
        ({"read_v": 0.05}, "levels.input_v = 0.1 V is above 0.05 V"),
        ({"host_silence_s": 1.0}, "host_silence_s is the gateware's"),
        ({"read_v": float("nan")}, "limits.read_v: Input should be a finite number"),
    ],
)
def test_what_is_no_closer_limit_is_named(change, text):
    with open_crossbar("mock") as crossbar:
        with pytest.raises(ProtocolError, match=text):
            crossbar.tighten(**change)
        assert crossbar.board == BOARD


def test_the_board_description_of_an_open_board_cannot_be_replaced():
    with open_crossbar("mock") as crossbar:
        with pytest.raises(AttributeError):
            crossbar.board = board(pulses_per_cell=10**6)
        with pytest.raises(ValueError, match="frozen"):
            crossbar.board.limits.pulses_per_cell = 10**6


NUMBERS = st.one_of(st.floats(-1.0, 10.0), st.floats(0.0, 1e-3), st.just(float("nan")), st.integers(-1, 10**6))
RANGES = st.tuples(NUMBERS, NUMBERS)
KINDS = st.fixed_dictionaries(
    {},
    optional={
        "amplitude_v": RANGES, "gate_v": RANGES, "width_s": RANGES, "compliance_a": st.none() | NUMBERS,
        "linked": st.lists(
            st.fixed_dictionaries({"amplitude_v": RANGES, "gate_v": RANGES, "width_s": RANGES}), max_size=2
        ).map(tuple),
    },
)  # fmt: skip
CHANGES = st.fixed_dictionaries(
    {},
    optional={name: RANGES if name in ("bl_v", "wl_v") else KINDS if name in ("set", "reset", "form") else NUMBERS
              for name in LOOSER},
)  # fmt: skip


def closer_number(name):
    old = getattr(BOARD.limits, name)
    return st.floats(0.3, 1.1).map(lambda f: type(old)(old * f))


def closer_kind(name):
    old = getattr(BOARD.limits, name)
    return st.floats(0.5, 1.1).map(
        lambda f: {
            "amplitude_v": (0.0, old.amplitude_v[1] * f),
            "gate_v": (0.0, old.gate_v[1] * f),
            "linked": tuple(w.model_dump() | {"width_s": (1e-6, w.width_s[1] * f)} for w in old.linked),
        }
    )


CLOSER = st.fixed_dictionaries(
    {},
    optional={name: closer_number(name) for name, value in LOOSER.items() if isinstance(value, float | int)}
    | {kind: closer_kind(kind) for kind in ("set", "reset", "form")},
)
PULSES = st.tuples(st.floats(-2.3, 2.1), st.floats(0.0, 2.6), st.sampled_from((5e-7, 1e-6, 1e-4, 1e-3)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(CLOSER, CHANGES), max_size=8), st.lists(PULSES, max_size=4))
def test_no_sequence_of_calls_allows_what_was_refused_before(changes, pulses):
    """A pulse that is refused stays refused, whatever is called in between."""
    with open_crossbar("mock") as crossbar:
        refused = set()
        for change in [{}, *changes]:
            before = crossbar.board
            try:
                crossbar.tighten(**change)
            except BoardError:
                assert crossbar.board == before
            before.limits.refuse_looser(crossbar.board.limits, "")
            for each in pulses:
                try:
                    pulse(crossbar, *each)
                except LimitError:
                    refused.add(each)
                else:
                    assert each not in refused
            crossbar.safe()
