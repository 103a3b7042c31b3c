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


def test_the_chain_may_be_used_to_its_last_bit_and_not_beyond():
    assert small(adc_select={"lsb": 12, "inhibit": 15}).sr_bits == 16
    assert small(adc_select={"lsb": 13}).adc_select.bits() == [13, 14, 15]
    for select, beyond in (({"lsb": 14}, 16), ({"lsb": 8, "inhibit": 16}, 16)):
        with pytest.raises(ValidationError, match=f"shift-register bit {beyond} is beyond the chain of 2 × 8 bits"):
            small(adc_select=select)


@pytest.mark.parametrize(("channels", "last"), [(8, 63), (16, 127)])
@pytest.mark.parametrize("line", ["bl_dac", "wl_dac"])
def test_the_last_channel_of_the_last_chip_may_be_used_and_none_beyond(channels, last, line):
    lines = {"bl_dac": (0, 1, 2, 3), "wl_dac": (8, 9)}

    def up_to(channel):
        return small(dac_channels=channels, **lines | {line: (*lines[line][:-1], channel)})

    wiring = up_to(last)
    assert (wiring.n_dacs, wiring.n_channels) == (8, last + 1)
    with pytest.raises(ValidationError, match=f"{line} has DAC channel {last + 1}; 8 DACs of {channels} channels"):
        up_to(last + 1)


def test_chips_of_sixteen_channels_hold_twice_the_lines():
    wiring = small(dac_channels=16, wl_dac=(15, 16))
    assert (wiring.n_dacs, wiring.n_channels) == (2, 32)
    assert small(dac_channels=16, wl_dac=(14, 15)).n_dacs == 1
    assert [wiring.dac_mask(c) for c in ((0, 15), (16,), (15, 16), ())] == [0b01, 0b10, 0b11, 0]
    assert [small().dac_mask(c) for c in ((0, 7), (8,), (7, 8, 63))] == [0b01, 0b10, 0b10000011]


def test_inputs_are_visited_in_ascending_order_each_once():
    wiring = small(sl_adc=(0, 0, 4, 4), sl_mux=(7, 2, 2, 0), wl_dac=(8, 9, 10, 11))
    assert (wiring.positions, wiring.n_adcs, wiring.n_sl) == ((0, 2, 7), 5, 4)


def test_a_group_on_the_chain_takes_three_bits_and_its_inhibit_one_more():
    assert SelectBits(lsb=3, inhibit=9).bits() == [3, 4, 5, 9]
    assert SelectBits(lsb=3).bits() == [3, 4, 5]
    assert SelectBits(lsb=0, inhibit=0).inhibited(1)
    for code in range(8):
        assert SelectBits(lsb=5, inhibit=9).word(code) == code << 5
        assert SelectBits(lsb=5, inhibit=9).word(code, inhibited=True) == code << 5 | 1 << 9
        assert SelectBits(lsb=5).word(code, inhibited=True) == code << 5


@pytest.mark.parametrize(("devices", "passes"), [(0, False), (31, True), (32, False)])
def test_a_chain_is_as_long_as_a_shift_can_be(devices, passes):
    if passes:
        assert small(sr_devices=devices).sr_bits == 248
    else:
        with pytest.raises(ValidationError, match="sr_devices"):
            small(sr_devices=devices)


@pytest.mark.parametrize("volts", [{"vcm_v": 0.0}, {"vform_v": 0.0}])
def test_a_reference_at_ground_can_be_wired(volts):
    small(**volts)


def test_an_array_of_one_cell_can_be_wired_and_one_of_none_not():
    one = {"bl_dac": (0,), "wl_dac": (8,), "sl_adc": (0,), "sl_mux": (3,)}
    assert (small(**one).n_bl, small(**one).n_sl) == (1, 1)
    for line in ("bl_dac", "wl_dac", "sl_adc"):
        with pytest.raises(ValidationError, match=line):
            small(**one | {line: ()})


@pytest.mark.parametrize("volts", [float("inf"), float("nan"), -1e-9])
@pytest.mark.parametrize("name", ["vcm_v", "vform_v"])
def test_a_reference_is_a_voltage_that_exists(name, volts):
    with pytest.raises(ValidationError, match=name):
        small(**{name: volts})


def test_a_netlist_is_not_changed_once_it_was_checked():
    wiring = small()
    for part, name in (
        (wiring, "vcm_v"), (wiring.bl_inputs, "dac"), (wiring.reference_inputs, "form"), (wiring.bl_select, "lsb"),
    ):  # fmt: skip
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, 3)
    for part in ("bl_inputs", "reference_inputs", "bl_select"):
        with pytest.raises(ValidationError, match="Extra inputs"):
            small(**{part: {"lsb": 0, "other": 1} if part == "bl_select" else {"other": 1}})
