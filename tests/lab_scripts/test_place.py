from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from anf.arrays.placement import Placement


def test_a_shipped_flow_is_placed_on_one_array_with_table_picture_file_and_estimate(xbar_json, tmp_path):
    answer = xbar_json("place", "phi4_L4", "--out", "plan.json", "--picture", "plan.png")
    assert answer["arrays"] == 1
    plan = Placement.read(tmp_path / "plan.json")
    assert [t["layer"] for t in answer["tiles"]] == [t.layer for t in plan.tiles]
    estimate = answer["rehearsal"]
    assert 0.95 * estimate["cells"] < estimate["programmed"] <= estimate["cells"]
    assert estimate["elapsed_s"] > 0 < estimate["cells_j"]
    with Image.open("plan.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 100


def test_where_a_weight_sits_is_said_with_its_conductance(xbar_json):
    (answer,) = xbar_json("place", "phi4_L4", "--where", "blocks.0.w3,5,7")["where"]
    assert answer["weight"] == "blocks.0.w3[5, 7]"
    assert len(answer["cells"]) == 1
    assert 20e-6 <= answer["target_s"][0] <= 80e-6
    pair = xbar_json("place", "phi4_L4", "--arrays", 2, "--mapping", "differential", "--where", "blocks.0.w3,5,7")
    (first, second) = pair["where"][0]["cells"]
    assert first[:2] == second[:2]
    assert second[2] == first[2] + 1
    assert min(pair["where"][0]["target_s"]) == pytest.approx(20e-6)


def test_what_is_shown_names_tiles_lines_and_the_estimate(xbar):
    shown = xbar("place", "phi4_L4").stdout
    for text in ("blocks.0.w4", "source lines", "0–15", "yield", "paper's estimate, corrected"):
        assert text in shown


def test_failed_cells_of_an_earlier_run_hold_no_weight(xbar_json, tmp_path):
    failed, g = np.zeros((32, 32), bool), np.full((32, 32), 50e-6)
    failed[3, 4] = failed[9] = True
    grid = ("sl", "bl")
    xr.Dataset({"failed": (grid, failed), "g_read_s": (grid, g)}).to_netcdf("array.nc", engine="h5netcdf")
    answer = xbar_json("place", "phi4_L4", "--arrays", 2, "--faults", "array.nc", "--picture", "plan.png")
    occupied = np.zeros((answer["arrays"], 32, 32), bool)
    for t in answer["tiles"]:
        occupied[t["array"]][np.ix_(t["sl"], t["bl"])] = True
    assert not occupied[0][9].any()
    assert not occupied[0][3, 4]


def test_too_few_arrays_are_refused_with_how_many_are_needed_or_shared(xbar, xbar_json):
    result = xbar("place", "phi4_L4", "--mapping", "differential")
    assert result.exit_code == 2
    assert "need 2 arrays of 32 × 32, but there is 1" in result.stderr
    shared = xbar_json("place", "phi4_L4", "--mapping", "differential", "--time-share")
    assert (shared["arrays"], shared["rounds"]) == (2, 2)
    assert shared["rehearsal"]["reprogramming_s"] > 0


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("nothing.safetensors",), 4, "there is no such file; shipped are "),
        (("phi4_L4", "--where", "embed"), 2, "write LAYER,ROW,COLUMN"),
        (("phi4_L4", "--where", "nobody,0,0"), 2, "layer nobody is not in the plan; there are embed"),
        (("phi4_L4", "--where", "embed,99,0"), 2, "no weight (99, 0)"),
        (("phi4_L4", "--out", "plan.txt"), 4, "must end in .json"),
        (("phi4_L4", "--out", "taken.json"), 4, "exists already"),
        (("phi4_L4", "--picture", "plan.gif"), 4, "must end in .png, .pdf or .svg"),
        (("phi4_L4", "--faults", "taken.json"), 4, "not a run of xbar program"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_rehearsed(xbar, tmp_path, mocker, args, code, message):
    (tmp_path / "taken.json").write_text("{}")
    rehearsed = mocker.patch("anf.arrays.rehearsal.rehearse")
    result = xbar("place", *args)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
    rehearsed.assert_not_called()


def test_sampling_follows_a_plan(xbar_json, xbar, flows, tmp_path):
    placed = xbar_json("place", flows[0], "--mapping", "reference", "--out", "plan.json")
    assert placed["arrays"] == 1
    args = ("sample", "--L", 2, "--flow", flows[0], "--configs", 50, "--tune-steps", 0, "--plan", "plan.json")
    answer = xbar_json(*args, "--layers", "crossbar", "--out", "s.nc")
    assert answer["arrays"] == 1
    refused = xbar(*args, "--layers", "simulated", "--out", "t.nc")
    assert "--plan plan.json: is for --layers crossbar" in refused.stderr
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["shape"] = [16, 16]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    assert xbar(*args, "--layers", "crossbar", "--out", "t.nc").exit_code == 2


def test_sampling_looks_for_faulty_cells_first_if_asked_to(xbar_json, xbar, flows):
    args = ("sample", "--L", 2, "--flow", flows[0], "--configs", 50, "--tune-steps", 0, "--survey")
    answer = xbar_json(*args, "--layers", "crossbar", "--seed", 3, "--out", "s.nc")
    assert answer["cells_failed"] == 0
    assert "is for --layers crossbar without --plan" in xbar(*args, "--out", "t.nc").stderr
