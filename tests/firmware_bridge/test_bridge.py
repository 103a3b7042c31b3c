"""What a configuration may hold."""

import pytest
from pydantic import ValidationError

from firmware_bridge.bridge import SequencerLimits


def test_limits_that_nobody_sets_forbid_nothing():
    assert SequencerLimits() == SequencerLimits(
        dac_channels=8, code=(), fixed=(), registers=2**32 - 1, pulse_width=(1, 2**24 - 1), pulse_interval=0, sr_bits=0
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"code": ((5, 4),)}, r"\(5, 4\) runs backwards"),
        ({"code": ((0, 65536),)}, "less than or equal to 65535"),
        ({"code": ((-1, 5),)}, "greater than or equal to 0"),
        ({"code": ((0, 1),) * 129}, "at most 128 items"),
        ({"dac_channels": 12}, "Input should be 8 or 16"),
        ({"fixed": ((4, 65536),)}, "less than or equal to 65535"),
        ({"fixed": ((128, 0),)}, "less than or equal to 127"),
        ({"fixed": ((4, 0),) * 9}, "at most 8 items"),
        ({"registers": 1 << 32}, "less than or equal to 4294967295"),
        ({"pulse_width": (0, 5)}, "greater than or equal to 1"),
        ({"pulse_width": (1, 1 << 24)}, "less than or equal to 16777215"),
        ({"pulse_width": (6, 5)}, r"\(6, 5\) runs backwards"),
        ({"pulse_interval": 1 << 32}, "less than or equal to 4294967295"),
        ({"sr_bits": 256}, "less than or equal to 255"),
        ({"volts": 5}, "Extra inputs are not permitted"),
    ],
)
def test_a_limit_that_no_register_holds_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        SequencerLimits(**fields)


def test_equal_limits_have_equal_hashes():
    a, b = (SequencerLimits(code=((1, 2),), sr_bits=16) for _ in range(2))
    assert (a, hash(a)) == (b, hash(b))
    assert a != SequencerLimits(code=((1, 3),), sr_bits=16)
