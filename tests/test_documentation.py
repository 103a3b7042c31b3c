"""What the documentation says runs, and what it points to is there."""

from __future__ import annotations

import dataclasses
import doctest
import functools
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from pages import GENERATED, PAGES, ROOT, name

import anf
import calibration
import drivers
import firmware_bridge
import lab_scripts
from calibration.write_verify import WriteVerifyConfig

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


FOREIGN = {"ssh", "distributed.comm.tls", "Permission"}
"""Names of others that pages mention as if they were ours."""
LIVING = [page for page in PAGES if page.parent.name != "decisions"]
"""Decisions say what was so when they were taken."""


@functools.cache
def words() -> set[str]:
    """Every word of the sources, in small letters and without the number of a chip."""
    text = " ".join(f"{path.stem} {path.read_text()}" for path in sources())
    return {re.sub(r"\d", "", word.lower()) for word in re.findall(r"\w+", text)}


def sources() -> list[Path]:
    kinds = (".py", ".sv", ".v", ".h", ".toml", ".js", ".html", ".css", ".cpp", ".tcl")
    found = [path for folder in SOURCES for path in (ROOT / folder).rglob("*.*") if path.suffix in kinds]
    return [*found, ROOT / "Makefile", ROOT / "pyproject.toml"]


@pytest.mark.parametrize("page", LIVING, ids=name)
def test_names_and_options_that_a_page_mentions_are_in_the_sources(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    mentioned = set(re.findall(r"`([A-Za-z_][\w.]*)(?:[(= ][^`]*)?`", text)) - FOREIGN
    parts = {re.sub(r"\d", "", part.lower()) for it in mentioned for part in it.split(".")}
    assert parts - words() == set()
    everything = " ".join(path.read_text() for path in [*sources(), ROOT / GENERATED])
    assert {option for option in re.findall(r"`[^`]*?(--[a-z][a-z-]+)", text) if option not in everything} == set()


UNITS = {"": 1.0, "%": 1e-2, "V": 1.0, "s": 1.0, "µs": 1e-6, "µS": 1e-6, "µS/V": 1e-6}


def test_the_parameters_of_write_verify_have_the_defaults_that_their_page_says():
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", (ROOT / "docs" / "write-verify.md").read_text(), re.MULTILINE)
    said = {name: cell for names, cell in rows for name in [" ".join(re.findall(r"`(\w+)`", names))]}
    config, seen = WriteVerifyConfig(), set()
    for names, cell in said.items():
        if not set(names.split()) <= {field.name for field in dataclasses.fields(WriteVerifyConfig)}:
            continue
        seen |= set(names.split())
        values = [getattr(config, name) for name in names.split()]
        flat = [end for value in values for end in ((value[0], value[-1]) if isinstance(value, tuple) else (value,))]
        if isinstance(flat[0], str):
            assert flat == [cell]
            continue
        shown = []
        for part in cell.strip("(),").split(", "):  # each a number or a range, and its unit
            numbers, _, unit = part.partition(" ")
            shown += [float(number) * UNITS[unit] for number in numbers.split("–")]
        assert sorted(set(shown)) == pytest.approx(sorted(set(flat))), names
    assert seen == {field.name for field in dataclasses.fields(WriteVerifyConfig)}


def test_no_two_decisions_share_a_number():
    decisions = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    numbers = [path.name[:4] for path in decisions]
    assert len(set(numbers)) == len(numbers) > 60
    assert all(path.read_text().startswith(f"# {number}: ") for path, number in zip(decisions, numbers, strict=True))
