"""Limits and timings are known by what they hold, those that were copied with a change too."""

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from firmware_bridge.bridge import Identity, Result, SequencerLimits
from firmware_bridge.journal import FORMAT, Entry, Kind, Step
from firmware_bridge.remote import framing
from firmware_bridge.synthesis import Utilisation
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


@pytest.mark.parametrize(
    "said",
    [
        Identity("mock", "0", 1, 2, 8, 8, 16, 100, 100, 8), Result(np.zeros(1, np.uint32), 5), Step(b"digest", None),
        Entry(Kind.BEGUN), FORMAT, framing.Frame(framing.Kind.RUN, 1, 2), Utilisation({"LUT1": 1}),
    ],
    ids=lambda said: type(said).__name__,
)  # fmt: skip
def test_what_was_said_cannot_be_changed_by_who_heard_it(said):
    for field in dataclasses.fields(said):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(said, field.name, None)
