"""The reference of the Python names is what the sources say, and the sources say something of every name."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "reference"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_build", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


build = _load()


def test_the_reference_pages_are_those_that_the_sources_give():
    made = build.pages()
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == made, "make it again: make pages"


def test_what_is_named_has_its_signature_its_units_and_what_it_is():
    page = build.pages()["drivers.md"]
    assert "\n## [`crossbar.py`](../../drivers/crossbar.py)\n" in page
    assert "\n- `class Crossbar`: " in page
    assert "\n  - `mvm(volts: ArrayLike) → Array`: Multiply: bit lines at `volts` (…, n_bl) V give " in page
    assert "`_" not in page


@pytest.mark.parametrize("package", build.PACKAGES)
def test_every_public_name_says_what_it_is_and_every_method_without_words_is_said_elsewhere(package):
    functions, methods, said = [], [], set()
    for path in sorted((build.ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                for it in node.body:
                    if isinstance(it, ast.AnnAssign):
                        said.add(ast.unparse(it.target))
                    elif isinstance(it, build.Function) and not it.name.startswith("_"):
                        said |= {it.name} if ast.get_docstring(it) else set()
                        methods += [] if node.name.startswith("_") else [(f"{path}: {node.name}", it.name)]
        functions += [f"{path}: {it.name}" for it in build.names(ast.parse(path.read_text()).body) if not it.doc]
    assert functions == []
    assert [f"{where}.{name}" for where, name in methods if name not in said] == []
