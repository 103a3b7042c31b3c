"""What was checked stays as it was: descriptions, limits, readings and records of the drivers cannot be changed."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
from pydantic import BaseModel

import drivers

CHANGES = {"_Given", "Doses"}
"""Sums that grow."""


def classes():
    for module in pkgutil.walk_packages(drivers.__path__, "drivers."):
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                yield pytest.param(kind, id=f"{module.name}.{name}")


@pytest.mark.parametrize("kind", [p for p in classes() if dataclasses.is_dataclass(p.values[0])])
def test_a_dataclass_of_the_drivers_is_frozen_unless_it_is_a_sum(kind):
    assert kind.__dataclass_params__.frozen is (kind.__name__ not in CHANGES)


@pytest.mark.parametrize("kind", [p for p in classes() if issubclass(p.values[0], BaseModel)])
def test_a_table_of_the_drivers_is_frozen_and_refuses_what_it_does_not_know(kind):
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"
