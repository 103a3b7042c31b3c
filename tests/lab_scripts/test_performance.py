from __future__ import annotations

import re
from pathlib import Path

import pytest
import xarray as xr

from anf.arrays.performance import READINGS, Assumptions
from anf.arrays.published import PUBLISHED


def test_every_lattice_has_its_table_with_print_and_all_readings(xbar_json):
    answer = xbar_json("performance")
    assert list(answer["lattices"]) == [p.name for p in PUBLISHED]
    for paper in PUBLISHED:
        lattice = answer["lattices"][paper.name]
        assert lattice["printed"]["speedup"] == paper.speedup
        for reading in READINGS:
            expected = reading.of(paper.mixer)
            assert lattice["readings"][reading.name]["speedup"] == pytest.approx(expected.speedup)
            assert lattice["readings"][reading.name]["efficiency"] == pytest.approx(expected.efficiency)


def test_every_assumption_is_listed_with_its_source(xbar):
    shown = xbar("performance").stdout
    for name in Assumptions.model_fields:
        assert name in shown
    assert "1.789e-08" in shown
    assert "5.724e+12" in shown


@pytest.mark.parametrize(("panel", "printed"), [("3g", 96.0), ("4h", 12.2), ("4i", 138.0)])
def test_a_panel_of_performance_is_drawn_without_a_board(xbar_json, tmp_path, panel, printed):
    answer = xbar_json("figure", panel, "--out", "f.pdf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.nc", "f.pdf", "f.png"]
    assert any(f"{printed:g}" in n["bar"].split() for n in answer["numbers"])
    with xr.open_dataset("f.nc") as run:
        assert run.attrs["assumptions: literal"] == Assumptions().model_dump_json()


def test_the_three_panels_of_a_theory_share_a_run(xbar_json, xbar):
    first = xbar_json("figure", "3g", "--out", "f.pdf")
    second = xbar_json("figure", "3i", "--from", "f.nc", "--out", "g.pdf")
    assert first["run_id"] == second["run_id"]
    refused = xbar("figure", "4i", "--from", "f.nc", "--out", "h.pdf")
    assert "is a run of performance-phi4, not of performance-graphene" in refused.stderr


def test_the_table_of_the_page_on_deployment_is_what_the_command_says(xbar_json):
    page = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
    found = re.findall(r"^\| ((?:φ⁴|graphene), .*/.*\*\*.*) \|$", page, re.MULTILINE)
    rows = {row[0]: row for row in (line.split(" | ") for line in found)}
    lattices = xbar_json("performance")["lattices"]
    assert rows.keys() == lattices.keys()
    for name, (_, weights, macs, speedup, efficiency, _) in rows.items():
        printed, readings = lattices[name]["printed"], lattices[name]["readings"]
        literal, nearest, corrected = (readings[it] for it in ("literal", "nearest to print", "corrected"))
        expected = {
            weights: [printed["weights_percent"], literal["weights_percent"]],
            macs: [it["macs_percent"] for it in (printed, literal, corrected)],
            speedup: [it["speedup"] for it in (printed, literal, nearest, corrected)],
            efficiency: [it["efficiency"] for it in (printed, literal, nearest, corrected)],
        }
        for cell, values in expected.items():
            shown = cell.replace("*", "").split(" / ")[: len(values)]
            assert [float(it) for it in shown] == pytest.approx(
                [round(value, len(it.partition(".")[2])) for it, value in zip(shown, values, strict=True)]
            ), name
