"""What holds for all classes of the lower two layers that describe something."""

import dataclasses
import importlib
import pkgutil

import pytest
from pydantic import BaseModel

import drivers
import firmware_bridge
from firmware_bridge.mock.faults.base import Fault
from firmware_bridge.mock.faults.catalogue import CATALOGUE

KEEP_STATE = {
    *("drivers.doses.Doses", "drivers.interlock._Given", "firmware_bridge.program.Program"),
    *("firmware_bridge.remote.desk.Peer", "firmware_bridge.remote.desk.Counts", "firmware_bridge.remote.desk._Session"),
    *("firmware_bridge.remote.desk.Desk", "firmware_bridge.remote.server._Connection"),
    *("firmware_bridge.remote.faults.Planned", "firmware_bridge.remote.faults.Dead"),
    "firmware_bridge.remote.faults.Slow",
}
"""Dataclasses that change over their life, besides faults."""


def classes():
    """By full name, of all modules that can be imported here."""
    found = {}
    for package in (drivers, firmware_bridge):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for each in vars(importlib.import_module(info.name)).values():
                if isinstance(each, type) and each.__module__ == info.name:
                    found[f"{each.__module__}.{each.__qualname__}"] = each
    return found


CLASSES = classes()
MODELS = [name for name, each in CLASSES.items() if issubclass(each, BaseModel)]
DATACLASSES = [
    name
    for name, each in CLASSES.items()
    if dataclasses.is_dataclass(each) and "__dataclass_params__" in vars(each) and not issubclass(each, Fault)
]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_cannot_be_changed_after_it_was_checked_and_takes_no_unknown_key(name):
    assert CLASSES[name].model_config["frozen"] is True
    assert CLASSES[name].model_config["extra"] == "forbid"


@pytest.mark.parametrize("name", DATACLASSES)
def test_what_does_not_keep_state_cannot_be_changed(name):
    assert CLASSES[name].__dataclass_params__.frozen is (name not in KEEP_STATE)


@pytest.mark.parametrize("name", DATACLASSES)
def test_what_holds_arrays_is_equal_to_itself_alone(name):
    # The equality of arrays is an array, which is neither true nor false.
    if any("NDArray" in str(field.type) or "ndarray" in str(field.type) for field in dataclasses.fields(CLASSES[name])):
        assert not CLASSES[name].__dataclass_params__.eq


@pytest.mark.parametrize("fault", CATALOGUE)
def test_what_a_fault_hits_is_named(fault):
    # A bit for a chip or a line for a level would be another fault, and no error.
    kind = CATALOGUE[fault].func
    assert all(field.kw_only for field in dataclasses.fields(kind))


OWN_BOUNDS = {
    ("drivers.board.AdcSettings", "vref_v"): (0.5, 0.9),  # of the part
    ("firmware_bridge.mock.board.ReferenceParams", "tolerance"): (0, 0.1),
    ("drivers.board.Instruments", "min_voltage_v"): (None, 0),
}


@pytest.mark.parametrize("name", MODELS)
def test_quantities_begin_at_zero_and_counts_at_one_shares_end_at_one_and_registers_where_their_bits_do(name):
    for field, info in CLASSES[name].model_fields.items():
        low = [x for m in info.metadata for x in (getattr(m, "gt", None), getattr(m, "ge", None)) if x is not None]
        high = [x for m in info.metadata for x in (getattr(m, "lt", None), getattr(m, "le", None)) if x is not None]
        assert len(low) <= 1
        assert len(high) <= 1
        if (name, field) in OWN_BOUNDS:
            assert (*(low or [None]), *high) == OWN_BOUNDS[name, field]
            continue
        counts = name.endswith("SequencerTiming") or field == "sr_devices"
        assert not low or low == [int(counts and field != "clock_hz")], field
        assert not high or high == [1] or (int(high[0]) + 1).bit_count() == 1, field
