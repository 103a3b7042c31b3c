"""What a configuration may hold."""

import pytest
from pydantic import ValidationError

from firmware_bridge.bridge import SequencerConfig, SequencerLimits, latch
from firmware_bridge.errors import ProtocolError


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


# -- limits that are latched -------------------------------------------------------------------------------------------
LIMITS = SequencerLimits(
    code=((3, 65), (0, 9)), fixed=((4, 0xFF),), registers=0xFFBF, pulse_width=(5, 60), pulse_interval=7, sr_bits=16
)
OTHERS = {
    "dac_channels": 16, "code": ((3, 65), (0, 8)), "fixed": (), "registers": 0xFFBE, "pulse_width": (5, 61),
    "pulse_interval": 8, "sr_bits": 0,
}  # fmt: skip


def test_limits_may_be_latched_first_and_again_only_as_they_are():
    latch(None, LIMITS)
    latch(LIMITS, LIMITS)
    latch(LIMITS, LIMITS.model_copy())
    assert set(OTHERS) == set(SequencerLimits.model_fields)


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_limit_is_refused_by_its_name_with_both_values_wider_or_narrower(name):
    other = LIMITS.model_copy(update={name: OTHERS[name]})
    for held, wanted in ((LIMITS, other), (other, LIMITS)):
        with pytest.raises(ProtocolError, match=rf"^limits\.{name}.* differs from what the board holds") as error:
            latch(held, wanted)
        if name != "code":
            assert f"limits.{name} = {getattr(wanted, name)} differs" in str(error.value)
            assert f"first configured, {getattr(held, name)}; use the same board file" in str(error.value)


def test_channels_beyond_the_end_are_free_and_so_the_same_as_channels_that_are_given_everything():
    everything = LIMITS.model_copy(update={"code": (*LIMITS.code, *[(0, 0xFFFF)] * 126)})
    for held, wanted in ((LIMITS, everything), (everything, LIMITS)):
        latch(held, wanted)
    narrower = LIMITS.model_copy(update={"code": (*LIMITS.code, *[(0, 0xFFFF)] * 125, (0, 0xFFFE))})
    for held, wanted in ((LIMITS, narrower), (narrower, LIMITS)):
        with pytest.raises(ProtocolError, match=r"^limits\.code differs from what the board holds"):
            latch(held, wanted)


@pytest.mark.parametrize(("channels", "broadcast"), [(8, 6), (16, 15)])
def test_where_a_channel_is_limited_all_may_not_be_loaded_at_once_whatever_the_registers_allow(channels, broadcast):
    limited = SequencerLimits(dac_channels=channels, code=((0, 0xFFFE),))
    assert limited.register_mask == 2**32 - 1 - 2**broadcast
    latch(limited, limited.model_copy(update={"registers": 2**32 - 1 - 2**broadcast}))
    free = SequencerLimits(dac_channels=channels, code=((0, 0xFFFF),))
    assert free.register_mask == 2**32 - 1
    assert SequencerLimits(dac_channels=channels, code=((1, 0xFFFF),), registers=0).register_mask == 0


def test_what_was_agreed_on_cannot_be_changed_afterwards():
    config = SequencerConfig(limits=LIMITS)
    with pytest.raises(ValidationError, match="frozen"):
        config.watchdog_cycles = 5
    with pytest.raises(ValidationError, match="frozen"):
        config.limits.sr_bits = 0
    with pytest.raises(ValidationError, match="Extra inputs"):
        SequencerConfig(watchdog=5)


@pytest.mark.parametrize(
    ("name", "most"), [("watchdog_cycles", 2**32 - 1), ("safe_wait_cycles", None), ("pulse_interval", 2**32 - 1)]
)
def test_intervals_begin_at_nothing_and_end_where_their_register_does(name, most):
    model = SequencerLimits if name == "pulse_interval" else SequencerConfig
    assert getattr(model(), name) == getattr(model(**{name: 0}), name) == 0
    with pytest.raises(ValidationError):
        model(**{name: -1})
    if most is not None:
        assert getattr(model(**{name: most}), name) == most
        with pytest.raises(ValidationError):
            model(**{name: most + 1})


@pytest.mark.parametrize(
    "fields",
    [
        {"code": ((5, 5),)}, {"code": ((0, 65535),) * 128}, {"fixed": ((127, 65535), (0, 0))}, {"fixed": ((4, 0),) * 8},
        {"registers": 0}, {"registers": 2**32 - 1}, {"pulse_width": (1, 1)}, {"pulse_width": (2**24 - 1,) * 2},
        {"sr_bits": 255}, {"dac_channels": 16},
    ],
)  # fmt: skip
def test_each_limit_may_be_at_its_ends(fields):
    for name, value in fields.items():
        assert getattr(SequencerLimits(**fields), name) == value
