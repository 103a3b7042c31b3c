"""Limits and timings are known by what they hold, those that were copied with a change too."""

import pytest
from pydantic import ValidationError

from firmware_bridge.bridge import SequencerLimits
from firmware_bridge.timing import SequencerTiming

CHANGES = [
    (SequencerLimits(code=((0, 9),)), {"registers": 5, "code": ()}),
    (SequencerLimits(sr_bits=16), {"code": ((1, 2),)}),
    (SequencerTiming(), {"adc_clocks": 30}),
]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(("model", "change"), CHANGES)
def test_a_copy_with_a_change_is_what_one_made_so_would_be(model, change, deep):
    hash(model)
    getattr(model, "register_mask", None)  # worked out before the copy is made
    copied = model.model_copy(update=change, deep=deep)
    made = type(model)(**model.model_dump() | change)
    assert (copied, hash(copied)) == (made, hash(made))
    assert getattr(copied, "register_mask", None) == getattr(made, "register_mask", None)
    assert hash(copied) != hash(model)


@pytest.mark.parametrize(("model", "change"), CHANGES)
def test_what_is_frozen_cannot_be_changed_and_holds_nothing_else(model, change):
    name, value = next(iter(change.items()))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model, name, value)
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(model)(volts=5)
