"""The netlist: which bits select what, and wirings that no board can have."""

import pytest
from pydantic import ValidationError

from firmware_bridge.wiring import SelectBits, Wiring

SMALL = dict(
    bl_dac=(0, 1, 2, 3),
    wl_dac=(8, 9),
    sl_adc=(0, 1),
    sl_mux=(3, 3),
    sr_devices=2,
    bl_select={"lsb": 0},
    reference_select={"lsb": 3, "inhibit": 6},
    adc_select={"lsb": 8, "inhibit": 11},
    vcm_v=2.5,
    vform_v=1.0,
)


def small(**changes):
    return Wiring(**(SMALL | changes))


def test_sizes_follow_from_the_lines():
    wiring = small()
    assert (wiring.n_bl, wiring.n_sl, wiring.n_dacs, wiring.n_adcs, wiring.sr_bits) == (4, 2, 2, 2, 16)
    assert wiring.positions == (3,)


@pytest.mark.parametrize(
    ("selection", "word"),
    [
        ({}, 1 << 11),
        ({"adc_input": 0}, 0),
        ({"adc_input": 3}, 3 << 8),
        ({"bl": "vcm"}, 1 << 11 | 1),
        ({"bl": "gnd"}, 1 << 11 | 2),
        ({"reference": "form"}, 1 << 11 | 1 << 3),
        ({"bl": "gnd", "reference": "form", "adc_input": 5}, 5 << 8 | 1 << 3 | 2),
    ],
)
def test_a_mux_word_sets_exactly_the_selected_bits(selection, word):
    assert small().mux_word(**selection) == word


def test_a_group_reads_back_what_a_word_selects():
    select = SelectBits(lsb=3, inhibit=6)
    for code in range(8):
        for inhibited in (False, True):
            word = select.word(code, inhibited) | 0b1000_0000_0111
            assert (select.code(word), select.inhibited(word)) == (code, inhibited)
    assert not SelectBits(lsb=0).inhibited(0xFFFF)


def test_inputs_can_be_wired_otherwise():
    wiring = small(bl_inputs={"dac": 4, "vcm": 5, "gnd": 6}, reference_inputs={"vcm": 7, "form": 2})
    assert wiring.mux_word(adc_input=0) == 7 << 3 | 4
    assert wiring.mux_word(bl="gnd", reference="form", adc_input=0) == 2 << 3 | 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bl_dac": (0, 1, 2, 2)}, "DAC channel 2 is used 2 times"),
        ({"wl_dac": (3, 9)}, "DAC channel 3 is used 2 times"),
        ({"sl_adc": (0, 0)}, r"ADC input \(0, 3\) is used 2 times"),
        ({"adc_select": {"lsb": 4}}, "shift-register bit 4 is used 2 times"),
        ({"bl_inputs": {"dac": 1}}, "bit-line mux input 1 is used 2 times"),
        ({"reference_inputs": {"form": 0}}, "reference mux input 0 is used 2 times"),
        ({"wl_dac": (8, 9, 10)}, "wl_dac has 3 entries, sl_adc 2, sl_mux 2"),
        ({"sl_mux": (3,)}, "wl_dac has 2 entries, sl_adc 2, sl_mux 1"),
        ({"sr_devices": 1}, "shift-register bit 11 is beyond the chain of 1 × 8 bits"),
        ({"bl_dac": ()}, "bl_dac"),
        ({"bl_dac": (0, 1, 2, -1)}, "bl_dac"),
        ({"bl_dac": (0, 1, 2, 64)}, "bl_dac"),
        ({"sl_adc": (0, 32)}, "sl_adc"),
        ({"sl_mux": (3, 8)}, "sl_mux"),
        ({"vcm_v": -0.1}, "vcm_v"),
        ({"vform_v": float("nan")}, "vform_v"),
        ({"bl_inputs": {"ground": 1}}, "ground"),
        ({"bl_dacs": (1,)}, "bl_dacs"),
    ],
)
def test_a_wiring_that_no_board_can_have_is_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        small(**changes)
