"""What is installed is what was tested and audited: all that pip brings along is pinned, at that version."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
EXTRAS = ("dev",)


def pins() -> dict[str, str]:
    """The versions of constraints.txt that hold for this Python."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): str(r.specifier) for r in found if r.marker is None or r.marker.evaluate()}


def brought(name: str, extras: tuple[str, ...], seen: set[str]) -> Iterator[str]:
    """Names of the installed distributions that `name` asks for, and those that these ask for."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        wanted = [requirement.marker is None or requirement.marker.evaluate({"extra": e}) for e in (*extras, "")]
        key = canonicalize_name(requirement.name)
        if not any(wanted) or key in seen:
            continue
        try:
            distribution(key)
        except PackageNotFoundError:
            continue  # asked for on other machines
        seen.add(key)
        yield key
        yield from brought(key, tuple(requirement.extras), seen)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="constraints.txt pins for Python 3.11 and later")
def test_every_distribution_that_an_installation_brings_is_pinned_at_the_version_installed():
    fixed = pins()
    # "+cpu" and the like name a build, not a version.
    installed = {name: Version(distribution(name).version).public for name in brought("xbar", EXTRAS, {"xbar"})}
    wrong = {
        name: (fixed.get(name, "not pinned"), version)
        for name, version in installed.items()
        if fixed.get(name) != f"=={version}"
    }
    assert not wrong, "regenerate constraints.txt (see its head)"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="constraints.txt pins for Python 3.11 and later")
def test_a_pin_fixes_one_version():
    assert all(pin.startswith("==") and "*" not in pin and "," not in pin for pin in pins().values())
    assert len(pins()) > 50
