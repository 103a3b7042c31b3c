"""ADS8324 driver: codes, result words, and conversions whose value is unknown."""

import numpy as np
import pytest

from drivers.ads8324 import CODE_MAX, CODE_MIN, code_to_volts, lsb_v, refuse_clipped, unpack
from firmware_bridge.errors import LimitError, ProtocolError

LINES = np.arange(4)


def test_a_code_is_twice_the_reference_over_14_bits():
    assert lsb_v(0.9) == pytest.approx(109.86328125e-6)
    assert code_to_volts([-8192, 0, 8191], 0.9) == pytest.approx([-0.9, 0.0, 0.9 - 109.86328125e-6])


def test_words_hold_two_signed_codes_the_lower_first():
    words = np.array([0x0001_FFFF, 0x1FFF_E000], np.uint32)
    assert unpack(words, 2).tolist() == [[-1, 1], [-8192, 8191]]


def test_an_odd_number_of_converters_leaves_half_a_word():
    words = np.array([0x0002_0001, 0x0000_0003, 0x0005_0004, 0x0000_0006], np.uint32)
    assert unpack(words, 3).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_fraction_of_a_conversion_is_refused():
    with pytest.raises(ProtocolError, match="5 result words are not whole conversions of 8 ADCs, 4 words each"):
        unpack(np.zeros(5, np.uint32), 8)


def test_codes_inside_the_range_pass():
    refuse_clipped(np.array([[CODE_MIN + 1, 0, 5, CODE_MAX - 1]], np.int16), LINES, 1e-4)
    refuse_clipped(np.empty((0, 4), np.int16), LINES, 1e-4)


@pytest.mark.parametrize("code", [CODE_MIN, CODE_MAX])
def test_a_clipped_code_is_refused_with_its_source_lines(code):
    codes = np.zeros((3, 4), np.int16)
    codes[0, 1] = codes[2, 1] = codes[2, 3] = code
    with pytest.raises(LimitError, match=r"source lines 1, 3 .*±100 µA over Rf; 3 conversions clipped") as refusal:
        refuse_clipped(codes, LINES, 1e-4)
    assert refusal.value.value == code
    assert refusal.value.limit == (CODE_MIN + 1, CODE_MAX - 1)


def test_the_codes_of_14_bits_in_twos_complement_end_at_8191():
    assert (CODE_MIN, CODE_MAX) == (-(1 << 13), (1 << 13) - 1)


@pytest.mark.parametrize("code", [CODE_MIN - 1, CODE_MAX + 1])
def test_a_code_of_more_than_14_bits_is_an_error_of_the_link(code):
    with pytest.raises(ProtocolError, match=f"code {code} has more than 14 bits"):
        refuse_clipped(np.array([[0, code, 0, 0]], np.int16), LINES, 1e-4)
