"""What the documentation says runs, and what it points to is there."""

from __future__ import annotations

import doctest
import functools
import importlib
import pkgutil
import re

import pytest
from pages import PAGES, ROOT, name

import anf
import calibration
import drivers
import firmware_bridge
import lab_scripts

INTERNAL = {"BoardError", "Resumed", "RehearsalEnds", "Malformed", "WrongVersion", "LinkDown"}
"""Exceptions that nobody meets: the base of others, and those by which layers tell each other what to do next."""
ALL = sorted({*PAGES, *ROOT.glob("*.md")})
SOURCES = [
    ROOT / name
    for name in ("anf", "benchmarks", "calibration", "docs", "drivers", "firmware_bridge", "lab_scripts", "tests")
]
MODULES = sorted(
    module.name
    for package in (anf, calibration, drivers, firmware_bridge, lab_scripts)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
)


def test_examples_in_docstrings_give_what_they_say():
    attempted = 0
    for module in MODULES:
        result = doctest.testmod(importlib.import_module(module))
        assert result.failed == 0, module
        attempted += result.attempted
    assert attempted > 0


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


@pytest.mark.parametrize("page", ALL, ids=name)
def test_links_point_to_files_and_headings_that_are_there(page):
    for target, heading in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
        if "://" not in target:
            there = page.parent / target if target else page
            assert there.exists(), target
            assert not heading or heading in anchors(there.read_text()), f"{target}#{heading}"


def anchors(text: str) -> set[str]:
    """Names that headings of a page have in links to them."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_modules_and_names_of_the_code_that_a_page_mentions_are_there(page):
    packages = "anf|calibration|drivers|firmware_bridge|lab_scripts"
    for mentioned in re.findall(rf"`((?:{packages})(?:\.\w+)+)[^`]*`", page.read_text()):
        pkgutil.resolve_name(mentioned)


@functools.cache
def files() -> set[str]:
    """Every file of the repository, by its path and by its name."""
    found = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.*") if "__pycache__" not in path.parts]
    return {it for path in found for it in (str(path.relative_to(ROOT)), path.name)}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_of_the_code_that_a_page_mentions_are_there(page):
    for mentioned in re.findall(r"`([\w./-]+\.(?:py|sv|v|h|xdc|tcl))(?:::\w+)?`", page.read_text()):
        assert mentioned in files(), mentioned
