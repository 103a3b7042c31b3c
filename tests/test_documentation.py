"""What the documentation says runs, and what it points to is there."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import pkgutil
import re
from pathlib import Path

import pytest

import anf
import calibration
import drivers
import firmware_bridge
import lab_scripts
from anf.arrays.placement import PlacementError
from anf.flows.checkpoint import CheckpointError
from anf.training.loop import TrainingDiverged
from firmware_bridge.errors import BoardError
from lab_scripts.exits import FileError, InputError, OutsideBound

GUIDED = (BoardError, FileError, InputError, OutsideBound, CheckpointError, PlacementError, TrainingDiverged)
ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
MODULES = sorted(
    module.name
    for package in (anf, calibration, drivers, firmware_bridge, lab_scripts)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


def test_examples_in_docstrings_give_what_they_say():
    attempted = 0
    for name in MODULES:
        result = doctest.testmod(importlib.import_module(name))
        assert result.failed == 0, name
        attempted += result.attempted
    assert attempted > 0


def test_the_python_example_of_the_readme_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    namespace: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(code, namespace)
    assert "cells programmed" in out.getvalue()
    assert getattr(namespace["current"], "shape", None) == (32,)


def error_classes() -> list[str]:
    """Every error that ends a command: those of the layers that are not another one's detail."""
    importable = [importlib.import_module(name) for name in MODULES]
    found = {
        name
        for module in importable
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, GUIDED) and kind is not BoardError
    }
    return sorted(found)


def test_every_error_has_its_entry_in_the_incident_guide():
    headings = re.findall(r"^### (.+)$", (ROOT / "docs" / "when-it-goes-wrong.md").read_text(), re.MULTILINE)
    assert set(error_classes()) - set(headings) == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_point_to_files_that_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
