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
