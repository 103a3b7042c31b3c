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

INTERNAL = {"BoardError", "Resumed", "RehearsalEnds", "Malformed", "WrongVersion", "LinkDown"}
"""Exceptions that nobody meets: the base of others, and those by which layers tell each other what to do next."""
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


def error_classes() -> set[str]:
    """Every exception that is defined here and that a person may meet."""
    return {
        name
        for module in map(importlib.import_module, MODULES)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, BaseException) and kind.__module__ == module.__name__
    } - INTERNAL


def guide() -> dict[str, str]:
    """Entries of the incident guide, by the error."""
    text = (ROOT / "docs" / "when-it-goes-wrong.md").read_text()
    return dict(re.findall(r"^### (.+?)$(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))


def test_every_error_has_its_entry_in_the_incident_guide_and_every_entry_its_error():
    assert set(guide()) == error_classes()


@pytest.mark.parametrize("error", sorted(guide()))
def test_every_entry_of_the_incident_guide_says_what_to_type(error):
    means, _, do = guide()[error].partition("**Do:**")
    assert means.strip(), f"{error}: says nothing of what it means"
    assert re.search(r"`(xbar|kill|pip install|--backend) ?[^`]*`", do), f"{error}: **Do:** has nothing to type"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_point_to_files_that_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target
