"""What all pictures have in common: one style, one way to disk, and where they come from in themselves."""

import ast
import json
from pathlib import Path

import pytest
import xarray as xr
from PIL import Image

from lab_scripts import panels
from lab_scripts.panels.panel import run_id
from lab_scripts.panels.style import STYLE

SOURCES = sorted(Path(panels.__file__).parents[1].rglob("*.py"))


@pytest.mark.parametrize("suffix", [".pdf", ".svg"])
def test_a_picture_names_its_run_and_command_in_each_format(xbar_json, suffix):
    answer = xbar_json("figure", "3g", "--out", f"f{suffix}")
    assert answer["run_id"] == run_id(Path("f.nc"))
    command = xr.open_dataset("f.nc", engine="h5netcdf").attrs["command"]
    assert command == f"xbar figure 3g --out f{suffix} --json"
    vector = Path(f"f{suffix}").read_bytes()
    for text in (f"xbar figure 3g, run {answer['run_id']}", command, answer["run_id"]):
        assert text.encode() in vector
    with Image.open("f.png") as picture:
        assert picture.text["Title"] == f"xbar figure 3g, run {answer['run_id']}"
        assert picture.text["Description"] == command
        assert picture.text["Source"] == answer["run_id"]


def test_the_picture_of_a_plan_names_its_flow_and_command(xbar):
    assert xbar("place", "phi4_L4", "--picture", "p.png").exit_code == 0
    with Image.open("p.png") as picture:
        assert picture.text["Description"] == "xbar place phi4_L4 --picture p.png"
        assert picture.text["Title"] == "phi4_L4.safetensors"


def test_no_picture_gets_to_disk_or_has_a_style_by_another_way():
    """`style.save` writes pictures, with their origin; `style.STYLE` is the one style; nothing draws through pyplot,
    whose state other programs share."""
    saves, styles = [], []
    for source in SOURCES:
        tree = ast.parse(source.read_text())
        names = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        saves += [source.name for name in names if name == "savefig"]
        styles += [source.name for name in names if name in ("rcParams", "style")]
        imported = [
            name for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))
            for name in (*(a.name for a in node.names), getattr(node, "module", None) or "")
        ]  # fmt: skip
        assert not [name for name in imported if "pyplot" in name], source
    assert sorted(saves) == ["pictures.py", "style.py"]
    assert styles == []
    assert json.dumps(STYLE)
